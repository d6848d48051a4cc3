"""An edit on a remote WebUI: what it is sent, and what is made of what it tells of edit models, or does not."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

httpx = pytest.importorskip("httpx")

from lib_prodshot.editing import EditPass, Sampling  # noqa: E402
from lib_prodshot.errors import EnhanceError  # noqa: E402
from lib_prodshot.hosts.remote import RemoteWebUI  # noqa: E402
from lib_prodshot.hosts.remote.inpainting import RemoteInpaintingBackend  # noqa: E402
from tests.api.test_remote import as_code, as_file, noise  # noqa: E402

pytestmark = pytest.mark.any_host

PICTURE = noise(1, (128, 192))
PLAN = EditPass(PICTURE, "put new leather on the bag", "", 5)
NEO = {
    "klein_no_reference": True,
    "qwen_vae_resize": False,
    "sd_model_checkpoint": "klein-4b.safetensors",
    "klein_i2i_step": 4,
    "klein_i2i_cfg": 1.0,
    "klein_i2i_sampler": "Euler",
    "klein_i2i_scheduler": "Beta",
}
KLEIN = {"supported": True, "model": "Flux.2 Klein", "stitch": "Bilder aneinander"}


class Remote:
    """A WebUI with these options, whose Prodshot tells these things of edit models, one after another (None: none is
    installed); what it was sent."""

    def __init__(self, options: dict[str, Any], *told: dict[str, Any] | None, scripts: tuple[str, ...] = ()) -> None:
        self.answer: Any = httpx.Response(200, json={"images": [as_code(as_file(noise(2, (128, 192))))], "info": "{}"})
        self.options, self.told, self.scripts = options, list(told), scripts
        self.sent: list[dict[str, Any]] = []
        transport = httpx.MockTransport(self._answer)
        self.backend = RemoteInpaintingBackend(RemoteWebUI("http://shop", transport=transport))

    def _answer(self, request: Any) -> Any:
        path = request.url.path
        if path.endswith("/options"):
            return httpx.Response(200, json=self.options)
        if path.endswith("/status"):
            told = self.told.pop(0) if len(self.told) > 1 else self.told[0]
            return httpx.Response(404, json={}) if told is None else httpx.Response(200, json={"edit": told})
        if path.endswith("/script-info"):
            flags = {"is_alwayson": True, "is_img2img": True}
            return httpx.Response(200, json=[{"name": name, **flags} for name in self.scripts])
        if path.endswith("/img2img"):
            self.sent.append(json.loads(request.content))
            return self.answer
        names = ("Euler", "DPM++ 2M") if path.endswith("/samplers") else ("Beta", "Karras")
        return httpx.Response(200, json=[{"name": name, "label": name} for name in names])


def test_a_pass_has_no_mask_and_the_models_own_sampling() -> None:
    remote = Remote(NEO, KLEIN)
    result = remote.backend.edit(PLAN)
    (body,) = remote.sent
    assert "mask" not in body and "alwayson_scripts" not in body and body["denoising_strength"] == 1.0
    assert (body["width"], body["height"], body["override_settings"]["klein_no_reference"]) == (192, 128, False)
    assert (
        result.sampling
        == Sampling(4, 1.0, "Euler", "Beta")
        == Sampling(body["steps"], body["cfg_scale"], body["sampler_name"], body["scheduler"])
    )
    assert result.notes == () and np.array_equal(result.picture, noise(2, (128, 192)))


def test_kontext_is_sent_the_presets_distilled_cfg() -> None:
    flux = {"flux_i2i_step": 20, "flux_i2i_cfg": 1.0, "flux_i2i_sampler": "Euler"}
    remote = Remote(NEO | flux | {"flux_i2i_scheduler": "Beta", "flux_i2i_dcfg": 3.0}, KLEIN | {"model": "Kontext"})
    assert remote.backend.edit(PLAN).sampling == Sampling(20, 1.0, "Euler", "Beta", 3.0)
    assert remote.sent[0]["distilled_cfg_scale"] == 3.0


@pytest.mark.parametrize(
    ("told", "scripts", "name"),
    [
        (KLEIN, ("prodshot", "bilder aneinander"), "bilder aneinander"),
        (None, ("imagestitch integrated",), "imagestitch integrated"),
        (None, ("prodshot",), ""),
    ],
)
def test_further_references(told: dict[str, Any] | None, scripts: tuple[str, ...], name: str) -> None:
    remote = Remote(NEO, told, scripts=scripts)
    result = remote.backend.edit(EditPass(PICTURE, "x", "", 5, references=(noise(3, (33, 71)), noise(4, (50, 9)))))
    given = remote.sent[0].get("alwayson_scripts", {})
    assert list(given) == ([name] if name else [])
    if name:
        (enabled, pictures, longest) = given[name]["args"]
        assert (enabled, len(pictures), longest) == (True, 2, 0)
    assert any("no image stitch" in note for note in result.notes) == (not name)


def test_a_webui_without_edit_models_is_sent_nothing() -> None:
    remote = Remote({"sd_model_checkpoint": "klein.safetensors"}, KLEIN)
    with pytest.raises(EnhanceError, match="runs no edit models .*; neo does"):
        remote.backend.edit(PLAN)
    assert not remote.sent


@pytest.mark.parametrize("before", ["", None], ids=["loaded", "not yet"])
def test_another_checkpoint_is_refused(before: str | None) -> None:
    """Before the pass where it is loaded; a WebUI that loads it for the pass tells afterwards."""
    remote = Remote(NEO, KLEIN | {"model": before}, KLEIN | {"model": ""})
    with pytest.raises(EnhanceError, match=r"checkpoint klein-4b.safetensors is none"):
        remote.backend.edit(PLAN)
    assert len(remote.sent) == (before is None)


def test_without_prodshot_there_it_is_said_that_nobody_knows() -> None:
    (note,) = Remote(NEO, None).backend.edit(PLAN).notes
    assert "does not tell whether its checkpoint is an edit model" in note


ERROR = {
    "error": "OutOfMemoryError",
    "detail": "",
    "body": "",
    "errors": "CUDA out of memory.\nTried to allocate 3 GiB",
}


@pytest.mark.parametrize(
    ("status", "answer", "told"),
    [
        (500, ERROR, r"OutOfMemoryError: CUDA out of memory\. Tried to allocate 3 GiB; lower the resolution"),
        (500, {"error": "ValueError", "errors": "no such layer"}, "ValueError: no such layer$"),
        (200, {"images": [], "info": "{}"}, "sent no picture.*interrupted"),
        (200, {"info": "{}"}, "sent no picture.*interrupted"),
    ],
    ids=["memory", "error", "no images", "no key"],
)
def test_what_went_wrong_there_is_told(status: int, answer: dict[str, Any], told: str) -> None:
    remote = Remote(NEO, KLEIN)
    remote.answer = httpx.Response(status, json=answer)
    with pytest.raises(EnhanceError, match=told):
        remote.backend.edit(PLAN)


@pytest.mark.parametrize(
    ("form", "name"), [("GIF", "GIF"), ("JPEG", "JPEG"), ("WEBP", "WebP"), ("PNG", ""), ("BMP", "")]
)
def test_a_lossy_answer_is_called_by_its_format(form: str, name: str) -> None:
    remote, file = Remote(NEO, KLEIN), BytesIO()
    Image.fromarray(noise(2, (128, 192))).save(file, form)
    remote.answer = httpx.Response(200, json={"images": [as_code(file.getvalue())], "info": "{}"})
    notes = remote.backend.edit(PLAN).notes
    assert [note.split(":")[0] for note in notes] == ([f"the WebUI sends its pictures as {name}"] if name else [])
