"""Whatever goes wrong: the picture stays as it was, the reason stands in infotext, page and console, life goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lib_prodshot.bootstrap import ROOT
from lib_prodshot.errors import FinderUnavailable
from lib_prodshot.hosts import finder_cache
from lib_prodshot.hosts.generation import script_runs
from lib_prodshot.hosts.generation.session import NO_FINDER_ADVICE
from tests.hosts.conftest import Double, noise_picture, outcomes, parameters, pixels

pytestmark = pytest.mark.any_host

CAR = {"products": "car"}


def refused(webui: Double, capsys: pytest.CaptureFixture[str], settings: dict[str, Any], reason: str) -> None:
    """The run fails with this reason on every surface, and the next one works."""
    given = noise_picture()
    looked = webui.run_script(settings, init_images=[given])
    assert np.array_equal(pixels(looked.images[0]), pixels(given))
    assert reason in parameters(webui, looked)["Prodshot"], parameters(webui, looked)["Prodshot"]
    assert reason in looked.comments
    assert reason in capsys.readouterr().out
    assert outcomes(looked)[0]["status"] == "failed"


def works(webui: Double) -> None:
    looked = webui.run_script(CAR, init_images=[noise_picture()])
    assert outcomes(looked)[0]["status"] == "found"


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"grow": -400}, "the mask is empty after shrinking"),
        ({"sampler": "Zorro"}, "there is no sampler 'Zorro'; choose one of DPM++ 2M"),
        ({"scheduler": "Zorro"}, "there is no scheduler 'Zorro'; choose one of Automatic"),
        ({"checkpoint": "zorro"}, "there is no checkpoint 'zorro'"),
        ({"control": "required", "control_model": "zorro"}, "the model 'zorro' is not installed"),
        ({"control": "required", "control_module": "zorro"}, "the preprocessor 'zorro' is not installed"),
        ({"control": "required", "control_module": "depth_broken"}, "did not take part"),
    ],
)
def test_settings_that_cannot_be_followed(
    webui: Double, capsys: pytest.CaptureFixture[str], settings: dict[str, Any], reason: str
) -> None:
    refused(webui, capsys, {**CAR, **settings}, reason)
    works(webui)


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise error

    return fail


def test_errors_in_every_stage(
    webui: Double, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class OutOfMemoryError(RuntimeError):
        pass

    def black(p: Any, seed: int) -> Any:
        return np.zeros((p.height, p.width, 3), np.uint8)

    processing = webui.processing
    kind = processing.StableDiffusionProcessingImg2Img
    stages = [
        (finder_cache, "choose", FinderUnavailable("no finder can run here"), "no finder can run here"),
        (webui.finder.detector, "detect", ValueError("bad weights"), "ValueError: bad weights"),
        (webui.finder.segmenter, "segment", MemoryError(), "out of memory"),
        (processing, "process_images", webui.devices.NansException("nan"), "gave no numbers (NaN)"),
        (processing, "process_images", OutOfMemoryError("CUDA"), "ran out of memory"),
        (processing, "process_images", RuntimeError("no checkpoint"), "RuntimeError: no checkpoint"),
        (kind, "sample", black, "gave an empty picture"),
    ]
    for place, name, trouble, reason in stages:
        with monkeypatch.context() as patch:
            patch.setattr(place, name, raising(trouble) if isinstance(trouble, Exception) else trouble)
            refused(webui, capsys, CAR, reason)
        works(webui)


def test_a_failed_pass_leaves_the_generation_as_it_was(webui: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = webui.generate(n_iter=2, do_not_save_grid=True)
    options = dict(webui.shared.opts.data)
    real, calls = webui.processing.process_images_inner, []

    def fail_inside(p: Any) -> Any:
        calls.append(p)
        if hasattr(p, "init_images"):
            (webui.folder / "params.txt").write_text("the pass's own")
            raise RuntimeError("boom")
        return real(p)

    monkeypatch.setattr(webui.processing, "process_images_inner", fail_inside)
    looked = webui.generate(n_iter=2, do_not_save_grid=True, accordion=[True, CAR])
    assert len(calls) == 3
    for before, after in zip(plain.images, looked.images):
        assert np.array_equal(pixels(before), pixels(after))
    assert webui.shared.opts.data == options
    assert (webui.folder / "params.txt").read_text().startswith("a photo")
    assert [outcome["reason"] for outcome in outcomes(looked)] == ["the inpaint pass failed: RuntimeError: boom"] * 2


@pytest.mark.parametrize("flag", ["interrupted", "skipped"])
def test_interrupted_while_the_pass_runs(webui: Double, monkeypatch: pytest.MonkeyPatch, flag: str) -> None:
    kind = webui.processing.StableDiffusionProcessingImg2Img
    real = kind.sample

    def interrupt(p: Any, seed: int) -> Any:
        setattr(webui.state, flag, True)
        return real(p, seed)

    plain = webui.generate(n_iter=3, do_not_save_grid=True)
    monkeypatch.setattr(kind, "sample", interrupt)
    looked = webui.generate(n_iter=3, do_not_save_grid=True, accordion=[True, CAR])
    assert np.array_equal(pixels(looked.images[0]), pixels(plain.images[0]))
    assert outcomes(looked)[0]["reason"] == "interrupted"
    # an interrupt ends the generation around the pass, a skip only its picture
    assert len(looked.images) == (1 if flag == "interrupted" else 3)
    assert webui.state.interrupted is (flag == "interrupted")


def test_interrupted_before(webui: Double) -> None:
    p = webui.generation(is_img2img=True, init_images=[noise_picture()], n_iter=2)
    webui.state.begin("test")
    webui.state.interrupted = True
    looked = webui.run_on(p, CAR)
    assert outcomes(looked)[0]["reason"] == "interrupted before it was looked at"
    assert len(looked.images) == 1 and webui.samplings == [] and webui.detector.calls == 0


def test_another_script_raising_is_not_our_trouble(webui: Double) -> None:
    class Raiser(webui.scripts.Script):  # type: ignore[misc, name-defined]
        def title(self) -> str:
            return "Raiser"

        def show(self, is_img2img: bool) -> object:
            return webui.scripts.AlwaysVisible

        def postprocess_image(self, p: object, pp: object, *args: object) -> None:
            raise RuntimeError("not ours")

        postprocess_image_after_composite = postprocess_image

    p = webui.generation(accordion=[True, CAR])
    p.scripts.add(Raiser(), 0)
    looked = webui.processing.process_images(p)
    assert outcomes(looked)[0]["status"] == "found"


def test_frozen_settings_do_not_stop_a_pass(webui: Double) -> None:
    given = noise_picture()
    webui.shared.cmd_opts.freeze_settings = True
    looked = webui.run_script(CAR, init_images=[given])
    assert outcomes(looked)[0]["status"] == "found"
    assert outcomes(looked)[0]["audit"]["changed_outside"] == 0
    assert np.abs(pixels(looked.images[0]) - pixels(given))[30:50, 40:60].mean() > 5


@pytest.mark.parametrize("size", [(20, 30), (64, 9), (9, 700)])
def test_small_and_narrow_pictures(webui: Double, size: tuple[int, int]) -> None:
    given = noise_picture(size=size)
    looked = webui.run_script({**CAR, "feather": 1.0}, init_images=[given])
    assert looked.images[0].size == size
    assert outcomes(looked)[0]["status"] == "found"
    (inner,) = webui.samplings
    assert inner.width % 8 == inner.height % 8 == 0 and 40**2 <= inner.width * inner.height <= 90**2


def test_a_product_that_touches_every_edge(webui: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    given = noise_picture()
    looked = webui.run_script({**CAR, "grow": 200}, init_images=[given])
    assert outcomes(looked)[0]["audit"]["changed_outside"] == 0
    assert outcomes(looked)[0]["detections"][0]["area"] == 96 * 80


def test_a_lora_that_is_not_installed_is_left_out_and_said(webui: Double) -> None:
    prompt = "[class], <lora:zorro:0.8>, red, <lora:ppzocketv2-10:1>"
    looked = webui.run_script({**CAR, "prompt": prompt, "fidelity": "off"}, init_images=[noise_picture()])
    (inner,) = webui.samplings
    assert inner.prompt == "car, red, <lora:ppzocketv2-10:1>"
    assert parameters(webui, looked)["Prodshot notes"] == "LoRA not installed, left out of the prompt: zorro"


def test_without_a_finder_a_generation_says_one_sentence(webui: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    long = FinderUnavailable("put dino.pth there: run prodshot weights fetch", "there is no finder here yet")
    monkeypatch.setattr(finder_cache, "choose", raising(long))
    looked = webui.run_script(CAR, init_images=[noise_picture()])
    told = f"failed: there is no finder here yet; {NO_FINDER_ADVICE}"
    assert parameters(webui, looked)["Prodshot"] == told
    assert told in looked.comments and "prodshot weights" not in looked.comments
    # by these words our script offers the button
    assert NO_FINDER_ADVICE in (ROOT / "javascript" / "prodshot_notes.js").read_text().replace("\\'", "'")


@pytest.mark.parametrize("values", [{"init_images": [noise_picture()]}, {}], ids=["img2img", "txt2img"])
@pytest.mark.parametrize("on", [True, False])
def test_of_script_and_accordion_one_works_and_it_is_said_which(
    webui: Double, values: dict[str, Any], on: bool
) -> None:
    p = webui.generation(is_img2img="init_images" in values, accordion=[on, "handbag"], **values)
    looked = webui.run_on(p, CAR)
    assert (script_runs.IDLE_ACCORDION in (looked.comments or "")) is on
    assert [outcome["products"] for outcome in outcomes(looked)] == [["car"]]
