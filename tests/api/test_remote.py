"""The client for a WebUI somewhere else: our routes, retries, errors in words, and inpaint passes for the CLI."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="tested where FastAPI and gradio are: under the WebUIs' pins")
pytest.importorskip("gradio", reason="tested where FastAPI and gradio are: under the WebUIs' pins")

httpx = pytest.importorskip("httpx")

from lib_prodshot import pipeline  # noqa: E402
from lib_prodshot.enhancing.inpaint import InpaintEnhancer  # noqa: E402
from lib_prodshot.errors import EnhanceError, RequestError  # noqa: E402
from lib_prodshot.hosts.remote import RemoteError, RemoteWebUI  # noqa: E402
from lib_prodshot.hosts.remote.client import ATTEMPTS  # noqa: E402
from lib_prodshot.hosts.remote.inpainting import RemoteInpaintingBackend  # noqa: E402
from lib_prodshot.inpainting import InpaintPass, PassInterrupted  # noqa: E402
from lib_prodshot.pictures import LoadedPicture  # noqa: E402
from lib_prodshot.request import Request  # noqa: E402
from lib_prodshot.webui.api import routes  # noqa: E402
from lib_prodshot.webui.jobs.table import Control, JobTable  # noqa: E402
from tests.api.local_host import LocalHost  # noqa: E402
from tests.api.tools import WebUI, as_code, as_file, dark, noise  # noqa: E402
from tests.finders import fixed_finder  # noqa: E402


def scripted(*answers: Any) -> tuple[RemoteWebUI, list[Any], list[float]]:
    """A client whose server gives these answers one after another; the requests and the pauses it made."""
    waiting, requests, pauses = list(answers), [], []

    def answer(request: Any) -> Any:
        requests.append(request)
        given = waiting.pop(0)
        if isinstance(given, Exception):
            raise given
        return given

    client = RemoteWebUI("http://shop:7860", transport=httpx.MockTransport(answer), sleep=pauses.append)
    return client, requests, pauses


def ok(**told: Any) -> Any:
    return httpx.Response(200, json=told)


# --- our routes -----------------------------------------------------------------------------------------------------


def test_detect_and_enhance(server: str) -> None:
    before = noise(2, (96, 128))
    with RemoteWebUI(server) as remote:
        found, skipped = remote.detect([as_file(before), as_file(dark())], products="handbag, shoe")
        (enhanced,) = remote.enhance([as_file(before)], ["output", "mask"], products="handbag", engine="retouch")
    assert found.outcome.status == "found" and found.outcome.detections[0].label == "handbag"
    assert found.outcome.detections[0].box == (32, 24, 96, 72) and found.mask and not found.output
    assert skipped.outcome.status == "skipped" and skipped.outcome.products == ("handbag", "shoe")
    assert enhanced.outcome.audit is not None and enhanced.outcome.audit.changed_outside == 0
    assert enhanced.output.startswith(b"\x89PNG")
    assert "png" not in repr(enhanced).lower()


def test_schema_and_status(server: str) -> None:
    with RemoteWebUI(server) as remote:
        assert {"products", "engine"} <= {setting["name"] for setting in remote.schema()}
        assert remote.status()["family"] == "sd15"


def test_a_refusal_names_the_fields(server: str) -> None:
    with RemoteWebUI(server) as remote, pytest.raises(RequestError) as refused:
        remote.enhance([as_file(noise())], products="handbag", padding=9999, feather=-1)
    assert {problem.field for problem in refused.value.problems} == {"padding", "feather"}


def test_credentials(server: str, host: LocalHost) -> None:
    host.credentials = {"seller": "p@ss:word"}
    with RemoteWebUI(server) as remote, pytest.raises(RemoteError, match="--api-auth"):
        remote.schema()
    address = server.replace("http://", "http://seller:p%40ss%3Aword@")
    with RemoteWebUI(address) as remote:
        assert remote.schema()
        assert "word" not in remote.address


def test_jobs(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    table, gate = JobTable(), threading.Event()
    monkeypatch.setattr(routes, "JOBS", table)

    def count(control: Control) -> Mapping[str, Any]:
        control.report(1, 2, "half")
        gate.wait(10)
        control.report(2, 2)
        return {"pictures": 2}

    table.register("counting", lambda settings: count)
    seen: list[int] = []
    with RemoteWebUI(server) as remote:
        first, second = remote.start_job("counting", {}), remote.start_job("counting", {})
        assert remote.cancel_job(second.id).state == "cancelled"
        threading.Timer(0.3, gate.set).start()
        over = remote.wait_for_job(first.id, lambda job: seen.append(job.done), interval=0.05)
        assert remote.job(second.id).state == "cancelled"
        with pytest.raises(RequestError, match="counting"):
            remote.start_job("folder", {})
        with pytest.raises(RemoteError) as missing:
            remote.job("nothing")
    assert over.state == "done" and over.result == {"pictures": 2} and 1 in seen
    assert missing.value.status == 404 and "no such job" in str(missing.value)


# --- retries --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trouble",
    [
        lambda: httpx.ConnectError("refused"),
        lambda: httpx.ConnectTimeout("slow"),
        lambda: httpx.Response(503, json={"error": "busy"}),
        lambda: httpx.Response(502, text="Bad Gateway"),
    ],
)
def test_trouble_before_the_work_is_retried_with_growing_pauses(trouble: Callable[[], Any]) -> None:
    client, requests, pauses = scripted(*[trouble() for _ in range(3)], ok(outcomes=[]))
    assert client.enhance([b"x"]) == []
    assert len(requests) == 4
    assert pauses == sorted(pauses) and pauses[0] > 0 and pauses[2] >= 4 * pauses[0]


def test_the_servers_own_pause_is_kept() -> None:
    client, _, pauses = scripted(httpx.Response(503, headers={"Retry-After": "7"}), ok(settings=[]))
    client.schema()
    assert pauses == [7.0]


def test_it_gives_up_in_the_end() -> None:
    client, requests, _ = scripted(*[httpx.ConnectError("refused")] * ATTEMPTS)
    with pytest.raises(RemoteError, match="shop:7860 cannot be reached: refused"):
        client.schema()
    assert len(requests) == ATTEMPTS


@pytest.mark.parametrize(
    "error",
    [
        httpx.ReadTimeout("slow"),
        httpx.ReadError("cut"),
        httpx.RemoteProtocolError("cut"),
        httpx.Response(504, text="Gateway Time-out"),
    ],
)
def test_work_that_may_have_begun_is_not_asked_for_twice(error: Any) -> None:
    client, requests, _ = scripted(error, ok())
    with pytest.raises(RemoteError):
        client.enhance([b"x"])
    assert len(requests) == 1


@pytest.mark.parametrize("trouble", [httpx.ReadError("cut"), httpx.Response(504, text="Gateway Time-out")])
def test_looking_is_asked_for_twice(trouble: Any) -> None:
    client, requests, _ = scripted(trouble, ok(settings=[]))
    assert client.schema() == []
    assert len(requests) == 2


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (httpx.Response(404, json={"detail": "Not Found"}), "no Prodshot API: install the extension"),
        (httpx.Response(500, json={"error": "RuntimeError", "errors": "x"}), "answered 500: RuntimeError"),
        (httpx.Response(200, text="<html>"), "something else than JSON"),
        (httpx.Response(413, json={"error": "larger than 64 MB", "detail": []}), "larger than 64 MB"),
    ],
)
def test_errors_in_words(response: Any, words: str) -> None:
    client, _, _ = scripted(response)
    with pytest.raises(RemoteError, match=words):
        client.schema()


@pytest.mark.parametrize("address", ["", "ftp://x", "http://", "file:///etc/passwd"])
def test_wrong_addresses(address: str) -> None:
    with pytest.raises(RequestError, match="no address"):
        RemoteWebUI(address)


def test_an_address_without_scheme() -> None:
    assert RemoteWebUI("127.0.0.1:7860").address == "http://127.0.0.1:7860"


# --- inpaint passes -------------------------------------------------------------------------------------------------


def plan(**changed: Any) -> InpaintPass:
    picture = noise(1, (64, 96))
    mask = np.zeros((64, 96), np.uint8)
    mask[16:48, 24:72] = 255
    known: dict[str, Any] = {
        "mask_blur": 4,
        "prompt": "a bag",
        "negative_prompt": "",
        "seed": 5,
        "steps": 3,
        "cfg_scale": 7.0,
        "sampler": "Euler",
        "scheduler": "Karras",
        "denoising_strength": 0.75,
        "inpainting_fill": 1,
    }
    return InpaintPass(picture, mask, **{**known, **changed})


UNIT = {"enabled": True, "module": "canny", "model": "control_v11p_sd15_canny [d14c016b]", "weight": 1.0}


def test_a_pass(webui: WebUI) -> None:
    with RemoteWebUI(webui.address) as remote:
        painted = RemoteInpaintingBackend(remote).inpaint(plan())
    assert painted.picture.shape == (64, 96, 3) and painted.control_ran is None
    difference = np.abs(painted.picture.astype(int) - noise(1, (64, 96)))
    assert difference[16:48, 24:72].mean() > 20 and difference[:8].max() <= 1
    (p,) = webui.samplings
    assert (p.steps, p.seed, p.sampler_name, p.denoising_strength) == (3, 5, "Euler", 0.75)


def test_control_takes_part_or_not(webui: WebUI) -> None:
    with RemoteWebUI(webui.address) as remote:
        backend = RemoteInpaintingBackend(remote)
        assert backend.inpaint(plan(control=UNIT)).control_ran is True
        assert backend.inpaint(plan(control={**UNIT, "model": "gone"})).control_ran is False


def forge(scripts: list[Any], told: Mapping[str, Any]) -> tuple[RemoteInpaintingBackend, list[Any]]:
    """A backend on a WebUI of the Forge family, whose maps prove nothing; the passes that it was sent."""
    picture, sent = as_code(as_file(noise(1, (64, 96)))), []

    def answer(request: Any) -> Any:
        if request.url.path == "/controlnet/version":
            return httpx.Response(404, json={"detail": "Not Found"})
        if request.url.path.endswith("/script-info"):
            return httpx.Response(200, json=scripts)
        if request.url.path.endswith("/img2img"):
            sent.append(json.loads(request.content))
            return ok(images=[picture, picture], info=json.dumps({"extra_generation_params": told}))
        return httpx.Response(200, json=[{"name": "Euler", "label": "Karras"}])

    return RemoteInpaintingBackend(RemoteWebUI("http://shop", transport=httpx.MockTransport(answer))), sent


def test_the_forge_familys_maps_prove_nothing() -> None:
    backend, sent = forge([], {})
    assert backend.inpaint(plan(control=UNIT)).control_ran is None
    assert list(sent[0]["alwayson_scripts"]) == ["controlnet"]


@pytest.mark.parametrize("saw", [True, False])
def test_prodshot_over_there_sees_what_maps_do_not_tell(saw: bool) -> None:
    there = {"name": "prodshot", "is_alwayson": True, "is_img2img": True}
    backend, sent = forge([there], {"Prodshot ControlNet applied": saw})
    assert backend.inpaint(plan(control=UNIT)).control_ran is saw
    backend, _ = forge([there], {"Prodshot ControlNet applied": saw, "Prodshot ControlNet reason": "no weights"})
    assert backend.inpaint(plan(control=UNIT)).control_reason == ("" if saw else "no weights")
    switch, wish = sent[0]["alwayson_scripts"]["prodshot"]["args"]
    assert switch is False and wish == {"report_control": True}


@pytest.mark.parametrize(("model", "took_part"), [(UNIT["model"], True), ("gone", False)])
def test_the_accordion_reports_control_though_it_is_off(webui: WebUI, model: str, took_part: bool) -> None:
    body = {
        "init_images": [as_code(as_file(noise(1, (64, 96))))],
        "alwayson_scripts": {
            "controlnet": {"args": [{**UNIT, "model": model}]},
            "prodshot": {"args": [False, {"report_control": True}]},
        },
    }
    with RemoteWebUI(webui.address) as remote:
        told = json.loads(remote.post("/sdapi/v1/img2img", body)["info"])["extra_generation_params"]
        del body["alwayson_scripts"]
        silent = json.loads(remote.post("/sdapi/v1/img2img", body)["info"])["extra_generation_params"]
    assert told["Prodshot ControlNet applied"] is took_part
    assert not [key for key in silent if key.startswith("Prodshot")]


def test_the_lists(webui: WebUI) -> None:
    with RemoteWebUI(webui.address) as remote:
        backend = RemoteInpaintingBackend(remote)
        lists = backend.control_lists()
        assert lists is not None and "depth_midas" in lists.modules and lists.none_module == "none"
        assert backend.family() == "sd15"
        assert backend.family("some-sdxl-model") == "sdxl"
        assert backend.missing_loras({"ppzocketv2", "gone"}) == {"gone"}
        backend.check("euler a", "karras", "other")
        for wrong in (("no", "", ""), ("", "no", ""), ("", "", "no")):
            with pytest.raises(EnhanceError, match="has no"):
                backend.check(*wrong)


def test_the_pipeline_with_a_remote_painter(webui: WebUI) -> None:
    before = noise(6, (96, 128))
    request = Request(products="handbag", engine="inpaint", resolution=64, sampler="Euler")
    with RemoteWebUI(webui.address) as remote:
        enhancer = InpaintEnhancer(RemoteInpaintingBackend(remote))
        outcome = pipeline.run(LoadedPicture.from_rgb(before), request, fixed_finder(), enhancer)
    assert outcome.status == "found", outcome.verdict
    assert outcome.audit is not None and outcome.audit.changed_outside == 0
    assert outcome.picture is not None and (outcome.picture != before).any()
    assert "depth_midas" in enhancer.ran[0]


def test_progress_and_interrupt() -> None:
    shares, told = [], threading.Event()

    def answer(request: Any) -> Any:
        if request.url.path.endswith("/progress"):
            told.set()
            return ok(progress=0.25)
        if request.url.path.endswith("/img2img"):
            told.wait(10)
            time.sleep(0.05)
            return ok(images=[])
        return httpx.Response(200, json=[{"name": "Euler", "label": "Karras"}])

    client = RemoteWebUI("http://shop", transport=httpx.MockTransport(answer))
    with pytest.raises(PassInterrupted):
        RemoteInpaintingBackend(client, progress=shares.append, interval=0.01).inpaint(plan())
    assert shares[0] == 0.25


def test_ctrl_c_interrupts_over_there() -> None:
    interrupted = threading.Event()

    def answer(request: Any) -> Any:
        if request.url.path.endswith("/interrupt"):
            interrupted.set()
            return ok()
        if request.url.path.endswith("/img2img"):
            assert interrupted.wait(10)
            return ok(images=[])
        return httpx.Response(200, json=[{"name": "Euler", "label": "Karras"}])

    def pressed(share: float) -> None:
        raise KeyboardInterrupt

    client = RemoteWebUI("http://shop", transport=httpx.MockTransport(answer))
    with pytest.raises(KeyboardInterrupt):
        RemoteInpaintingBackend(client, progress=pressed, interval=0.01).inpaint(plan())
    assert interrupted.is_set()


def test_without_controlnet() -> None:
    client, _, _ = scripted(httpx.Response(404, json={"detail": "Not Found"}))
    assert RemoteInpaintingBackend(client).control_lists() is None


def test_a_failing_server_is_a_failing_pass() -> None:
    lists = httpx.Response(200, json=[{"name": "Euler", "label": "Karras"}])
    client, _, _ = scripted(
        lists, lists, ok(), httpx.Response(500, json={"error": "OutOfMemoryError", "errors": "CUDA"})
    )
    with pytest.raises(EnhanceError, match="OutOfMemoryError"):
        RemoteInpaintingBackend(client).inpaint(plan())
