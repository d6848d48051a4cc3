"""Epochs compared over HTTP: with the pictures that sd-scripts made, and with pictures of this WebUI."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="tested where FastAPI and gradio are: under the WebUIs' pins")
pytest.importorskip("gradio", reason="tested where FastAPI and gradio are: under the WebUIs' pins")

from lib_prodshot.inpainting import FILLS, InpaintPass, PassResult
from lib_prodshot.webui.jobs.table import JobTable
from lib_prodshot.webui.training.comparing import SOURCES
from tests.api.local_host import InvertingBackend, LocalHost
from tests.api.test_jobs import JOBS, until
from tests.api.test_training_jobs import begin, refused, table
from tests.training.comparing.drawn import bag, ground, make_run, red_finder

pytestmark = pytest.mark.any_host

__all__ = ["table"]
KIND = "training_compare"


class Painting(InvertingBackend):
    """Draws the bag from epoch 2 on; `asked` are its passes."""

    def __init__(self, *loras: str) -> None:
        self.loras = frozenset(loras)
        self.asked: list[InpaintPass] = []

    def missing_loras(self, names: Collection[str]) -> frozenset[str]:
        return frozenset(names) - self.loras

    def inpaint(self, plan: InpaintPass) -> PassResult:
        self.asked.append(plan)
        size = plan.mask.shape[::-1]
        drawn = ground(plan.seed, size) if "bag-01" in plan.prompt else bag(plan.seed + 200, size=size)
        return PassResult(np.asarray(drawn))


@pytest.fixture
def run(tmp_path: Path, host: LocalHost, table: JobTable) -> Path:
    """A run of two epochs in an allowed folder, of which only the second shows the product."""
    host.finder = red_finder()
    folder = tmp_path / "shop"
    host.flags["prodshot_allow_dir"] = [str(folder)]
    return make_run(folder, {1: [ground(50), ground(51)], 2: [bag(70), bag(71)]}, resolution=192)


def settings(run: Path, **changed: Any) -> dict[str, Any]:
    return {"output_name": "bag", "output_dir": str(run.parent), "products": "bag", **changed}


def test_sd_scripts_own_pictures(client: Any, run: Path, host: LocalHost) -> None:
    job = until(client, begin(client, KIND, **settings(run)), "done", 120)
    assert job["result"]["recommended"] == 2 and [one["found"] for one in job["result"]["epochs"]] == [0, 2]
    assert (job["done"], job["total"], job["text"]) == (10, 10, "4 pictures compared")
    assert str(host.folder) not in json.dumps(job)
    page = client.get(f"{JOBS}/{job['id']}/files/{job['files']['page']}")
    assert page.status_code == 200 and "Take epoch 2:" in page.text
    grid = client.get(f"{JOBS}/{job['id']}/files/{job['files']['grid']}")
    assert grid.headers["content-type"] == "image/png"


def test_pictures_of_this_webui_and_a_cancelled_job_goes_on(
    client: Any, run: Path, host: LocalHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    painting = Painting("bag-01", "bag-02")
    monkeypatch.setattr(LocalHost, "inpainting_backend", lambda *_: painting)
    told = settings(run, source=SOURCES[1], prompts="bag on a table --w 200 --h 160 --d 7", seeds=1)
    inpaint = painting.inpaint

    def cancelling(plan: InpaintPass) -> PassResult:
        client.delete(f"{JOBS}/{client.get(JOBS).json()['jobs'][0]['id']}")
        return inpaint(plan)

    monkeypatch.setattr(painting, "inpaint", cancelling)
    until(client, begin(client, KIND, **told), "cancelled", 60)
    assert len(painting.asked) == 1
    monkeypatch.setattr(painting, "inpaint", inpaint)
    job = until(client, begin(client, KIND, **told), "done", 120)
    assert [plan.prompt for plan in painting.asked] == [f"bag on a table, <lora:bag-0{epoch}:1>" for epoch in (1, 2)]
    plan = painting.asked[0]
    assert plan.mask.shape == (160, 200) and plan.mask.min() == 255 and plan.seed == 7
    assert (plan.denoising_strength, plan.inpainting_fill) == (1.0, FILLS.index("latent nothing"))
    assert job["result"]["recommended"] == 2 and job["result"]["source"] == SOURCES[1]
    # each picture waited in the WebUI's queue
    assert host.jobs.count("Prodshot: sample pictures") == 2


def test_what_is_refused_names_its_field(client: Any, run: Path, host: LocalHost, tmp_path: Path) -> None:
    assert "no product is named" in refused(client, KIND, **settings(run, products=""))["products"]
    assert "unknown setting" in refused(client, KIND, **settings(run, prompt="x"))["prompt"]
    assert "not a choice" in refused(client, KIND, **settings(run, source="mine"))["source"]
    assert "no folder of a training run" in refused(client, KIND, **settings(run, output_name="bog"))["output_name"]
    assert "publish them first" in refused(client, KIND, **settings(run, source=SOURCES[1]))["output_name"]
    for path in (run / "output" / "sample").iterdir():
        path.unlink()
    assert "has no sample pictures" in refused(client, KIND, **settings(run))["output_name"]
    host.flags["prodshot_allow_dir"] = [str(run)]
    (run / "copy").mkdir()
    for name in ("recipe.toml", "ledger.json"):
        (run / "copy" / name).write_bytes((run / name).read_bytes())
    told = settings(run, output_name="copy", output_dir=str(run))
    assert "has allowed" in refused(client, KIND, **told)["output_name"], "the photographs lie elsewhere"


def test_a_check_looks_at_the_photographs_and_crops_the_copies(client: Any, run: Path, host: LocalHost) -> None:
    small = ground(9, (800, 640))
    small.paste(bag(9, size=(160, 128)), (500, 60))
    small.save(run.parent / "photos" / "small.png")
    told = {"image_dir": "photos", "resolution": 128, "min_bucket_reso": 64, "max_bucket_reso": 256}
    assert "no product is named" in refused(client, "training_check", **told, look=True)["products"]
    begun = begin(client, "training_check", **told, look=True, products="bag", fix="fixed")
    job = until(client, begun, "done", 60)
    views = {one["file"]: one for one in job["result"]["views"]}
    assert len(views) == 7 and all(one["found"] for one in views.values())
    kinds = {one["kind"]: one["file"] for one in job["result"]["problems"]}
    assert kinds["product_small"] == "small.png" and "few_views" in kinds
    assert job["result"]["fixed"]["cropped"] == 1 and str(host.folder) not in json.dumps(job)
