"""Training in the real WebUIs, by the real sd-scripts: a tiny LoRA from the tab to a picture that it changes."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w

from lib_prodshot.hosts.remote import RemoteWebUI
from tests.training.photographs import TAG, make_folder
from tests.training.trainers import tiny_model, tiny_trainer
from tests.webui import server as servers
from tests.webui.browser import opened, photograph
from tests.webui.conftest import SMALL, txt2img, warm_up
from tests.webui.server import Installation, Server

T = "#prodshot_training_"
JOBS = "/prodshot/v1/jobs"
PATIENCE = 420.0
"""Seconds that a run may take; the trainer loads PyTorch first."""


@pytest.fixture(scope="session")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The real sd-scripts with a tiny model, as a WebUI's environment names it."""
    found = tiny_trainer()
    folder = tiny_model(tmp_path_factory.mktemp("tiny"))
    return {
        "PRODSHOT_WHOLE_SD_SCRIPTS": os.environ["PRODSHOT_SD_SCRIPTS"],
        "PRODSHOT_SD_SCRIPTS": str(found.checkout),
        "PRODSHOT_SD_SCRIPTS_PYTHON": str(found.python),
        "PRODSHOT_TRAINER": str(tmp_path_factory.mktemp("trainer")),
        "MODEL": str(folder / "model"),
        "TOKENIZERS": str(folder / "tokenizers"),
    }


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("bags") / "photos", size=(128, 128))


@pytest.fixture(scope="session")
def training_server(
    installation: Installation,
    trainer: dict[str, str],
    photos: Path,
    tiny_models: Path,
    models_dir: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    """A server of its own, whose folder of LoRAs is its own too."""
    data = tmp_path_factory.mktemp(f"{installation.host}-training")
    servers.lay_out(installation, data, tiny_models, models_dir, ours=True)
    allowed = (str(photos.parent), trainer["MODEL"], trainer["TOKENIZERS"])
    flags = [f"--prodshot-allow-dir={folder}" for folder in allowed]
    server = servers.start(installation, data, *flags, **trainer)
    try:
        warm_up(server)
        yield server
    finally:
        server.stop()


def recipe(trainer: dict[str, str], photos: Path, **changes: Any) -> dict[str, Any]:
    """Six photographs × 2 / 2 = six steps an epoch, three epochs, fast enough to be seen in a picture."""
    return {
        "output_name": "bag",
        "image_dir": str(photos),
        "pretrained_model_name_or_path": trainer["MODEL"],
        "tokenizer_cache_dir": trainer["TOKENIZERS"],
        "activation_tag": TAG,
        "resolution": 64,
        "min_bucket_reso": 64,
        "max_bucket_reso": 128,
        "num_repeats": 2,
        "max_train_epochs": 3,
        "unet_lr": 0.02,
        "mixed_precision": "no",
        "optimizer_type": "AdamW",
        "lowram": False,
        "max_data_loader_n_workers": 0,
        "persistent_data_loader_workers": False,
        "sample_prompts": [f"{TAG}, a bag --w 64 --h 64 --s 4 --d 1"],
        **changes,
    }


def until(server: Server, job_id: str, *states: str) -> dict[str, Any]:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        job: dict[str, Any] = server.get(f"{JOBS}/{job_id}")
        if job["state"] in states:
            return job
        assert job["state"] in ("queued", "running"), (job, server.tail())
        time.sleep(0.3)
    raise AssertionError(f"the job did not end: {job}")


def picture(server: Server, lora: str = "") -> np.ndarray:
    return txt2img(server, prompt=f"a photo {lora}".strip()).pixels()


def test_from_the_tab_to_a_picture(
    training_server: Server, trainer: dict[str, str], photos: Path, tmp_path: Path
) -> None:
    """Load a recipe, check, train with all that is shown, publish; the WebUI lists the LoRA and paints with it."""
    server = training_server
    before = picture(server)
    with opened(server, tmp_path / "profile") as page:
        page.locator("#tabs > .tab-nav button", has_text="Prodshot training").first.click()
        page.wait_for_selector(f"{T}image_dir textarea", timeout=60_000)
        assert "Here sd-scripts" in " ".join(page.inner_text(f"{T}trainer").split())
        page.locator(f"{T}fold_toml").locator("button, .label-wrap").first.click()
        page.fill(f"{T}toml textarea", tomli_w.dumps(recipe(trainer, photos)))
        page.click(f"{T}toml_load")
        page.wait_for_selector(f"{T}toml_message :text('Loaded')", timeout=30_000)
        page.locator(f"{T}fold_toml").locator("button, .label-wrap").first.click()
        page.click(f"{T}check")
        page.wait_for_selector(f"{T}report :text('6 steps an epoch × 3 epochs = 18 steps')", timeout=30_000)
        page.click(f"{T}job_start")
        # Start first asks sd-scripts' own Python what it has, which loads PyTorch: minutes on a busy machine
        page.wait_for_selector(f"{T}job_line progress", timeout=PATIENCE * 1000)
        page.wait_for_selector(f"{T}job_line :text('epoch 2/3')", timeout=PATIENCE * 1000)
        page.wait_for_selector(f"{T}curve svg polyline", timeout=60_000)
        page.wait_for_selector(f"{T}samples img", timeout=60_000)
        page.wait_for_selector(f"{T}job_line .prodshot-job-done", timeout=PATIENCE * 1000)
        page.wait_for_function(f"() => document.querySelectorAll('{T}samples img').length === 3", timeout=30_000)
        broken = (
            "() => [...document.querySelectorAll('.prodshot-samples img')].filter((one) => !one.naturalWidth).length"
        )
        page.wait_for_function(f"() => ({broken})() === 0", timeout=30_000)
        photograph(page, f"{server.installation.host}-training-run", f"{T}step_run")
        page.click(f"{T}publish")
        page.wait_for_selector(f"{T}published :text('bag-03.safetensors')", timeout=30_000)
        assert page.input_value(f"{T}prompt textarea").endswith("<lora:bag-03:1>")
        assert not [text for text in page.complaints if "prodshot" in text.lower()]
    listed = {one["name"]: one for one in server.get("/sdapi/v1/loras")}
    assert {"bag-01", "bag-02", "bag-03"} <= set(listed)
    side_car = json.loads((server.data / "models" / "Lora" / "bag-03.json").read_text())
    assert side_car["activation text"] == TAG and (server.data / "models" / "Lora" / "bag-03.png").is_file()
    # its checkpoint was taken off the GPU for the run, and is back for the next picture
    assert (picture(server) == before).all()
    after, earlier = picture(server, "<lora:bag-03:1>"), picture(server, "<lora:bag-01:1>")
    assert (after != before).mean() > 0.05 and (after != earlier).any()
    assert "Couldn't find network" not in server.text() and "Networks not found" not in server.text()


def test_over_http_stopped_and_gone_on_with_while_pictures_are_made(
    training_server: Server, trainer: dict[str, str], photos: Path
) -> None:
    server = training_server
    settings = recipe(trainer, photos, output_name="shoe", sample_prompts=[], max_train_epochs=4)
    first = server.post(JOBS, {"kind": "training", "settings": settings})["id"]
    end = time.monotonic() + PATIENCE
    while server.get(f"{JOBS}/{first}").get("figures", {}).get("epoch", 0) < 2:
        assert time.monotonic() < end, server.tail()
        time.sleep(0.3)
    # a generation goes on beside it
    assert picture(server).shape == (192, 192, 3)
    with RemoteWebUI(server.url) as remote:
        remote.cancel_job(first)
    stopped = until(server, first, "cancelled", "done")
    again = until(server, server.post(JOBS, {"kind": "training", "settings": settings})["id"], "done")
    assert stopped["state"] == "cancelled" and again["result"]["steps_done"] == 24
    status, answer = server.refused(JOBS, {"kind": "training", "settings": settings})
    assert status == 422 and answer["detail"][0]["field"] == "output_name"


def test_it_does_not_start_while_the_webui_is_generating(
    training_server: Server, trainer: dict[str, str], photos: Path
) -> None:
    server = training_server
    body = {"prompt": "a photo", **SMALL, "steps": 150, "width": 384, "height": 384}
    generation = threading.Thread(target=server.post, args=("/sdapi/v1/txt2img", body))
    generation.start()
    try:
        end = time.monotonic() + 60
        while not server.get("/sdapi/v1/progress")["state"]["job"]:
            assert time.monotonic() < end
            time.sleep(0.1)
        status, answer = server.refused(
            JOBS, {"kind": "training", "settings": recipe(trainer, photos, output_name="hat")}
        )
        assert status == 422 and answer["detail"][0]["field"] == "while_generating", answer
        assert not (server.data / "prodshot-training" / "hat").exists()
    finally:
        server.post("/sdapi/v1/interrupt", {})
        generation.join(120)
