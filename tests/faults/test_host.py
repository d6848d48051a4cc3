"""Every call that Prodshot makes of the WebUI around it, failing once: script and accordion keep their pictures, tell
why, and work the next time. Hosts swallow what hooks raise, so nothing may depend on an exception being seen."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lib_prodshot.hosts import webui as real_host
from lib_prodshot.hosts.generation import session
from lib_prodshot.hosts.nested_pass import backend as nested_pass
from tests.faults.entry_points import Accordion, EntryPoint, Script
from tests.faults.faults import raises, strike_once
from tests.hosts.conftest import noise_picture, outcomes, parameters

ODD = RuntimeError("the host is not itself")


@pytest.fixture(params=[Script, Accordion], ids=["script", "accordion"])
def entry(request: pytest.FixtureRequest, webui: Any, capsys: pytest.CaptureFixture[str]) -> EntryPoint:
    return request.param(webui, capsys)  # type: ignore[no-any-return]


def failed_once(
    entry: EntryPoint, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, error: BaseException
) -> None:
    """The call fails for the first picture: the four things hold."""
    reason = str(error)
    with monkeypatch.context() as patch:
        struck = strike_once(patch, owner, name, raises(error))
        observed = entry.run()
    assert struck, f"nobody called {name}"
    assert observed.statuses == ["failed", "found"], (name, observed)
    assert observed.untouched and not observed.left
    for surface, text in observed.surfaces.items():
        assert reason in " ".join(text.split()), (name, surface, text)
    assert entry.run().statuses == ["found", "found"]


@pytest.mark.parametrize("name", ["interrupted", "use_finder", "inpainting_backend", "lossy_format"])
def test_each_call_of_the_host(entry: EntryPoint, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    failed_once(entry, monkeypatch, real_host.WebUI, name, ODD)


@pytest.mark.parametrize("name", ["family", "missing_loras", "check", "inpaint"])
def test_each_call_of_the_inpainting_backend(entry: EntryPoint, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    failed_once(entry, monkeypatch, nested_pass.NestedPassBackend, name, ODD)


def test_a_pass_that_cannot_even_be_made(entry: EntryPoint, webui: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    failed_once(entry, monkeypatch, nested_pass.NestedPassBackend, "_processing", ODD)


def test_sampling_that_dies(entry: EntryPoint, webui: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    failed_once(entry, monkeypatch, nested_pass, "_run", ODD)


def test_a_finder_that_cannot_be_loaded(entry: EntryPoint, monkeypatch: pytest.MonkeyPatch) -> None:
    from lib_prodshot.errors import FinderUnavailable
    from lib_prodshot.hosts import finder_cache

    failed_once(
        entry, monkeypatch, finder_cache, "choose", FinderUnavailable("no finder can run here: put dino.pth there")
    )


def test_a_checkpoint_that_does_not_come_back_to_the_gpu(
    entry: EntryPoint, webui: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed_once(entry, monkeypatch, session, "enhancer_for", RuntimeError("CUDA error: device-side assert triggered"))


# --- ControlNet, loaded by half -------------------------------------------------------------------------------------


def models_fail(webui: Any, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(control_code(), "get_models", lambda update=False: 1 / 0)


def module_is_gone(webui: Any, patch: pytest.MonkeyPatch) -> None:
    patch.setitem(sys.modules, "internal_controlnet.external_code", None)


def no_model(webui: Any, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(control_code(), "get_models", lambda update=False: ["None"])


def no_preprocessor(webui: Any, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(control_code(), "get_modules", lambda alias_names=False: ["none"])


def no_hook(webui: Any, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(webui.control.MikubillScript, "process", lambda self, p, *args: None)


def hook_fails(webui: Any, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(webui.control, "Hook", lambda unit: 1 / 0)


def control_code() -> Any:
    return sys.modules["internal_controlnet.external_code"]


HALVES: dict[Callable[[Any, pytest.MonkeyPatch], None], str] = {
    models_fail: "cannot be asked for its models: ZeroDivisionError",
    module_is_gone: "cannot be asked for its models: ModuleNotFoundError",
    no_model: "no depth model for SD1.5 is installed",
    no_preprocessor: "the preprocessor 'depth_midas' is not installed",
    no_hook: "ControlNet did not take part",
    hook_fails: "ControlNet did not take part",
}


@pytest.mark.parametrize("half", HALVES, ids=lambda half: half.__name__)
def test_controlnet_loaded_by_half(
    webui: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, half: Callable[..., None]
) -> None:
    """Required, it fails the picture; preferred, the picture is made and the reason stands beside it."""
    given = noise_picture()
    for control, status, key in (("required", "failed", "Prodshot"), ("preferred", "found", "Prodshot notes")):
        with monkeypatch.context() as patch:
            half(webui, patch)
            looked = webui.run_script({"products": "mug", "control": control}, init_images=[given])
        (line,) = outcomes(looked)
        assert line["status"] == status, line
        reason = HALVES[half]
        assert reason in parameters(webui, looked)[key], parameters(webui, looked)
        assert reason in looked.comments and reason in capsys.readouterr().out
        assert reason in " ".join([line["reason"], *line["notes"]])
        if status == "failed":
            assert np.array_equal(np.asarray(looked.images[0]), np.asarray(given))
    looked = webui.run_script({"products": "mug", "control": "required"}, init_images=[given])
    assert outcomes(looked)[0]["status"] == "found"


# --- what cannot be saved -------------------------------------------------------------------------------------------


def test_a_picture_that_cannot_be_saved_comes_back_and_is_told(
    webui: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    given = [noise_picture(seed=seed) for seed in (0, 1)]
    with monkeypatch.context() as patch:
        strike_once(patch, webui.images, "save_image", raises(full))
        looked = webui.run_script({"products": "mug"}, init_images=given, batch_size=2)
    assert [line["status"] for line in outcomes(looked)] == ["found", "found"]
    assert len(looked.images) == 2
    assert "could not be written" in looked.comments and "No space left" in looked.comments
    assert "No space left" in capsys.readouterr().out
    assert len(list((webui.folder / "out").glob("*.png"))) == 1


def test_a_mask_that_cannot_be_saved_does_not_take_the_picture_with_it(
    webui: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    real = webui.images.save_image

    def no_masks(*arguments: Any, suffix: str = "", **named: Any) -> Any:
        if suffix:
            raise full
        return real(*arguments, suffix=suffix, **named)

    monkeypatch.setattr(webui.images, "save_image", no_masks)
    settings = {"products": "mug", "save_masks": True}
    looked = webui.generate(n_iter=2, do_not_save_grid=True, accordion=[True, settings])
    assert [line["status"] for line in outcomes(looked)] == ["found", "found"]
    assert "No space left" in looked.comments and len(looked.images) == 4
