"""Packshots, scenes, gates and removal over the API of a real WebUI."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np

from lib_prodshot import provenance
from lib_prodshot.pictures import read, xmp
from lib_prodshot.pictures.embedding import xmp_of
from tests.webui.conftest import img2img, none_module, seed_picture
from tests.webui.server import Server, encode
from tests.webui.test_http import CAR, parameters

QUICK = {"steps": 3, "resolution": 192, "sampler": "Euler"}
"""For our own routes, which have no generation to inherit from."""


def test_a_scene_is_painted_around_the_very_product(clean: Server, seed_dir: Path) -> None:
    """With a checkpoint of random weights the ground is noise, and the product must not take any of it."""
    picture = seed_picture(seed_dir, "car")
    scene = {**CAR, **none_module(clean), "ground": "scene", "edges": "hard", "scene_light": 0.0, "fidelity": "report"}
    before = clean.counts()["samplings"]
    painted = {
        weight: img2img(clean, picture, {**scene, "make": "packshot", "control_weight": weight})
        for weight in (0.0, 1.0)
    }
    assert clean.counts()["samplings"] - before == 2
    original = np.asarray(picture.convert("RGB")).astype(int)
    for answer in painted.values():
        (outcome,) = answer.outcomes
        assert outcome["status"] == "found" and outcome["audit"]["changed_inside"] == 0
        assert [gate["try"] for gate in gates_of(outcome)] == [1] and gates_of(outcome)[0]["growth"] >= 0
        kept = (answer.pixels() == original).all(axis=2)
        assert 0.05 * kept.size < outcome["audit"]["inner_pixels"] <= kept.sum() < 0.7 * kept.size
        assert "Prodshot ran" in parameters(answer.infotexts[0])
        assert source_type(base64.b64decode(answer.codes[0])) == provenance.COMPOSITE
    (line,) = clean.post("/prodshot/v1/packshot", {"images": [encode(picture)], **scene, **QUICK})["outcomes"]
    assert line["audit"]["changed_inside"] == 0 and clean.counts()["samplings"] - before == 3
    assert source_type(base64.b64decode(line["packshots"][0]["output"])) == provenance.COMPOSITE
    assert np.abs(painted[0.0].pixels() - painted[1.0].pixels()).mean() > 0.2
    absent = img2img(clean, picture, {**scene, "make": "packshot", "products": "watch"})
    assert absent.outcomes[0]["status"] == "skipped" and clean.counts()["samplings"] - before == 3


def test_noise_in_the_products_place_is_painted_again_and_then_refused(clean: Server, seed_dir: Path) -> None:
    picture, before = seed_picture(seed_dir, "car"), clean.counts()["samplings"]
    held = {"fidelity": "hold", "fidelity_retries": 1, "denoising_strength": 1.0}
    answer = img2img(clean, picture, {**CAR, **none_module(clean), **held})
    (outcome,) = answer.outcomes
    gates = gates_of(outcome, "gates")
    print("noise in the product's place:", gates)
    assert clean.counts()["samplings"] - before == 2 and [gate["try"] for gate in gates[:2]] == [1, 2]
    assert outcome["status"] == "failed" and {gate["gates"] for gate in gates} == {"fail"}
    assert "not the same product" in outcome["reason"] and "the input was kept" in outcome["reason"]
    assert np.array_equal(answer.pixels(), np.asarray(picture.convert("RGB")).astype(int))


def gates_of(outcome: dict[str, Any], step: str = "gate_scene") -> list[dict[str, Any]]:
    """What a step of gates measured, a line for each try."""
    return [line for line in outcome["steps"] if line["step"] == step]


def source_type(file: bytes) -> str:
    """What a written or sent file says of how it was made."""
    packet = xmp_of(read(file))
    return "" if packet is None else provenance.short_name(xmp.values(packet)[provenance.SOURCE_TYPE])


def test_packshots_for_marketplaces_at_both_doors(clean: Server, seed_dir: Path) -> None:
    """Each comes back and is written, by the marketplace's rules, with the product's own pixels and no sampling."""
    picture, before, files = seed_picture(seed_dir, "car"), clean.counts()["samplings"], clean.outputs()
    wanted = {**CAR, "marketplace": "google, meta", "size": "600x600", "fill": 0.8}
    answer = img2img(clean, picture, {**wanted, "make": "packshot"}, save_images=True)
    (line,) = clean.post("/prodshot/v1/packshot", {"images": [encode(picture)], **wanted})["outcomes"]
    for outcome in (*answer.outcomes, line):
        told = [(made["marketplace"], made["passed"], made["audit"]["changed_inside"]) for made in outcome["packshots"]]
        assert told == [("google", True, 0), ("meta", True, 0)], outcome
    sent = [base64.b64decode(made["output"]) for made in line["packshots"]]
    written = [path.read_bytes() for path in clean.outputs() - files]
    assert [image.size for image in answer.images] == [(600, 600)] * 2 and len(written) == 2
    for file in (*sent, *written, *map(base64.b64decode, answer.codes)):
        assert source_type(file) == provenance.ENHANCED
    assert clean.counts()["samplings"] == before


def test_a_box_is_removed_by_filling_and_by_a_pass(clean: Server, seed_dir: Path) -> None:
    """Filled without a sampling, painted by one of its own before the product's; elsewhere nothing changes."""
    picture, before = seed_picture(seed_dir, "car"), clean.counts()["samplings"]
    original, box = np.asarray(picture.convert("RGB")).astype(int), (slice(0, 40), slice(0, 60))
    filled = img2img(clean, picture, {**CAR, "engine": "retouch", "strength": 0.0, "remove": "0 0 60 40"})
    changed = (filled.pixels() != original).any(axis=2)
    assert changed[box].mean() > 0.5 and clean.counts()["samplings"] == before
    changed[box] = False
    assert not changed.any()
    settings = {**CAR, **none_module(clean), "remove": "0 0 60 40", "remove_with": "inpaint", "fidelity": "off"}
    painted = img2img(clean, picture, settings)
    assert clean.counts()["samplings"] - before == 2
    for answer in (filled, painted):
        (outcome,) = answer.outcomes
        (figures,) = gates_of(outcome, "clean_up")
        assert (figures["boxes"], figures["pixels"], figures["changed_outside"]) == (1, 2400, 0)
        assert outcome["status"] == "found" and outcome["audit"]["changed_outside"] == 0
        assert any("removed 1 box" in note for note in outcome["notes"])
    # a checkpoint of random weights paints noise
    assert np.abs(painted.pixels() - filled.pixels())[box].mean() > 5
