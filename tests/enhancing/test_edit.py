"""The engine edit without a WebUI: what its pass is, and what becomes of what it gives back."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from lib_prodshot.cli import main
from lib_prodshot.editing import EditPass, EditResult, Sampling
from lib_prodshot.enhancing.edit import EditEnhancer, pass_size
from lib_prodshot.enhancing.grain import match_grain, spread
from lib_prodshot.enhancing.interface import Task
from lib_prodshot.enhancing.registration import NotRegistered, register
from lib_prodshot.errors import RequestError
from lib_prodshot.inpainting import PassDefaults
from lib_prodshot.masks import feather
from lib_prodshot.outcome import Detection
from lib_prodshot.preserve import composite
from lib_prodshot.request import Request
from tests.enhancing.test_registration import SKIMAGE, Put, edited, masked, photograph


@dataclass
class Model:
    """A backend whose model does to every picture what `put` says, and something new to its middle."""

    put: Put = field(default_factory=Put)
    plans: list[EditPass] = field(default_factory=list)
    defaults: PassDefaults = field(default_factory=lambda: PassDefaults(seed=11))

    def missing_loras(self, names: Collection[str]) -> frozenset[str]:
        return frozenset(names)

    def check(self, sampler: str, scheduler: str, checkpoint: str) -> None:
        pass

    def edit(self, plan: EditPass) -> EditResult:
        self.plans.append(plan)
        new = edited(plan.picture, masked(plan.picture))
        return EditResult(self.put.of(new), sampling=Sampling(4, 1.0, "Euler", "Beta"))


def task(picture: np.ndarray, attempt: int = 1, **settings: Any) -> Task:
    request = Request(**{"products": "cup", "engine": "edit", "edit_resolution": 512, **settings})
    mask = masked(picture)
    found = (Detection("cup", 0.9, (0, 0, 9, 9), 9),)
    return Task(picture, mask, feather(mask, request.feather), found, request, attempt=attempt)


@pytest.mark.parametrize(
    ("size", "wanted"), [((600, 400), (576, 384)), ((400, 600), (384, 576)), ((512, 512), (512, 512))]
)
def test_a_pass_has_the_hosts_multiples(size: tuple[int, int], wanted: tuple[int, int]) -> None:
    made = pass_size(*size, 512 * 512)
    assert made[0] % 64 == made[1] % 64 == 0
    assert made == wanted


@pytest.mark.parametrize("ratio", [0.2, 0.5, 0.74, 1.0, 1.33, 2.39, 5.0])
def test_every_ratio_comes_near(ratio: float) -> None:
    for side in (256, 512, 1024):
        width, height = pass_size(round(3000 * ratio), 3000, side * side)
        assert abs(width * height / side**2 - 1) < 0.45 and abs(width / height / ratio - 1) < 0.25


def test_the_input_comes_back_where_it_lay_in_its_light_and_grain() -> None:
    picture = photograph("coffee.png")
    model = Model(Put((7, -4), 1.02, 1.12, (1.04, 1, 0.97), 5))
    given = task(picture, edit_instruction="put new leather on [class], <lora:none:1>")
    enhancer = EditEnhancer(model)
    answer = enhancer.enhance(given)
    (plan,) = model.plans
    assert (plan.prompt, plan.seed) == ("put new leather on cup", 11)
    assert any("LoRA not installed" in note for note in answer.notes)
    assert answer.measures["drift_left"] < 0.5 and answer.measures["light_left"] < 1.5
    kept = composite(picture, answer.rgb, given.alpha)
    assert np.array_equal(kept[given.alpha == 0], picture[given.alpha == 0])
    inside = cv2.erode(given.mask, np.ones((25, 25), np.uint8)) > 0
    wanted = edited(picture, given.mask)
    assert np.abs(kept[inside].astype(int) - wanted[inside]).mean() < 12
    assert enhancer.ran[0].startswith("edit ") and "4 steps Euler Beta, CFG 1, seed 11" in enhancer.ran[0]


def test_a_further_try_draws_another_seed() -> None:
    model = Model()
    for attempt in (1, 2):
        EditEnhancer(model).enhance(task(photograph("coffee.png"), attempt, edit_seed=5))
    assert model.plans[0].seed == 5 and model.plans[1].seed > 100_000


def test_around_the_product_only_its_surroundings_are_seen() -> None:
    picture = photograph("coffee.png")
    model = Model()
    answer = EditEnhancer(model).enhance(task(picture, edit_area="around the product", edit_margin=0.3))
    assert model.plans[0].picture.shape[1] / model.plans[0].picture.shape[0] < 1.4
    assert np.array_equal(answer.rgb[:9], picture[:9])


def test_less_colour_match_leaves_more_of_the_new_light() -> None:
    picture = photograph("coffee.png")
    answers = [
        EditEnhancer(Model(Put(gain=0.8))).enhance(task(picture, edit_colour_match=share)).rgb for share in (0.0, 1.0)
    ]
    # outside of the product, in the part that the composite drops
    off = [np.abs(each[:60].astype(int) - picture[:60]).mean() for each in answers]
    assert off[0] > 5 * off[1]


def test_a_plain_ground_is_put_right_by_the_outline() -> None:
    """A shop's white ground holds nothing; the product's outline does, whatever it is made of now."""
    picture = np.full((400, 600, 3), 245, np.uint8)
    mask = np.zeros((400, 600), np.uint8)
    cv2.ellipse(mask, (300, 200), (130, 90), 20, 0, 360, 255, -1)
    leather = photograph("chelsea.png")[:400, :451]
    texture = cv2.resize(leather, (600, 400)) // 2
    picture[mask > 0] = texture[mask > 0]
    changed = picture.copy()
    changed[mask > 0] = (texture[::-1] // 2 + 30)[mask > 0]
    put = Put((6, -5), 1.01, 1.0)
    moved, drift = register(picture, put.of(changed), 255 - mask)
    assert drift.by_outline and drift.left < 0.5
    matrix = put.matrix((600, 400))
    middle = matrix @ (300, 200, 1) - (300, 200)
    assert np.hypot(*(np.array(drift.shift) - middle)) < 1.0
    edge = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, np.ones((5, 5), np.uint8)) > 0
    assert (
        np.abs(moved[edge].astype(int) - changed[edge]).mean()
        < 0.5 * np.abs(put.of(changed)[edge].astype(int) - changed[edge]).mean()
    )


@pytest.mark.parametrize(("has", "wanted"), [(9.0, 3.0), (0.0, 6.0), (4.0, 4.2)])
def test_grain_is_brought_to_what_it_was(has: float, wanted: float) -> None:
    smooth = cv2.GaussianBlur(photograph("coffee.png"), (0, 0), 2)
    grainy = np.clip(smooth + np.random.default_rng(1).normal(0, has, smooth.shape[:2])[..., None], 0, 255)
    grainy = grainy.astype(np.uint8)
    everywhere = np.full(smooth.shape[:2], 255, np.uint8)
    had = spread(grainy, everywhere)
    assert abs(had - has) < 0.15 * has + 0.5
    made = match_grain(grainy, everywhere, wanted, seed=3)
    assert abs(spread(made, everywhere) - wanted) < 0.2 * wanted + 0.4


USELESS = {"nearly black": Put(gain=0.05), "nearly grey": Put(gain=0.1, lift=110), "black": Put(gain=0.02)}


@pytest.mark.parametrize("name", ["coffee.png", "chelsea.png"])
@pytest.mark.parametrize("put", USELESS)
def test_colours_that_are_lost_are_refused(put: str, name: str) -> None:
    with pytest.raises(NotRegistered, match="the model has lost them|in common|recognised"):
        EditEnhancer(Model(USELESS[put])).enhance(task(photograph(name)))


def test_another_light_that_was_asked_for_is_told_only() -> None:
    model = Model(USELESS["nearly grey"])
    with pytest.raises(NotRegistered, match="lower the colour match where the light is to change"):
        EditEnhancer(model).enhance(task(photograph("coffee.png")))
    answer = EditEnhancer(model).enhance(task(photograph("coffee.png"), edit_colour_match=0.5))
    assert any("whether the model has kept the picture" in note for note in answer.notes)
    kept = EditEnhancer(Model(Put(gain=0.8))).enhance(task(photograph("coffee.png"), edit_colour_match=0.5))
    assert not any("whether the model" in note for note in kept.notes)


@pytest.mark.parametrize("command", ["enhance", "batch"])
@pytest.mark.parametrize("is_there", [False, True], ids=["missing", "no picture"])
def test_references_are_read_before_anything_is_made(
    command: str, is_there: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures, out, wrong = tmp_path / "in", tmp_path / "out", tmp_path / "marble.png"
    pictures.mkdir()
    (pictures / "a.png").write_bytes((SKIMAGE / "coffee.png").read_bytes())
    if is_there:
        wrong.write_bytes(b"no picture")
    given = pictures / "a.png" if command == "enhance" else pictures
    options = ["--products", "cup", "--engine", "edit", "--edit-references", str(wrong), "--webui", "127.0.0.1:9"]
    assert main([command, str(given), "--out", str(out), *options]) == 2
    said = capsys.readouterr().err
    assert "marble.png" in said and said.count("\n") == 1 and not out.exists()


@pytest.mark.parametrize("name", ["http://127.0.0.1/marble.jpg", "s3://bucket/marble.jpg"])
def test_an_address_is_no_reference(name: str) -> None:
    with pytest.raises(RequestError, match="files, not addresses"):
        Request(products="cup", engine="edit", edit_references=f"logo.png\n{name}")


def test_a_drift_beyond_the_limit_is_refused() -> None:
    with pytest.raises(NotRegistered, match="drift limit"):
        EditEnhancer(Model(Put((9, 0)))).enhance(task(photograph("coffee.png"), edit_drift_limit=0.005))


@pytest.mark.parametrize(
    ("settings", "field_name"),
    [
        ({"edit_references": "a.png\nb.png\nc.png\nd.png"}, "edit_references"),
        ({"engine": "edit", "edit_instruction": "  "}, "edit_instruction"),
    ],
)
def test_what_no_edit_can_do_is_refused(settings: dict[str, Any], field_name: str) -> None:
    with pytest.raises(RequestError) as refused:
        Request(products="cup", **settings)
    assert [problem.field for problem in refused.value.problems] == [field_name]
