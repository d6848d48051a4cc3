"""Enlarging: by what, and that it is told."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from lib_prodshot.enhancing import NoEngine
from lib_prodshot.errors import EnhanceError, RequestError
from lib_prodshot.hosts.upscaling import HostUpscaler
from lib_prodshot.jobs.processor import upscaler_of
from lib_prodshot.outcome import Outcome, PackshotAudit
from lib_prodshot.packshot import upscaling
from lib_prodshot.pictures import LoadedPicture
from lib_prodshot.pipeline import run
from lib_prodshot.request import Request
from tests.finders import fixed_finder

Rgb = npt.NDArray[np.uint8]

MODEL = Request(products="car", make="packshot", edges="feather", enlarge="model", size="400x400", fill=0.8)


class Brighter:
    """Repeats pixels and adds a level, so that its work can be told from interpolation."""

    name = "Brighter 4x"

    def __init__(self) -> None:
        self.factors: list[int] = []

    def enlarge(self, rgb: Rgb, factor: int) -> Rgb:
        self.factors.append(factor)
        larger = rgb.repeat(factor, axis=0).repeat(factor, axis=1).astype(int)
        return np.clip(larger + 7, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def loaded() -> LoadedPicture:
    rng = np.random.default_rng(5)
    return LoadedPicture.from_rgb(cv2.GaussianBlur(rng.integers(0, 240, (80, 120, 3), np.uint8), (5, 5), 0))


def made(loaded: LoadedPicture, request: Request, upscaler: Any = None) -> Outcome:
    return run(loaded, request, fixed_finder(), NoEngine(), upscaler=upscaler)


def test_a_model_enlarges_the_product_and_is_named(loaded: LoadedPicture) -> None:
    model = Brighter()
    outcome = made(loaded, MODEL, model)
    assert outcome.status == "found", outcome.verdict
    assert model.factors == [4], "one pass over the product"
    shot = outcome.to_json()["packshots"][0]
    assert shot["enlarged_by"] == "Brighter 4x" and shot["scale"] == pytest.approx(400 * 0.8 / 60, rel=0.1)
    assert shot["size"] == [400, 400] and shot["fill"] == pytest.approx(0.8, abs=0.006)
    assert isinstance(outcome.audit, PackshotAudit) and outcome.audit.changed_inside == 0
    assert shot["audit"]["compared_with"] == "the input, enlarged by Brighter 4x, resampled"
    assert any("enlarged" in note and "by Brighter 4x" in note for note in outcome.notes)
    plain = made(loaded, MODEL.replace(enlarge="plain"))
    assert plain.picture is not None and outcome.picture is not None and plain.alpha is not None
    assert plain.to_json()["packshots"][0]["enlarged_by"] == upscaling.PLAIN
    middle = (slice(150, 250), slice(100, 300))
    brighter = outcome.picture[middle].astype(int) - plain.picture[middle]
    assert 5 < np.median(brighter) < 9
    assert (outcome.picture[:20] == 255).all()


def test_nothing_is_enlarged_unasked_or_where_it_need_not_be(loaded: LoadedPicture) -> None:
    model = Brighter()
    small = made(loaded, MODEL.replace(size="50x50"), model)
    never = made(loaded, MODEL.replace(enlarge="never"), model)
    assert not model.factors
    for outcome in (small, never):
        assert outcome.packshots[0].scale <= 1 and outcome.packshots[0].enlarged_by == ""
    without = made(loaded, MODEL)
    assert without.status == "failed" and "there is no upscaler" in without.verdict.reason


def test_a_model_file_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upscaling, "_spandrel", lambda: SimpleNamespace())
    assert upscaler_of(MODEL.replace(enlarge="plain")) is None
    for name in ("", str(tmp_path / "no.pth")):
        with pytest.raises(RequestError, match="upscaler: "):
            upscaler_of(MODEL.replace(upscaler=name))
    (tmp_path / "x4.pth").write_bytes(b"")
    found = upscaler_of(MODEL.replace(upscaler=str(tmp_path / "x4.pth")))
    assert found is not None and found.name == "x4"


def test_a_model_file_goes_over_the_picture_tile_by_tile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles meet without a seam, for every pixel comes from a tile that holds its surroundings."""
    model = upscaling.ModelFile(tmp_path / "x2.pth")
    vars(model)["_model"] = SimpleNamespace(scale=2)
    seen: list[tuple[int, ...]] = []

    def enlarge(tile: Rgb) -> Rgb:
        seen.append(tile.shape)
        blurred = cv2.blur(tile, (9, 9))
        return np.asarray(blurred.repeat(2, axis=0).repeat(2, axis=1))

    monkeypatch.setattr(model, "_run", enlarge)
    rgb = np.random.default_rng(2).integers(0, 255, (300, 530, 3), np.uint8)
    result = model.enlarge(rgb, 2)
    whole = cv2.blur(cv2.copyMakeBorder(rgb, 16, 16, 16, 16, cv2.BORDER_REPLICATE), (9, 9))[16:-16, 16:-16]
    assert np.array_equal(result, whole.repeat(2, axis=0).repeat(2, axis=1))
    assert len(seen) == 6 and max(max(shape[:2]) for shape in seen) <= 256 + 32
    assert model.enlarge(rgb[:40, :50], 3).shape == (120, 150, 3)
    assert model.enlarge(rgb[:40, :50], 4).shape == (160, 200, 3)


def test_a_real_model_of_a_known_architecture_is_loaded(tmp_path: Path, loaded: LoadedPicture) -> None:
    pytest.importorskip("spandrel")
    import torch
    from spandrel.architectures.Compact import Compact

    torch.manual_seed(0)
    weights = Compact(num_in_ch=3, num_out_ch=3, num_feat=8, num_conv=1, upscale=2).state_dict()
    torch.save(weights, tmp_path / "tiny.pth")
    outcome = made(loaded, MODEL, upscaling.model_file(str(tmp_path / "tiny.pth")))
    assert outcome.status == "found", outcome.verdict
    assert outcome.packshots[0].enlarged_by == "tiny"
    (tmp_path / "none.pth").write_bytes(b"nothing")
    broken = made(loaded, MODEL, upscaling.model_file(str(tmp_path / "none.pth")))
    assert broken.status == "failed" and "no upscaling model" in broken.verdict.reason


class Scaler:
    """As the WebUI's: both sides of what it gives are multiples of 8."""

    def upscale(self, image: Image.Image, scale: float, path: str | None) -> Image.Image:
        if path == "broken":
            raise RuntimeError("out of luck")
        if path == "missing":
            return image
        return image.resize((int(image.width * scale // 8 * 8), int(image.height * scale // 8 * 8)), 0)


LISTED = [
    SimpleNamespace(name=name, scaler=Scaler(), data_path=path)
    for name, path in (("None", None), ("Lanczos", None), ("R-ESRGAN 4x+", "x"), ("Bad", "broken"), ("Gone", "missing"))
]


def test_the_webuis_upscalers() -> None:
    assert HostUpscaler("", LISTED).name == "R-ESRGAN 4x+" == HostUpscaler("r-esrgan 4X+", LISTED).name
    rgb = np.random.default_rng(1).integers(0, 255, (13, 21, 3), np.uint8)
    assert np.array_equal(HostUpscaler("", LISTED).enlarge(rgb, 3), rgb.repeat(3, axis=0).repeat(3, axis=1))
    for name in ("Bad", "Gone"):
        with pytest.raises(EnhanceError, match=name):
            HostUpscaler(name, LISTED).enlarge(rgb, 2)
    with pytest.raises(RequestError, match=r"upscaler: .*nearest: R-ESRGAN 4x\+"):
        HostUpscaler("ESRGAN 4x", LISTED)
    with pytest.raises(RequestError, match="upscaler: this WebUI has no upscaler"):
        HostUpscaler("", LISTED[:2])
