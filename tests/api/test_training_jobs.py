"""Training over HTTP: the command line's own objects, with sd-scripts' stand-in, in folders that the owner allowed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="tested where FastAPI and gradio are: under the WebUIs' pins")
pytest.importorskip("gradio", reason="tested where FastAPI and gradio are: under the WebUIs' pins")

import numpy as np
from PIL import Image

from lib_prodshot.training import lora
from lib_prodshot.training.errors import TrainerMissing
from lib_prodshot.training.trainer import sd_scripts
from lib_prodshot.webui.api import routes
from lib_prodshot.webui.jobs import files as job_files
from lib_prodshot.webui.jobs import kinds as job_kinds
from lib_prodshot.webui.jobs import table as job_table
from lib_prodshot.webui.jobs.table import JobTable
from lib_prodshot.webui.training import jobs as training_jobs
from tests.api.local_host import LocalHost
from tests.api.test_jobs import JOBS, until
from tests.training.photographs import TAG, make_folder
from tests.training.rigs import make_checkpoint_file
from tests.training.trainers import STAND_IN

SMALL = {
    "output_name": "bag",
    "image_dir": "photos",
    "pretrained_model_name_or_path": "tiny.safetensors",
    "activation_tag": TAG,
    "preset": "cpu",
    "resolution": 64,
    "min_bucket_reso": 64,
    "max_bucket_reso": 128,
    "num_repeats": 2,
    "max_train_epochs": 3,
}
"""Six photographs × 2 / 2 = six steps an epoch."""


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> JobTable:
    fresh = JobTable()
    for module in (routes, job_kinds, job_files, job_table):
        monkeypatch.setattr(module, "JOBS", fresh)
    monkeypatch.setattr(training_jobs, "POLL_SECONDS", 0.02)
    job_kinds.register()
    return fresh


@pytest.fixture
def shop(tmp_path: Path, host: LocalHost, table: JobTable, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An allowed folder with photographs, a checkpoint of the WebUI's, and the stand-in as trainer."""
    monkeypatch.setenv("PRODSHOT_TRAINER", str(tmp_path / "trainer"))
    monkeypatch.setattr(sd_scripts, "find", lambda *_: STAND_IN)
    folder = tmp_path / "shop"
    host.flags["prodshot_allow_dir"] = [str(folder)]
    make_folder(folder / "photos", size=(128, 128))
    checkpoint = host.training().checkpoint_file("tiny.safetensors")
    checkpoint.parent.mkdir(parents=True)
    make_checkpoint_file(checkpoint)
    return folder


def begin(client: Any, kind: str = "training", **settings: Any) -> str:
    reply = client.post(JOBS, json={"kind": kind, "settings": settings})
    assert reply.status_code == 200, reply.text
    return str(reply.json()["id"])


def refused(client: Any, kind: str = "training", **settings: Any) -> dict[str, str]:
    """The complaints by field."""
    reply = client.post(JOBS, json={"kind": kind, "settings": settings})
    assert reply.status_code == 422, reply.text
    return {problem["field"]: problem["message"] for problem in reply.json()["detail"]}


def wait_for(is_true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_recipe_is_trained_and_published(client: Any, shop: Path, host: LocalHost) -> None:
    sample = ["bag --w 64 --h 64 --s 1 --d 1"]
    job = until(client, begin(client, **SMALL, sample_prompts=sample, publish=True), "done", 120)
    assert (job["done"], job["total"]) == (18, 18)
    assert job["result"]["outcome"] == "finished" and job["result"]["steps_done"] == 18
    assert job["result"]["loras"] == ["bag-000001.safetensors", "bag-000002.safetensors", "bag.safetensors"]
    figures = job["figures"]
    assert (figures["stage"], figures["epoch"], figures["epochs"]) == ("done", 3, 3)
    assert [point[:2] for point in figures["losses"]] == [[step, (step - 1) // 6 + 1] for step in range(1, 19)]
    # its models left the GPU before, and its LoRAs are known after
    assert host.trains.told == ["left the GPU", "looked at its LoRAs"]
    published = host.trains.lora_folder()
    names = [f"bag-0{epoch}" for epoch in (1, 2, 3)]
    assert sorted(path.name for path in published.iterdir()) == sorted(
        f"{name}{end}" for name in names for end in (".json", ".png", ".safetensors")
    )
    assert lora.inspect(published / "bag-03.safetensors").epoch == 3
    assert [one["file"] for one in job["result"]["published"]] == [f"{name}.safetensors" for name in names]
    assert job["result"]["published"][-1]["prompt"].endswith("<lora:bag-03:1>")
    assert str(host.folder) not in json.dumps(job)
    read = client.get(f"{JOBS}/{job['id']}/files/{job['files']['losses']}")
    assert read.status_code == 200 and len(read.text.splitlines()) == 18
    picture = client.get(f"{JOBS}/{job['id']}/files/{figures['samples'][0]}")
    assert picture.status_code == 200 and picture.headers["content-type"] == "image/png"


def test_it_goes_on_after_a_cancelled_run(client: Any, shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAND_IN_PAUSE", "0.05")
    first = begin(client, **SMALL)
    wait_for(lambda: client.get(f"{JOBS}/{first}").json().get("figures", {}).get("epoch", 0) == 1)
    client.delete(f"{JOBS}/{first}")
    stopped = until(client, first, "cancelled", 60)
    # asked once: the epoch at hand is saved first
    assert stopped["done"] >= 6
    assert (shop.parent / "prodshot-training" / "bag" / "output" / "bag-000001-state").is_dir()
    again = until(client, begin(client, **SMALL), "done", 60)
    assert again["result"]["steps_done"] == 18
    assert "has its 3 epochs already" in refused(client, **SMALL)["output_name"]


def test_asked_twice_it_lets_go_at_once(client: Any, shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAND_IN_PAUSE", "2")
    first = begin(client, **SMALL)
    wait_for(lambda: client.get(f"{JOBS}/{first}").json().get("figures", {}).get("epoch", 0) == 1)
    client.delete(f"{JOBS}/{first}")
    client.delete(f"{JOBS}/{first}")
    assert until(client, first, "cancelled", 30)["done"] < 6


def test_the_webui_s_own_finder_makes_the_masks(client: Any, shop: Path) -> None:
    told = {**SMALL, "max_train_epochs": 1, "masked_loss": True, "products": "handbag"}
    assert "needs to know what to find" in refused(client, **{**told, "products": ""})["products"]
    assert "allowed" in refused(client, **told, conditioning_data_dir="/etc")["conditioning_data_dir"]
    assert "allowed" in refused(client, **told, reg_data_dir="/etc")["reg_data_dir"]
    before = sorted(path.name for path in (shop / "photos").iterdir())
    assert until(client, begin(client, **told), "done", 60)["result"]["steps_done"] == 6
    copies = shop.parent / "prodshot-training" / "bag" / "masked" / "1-photos"
    assert len(list(copies.glob("*.png"))) == 6 and sorted(path.name for path in (shop / "photos").iterdir()) == before


def test_not_while_the_webui_is_generating_unless_told(client: Any, shop: Path, host: LocalHost) -> None:
    host.trains.generating = True
    assert "the WebUI is generating" in refused(client, **SMALL)["while_generating"]
    job = until(client, begin(client, **{**SMALL, "max_train_epochs": 1}, while_generating=True), "done", 60)
    assert job["result"]["steps_done"] == 6 and host.trains.told == []


def test_one_that_has_waited_lets_the_webui_finish(client: Any, shop: Path, host: LocalHost, table: JobTable) -> None:
    work = training_jobs.work_from(SMALL)
    host.trains.generating = True
    job = table.put("training", work)
    wait_for(lambda: "waiting until the WebUI has finished" in job.text)
    assert not (host.folder / "prodshot-training").exists()
    host.trains.generating = False
    assert until(client, job.id, "done", 60)["result"]["steps_done"] == 18
    other = table.put("training", training_jobs.work_from({**SMALL, "fresh": True}))
    host.trains.generating = True
    table.cancel(other.id)
    assert until(client, other.id, "cancelled", 60)["done"] == 0


def test_a_failure_is_one_sentence_without_paths(client: Any, shop: Path, host: LocalHost) -> None:
    job = until(client, begin(client, **SMALL, unet_lr=10.0), "failed", 60)
    assert "the loss became NaN at step" in job["error"] and "lower unet_lr (10)" in job["error"]
    assert str(host.folder) not in job["error"]


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"image_dir": "/etc"}, "image_dir", "not a folder that the server's owner has allowed"),
        ({"image_dir": "../secret"}, "image_dir", "not a folder that the server's owner has allowed"),
        ({"image_dir": "nothing"}, "image_dir", "cannot be read"),
        ({"image_dir": ""}, "image_dir", "is not set"),
        ({"output_dir": "/tmp/elsewhere"}, "output_dir", "not a folder that the server's owner has allowed"),
        ({"vae": "/root/vae.pt"}, "vae", "not a folder that the server's owner has allowed"),
        ({"pretrained_model_name_or_path": "/root/x.ckpt"}, "pretrained_model_name_or_path", "owner has allowed"),
        ({"pretrained_model_name_or_path": "none"}, "pretrained_model_name_or_path", "there is no such checkpoint"),
        ({"subsets": [{"image_dir": "/etc"}]}, "subsets[1].image_dir", "owner has allowed"),
        ({"extra": {"optimizer_type": "os.system"}}, "extra.optimizer_type", "only numbers and flags"),
        ({"extra": {"max_grad_nrom": 1.0}}, "extra.max_grad_nrom", "did you mean max_grad_norm"),
        ({"output_name": "../bag"}, "output_name", "holds a sign"),
        ({"network_dmi": 4}, "network_dmi", "did you mean network_dim"),
        ({"network_dim": "4"}, "network_dim", "not a number"),
        ({"mixed_precision": "fp16"}, "mixed_precision", "needs a CUDA GPU"),
        ({"preset": "48gb"}, "preset", "not known"),
        ({"preset": 5}, "preset", "not text"),
        ({"publish": "yes"}, "publish", "neither true nor false"),
        ({"activation_tag": "x" * 100_000}, "activation_tag", "too long"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_starts(
    client: Any, shop: Path, host: LocalHost, changes: dict[str, Any], field: str, said: str
) -> None:
    complaints = refused(client, **{**SMALL, **changes})
    assert said in complaints[field], complaints
    assert str(host.folder) not in json.dumps(complaints)
    assert not (host.folder / "prodshot-training").exists() and client.get(JOBS).json()["jobs"] == []


def test_a_broken_folder_is_the_requests_fault(client: Any, shop: Path) -> None:
    (shop / "photos" / "1.txt").write_bytes(b"")
    assert "caption file is empty" in refused(client, **SMALL)["image_dir"]


def test_without_allowed_folders_nothing_is_opened(client: Any, shop: Path, host: LocalHost) -> None:
    host.flags["prodshot_allow_dir"] = []
    for kind in ("training", "training_check", "training_captions"):
        assert "opens no folders" in refused(client, kind, **{"image_dir": "photos"})["image_dir"]


def test_without_sd_scripts_it_says_how_to_get_it(client: Any, shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise TrainerMissing("sd-scripts is not here: `prodshot train setup` gets it and makes its environment")

    monkeypatch.setattr(sd_scripts, "find", missing)
    reply = client.post(JOBS, json={"kind": "training", "settings": SMALL})
    assert reply.status_code == 503 and "`prodshot train setup` gets it" in reply.json()["error"]


def test_a_folder_is_looked_over(client: Any, shop: Path, host: LocalHost) -> None:
    (shop / "photos" / "2.txt").write_bytes(b"caf\xe9")
    names = ("image_dir", "activation_tag", "num_repeats", "resolution", "min_bucket_reso", "max_bucket_reso")
    job = until(client, begin(client, "training_check", **{name: SMALL[name] for name in names}), "done", 60)
    result = job["result"]
    assert (result["photographs"], result["with_repeats"], result["steps_per_epoch"]) == (6, 12, 6)
    assert [(one["level"], one["kind"], one["file"]) for one in result["problems"]] == [
        ("error", "caption_broken", "2.txt")
    ]
    assert (job["done"], job["total"]) == (6, 6) and str(host.folder) not in json.dumps(job)


def test_copies_are_written_where_the_owner_allows(client: Any, shop: Path, host: LocalHost) -> None:
    (shop / "photos").rename(shop / "10_bag")
    Image.fromarray(np.full((128, 128), 30_000, np.uint16)).save(shop / "10_bag" / "deep.png")
    told = {"image_dir": "10_bag", "resolution": 64, "min_bucket_reso": 64, "max_bucket_reso": 128}
    job = until(client, begin(client, "training_check", **told, fix="fixed"), "done", 60)
    result, copies = job["result"], job["result"]["fixed"]
    assert (
        result["folders"] == [{"folder": "10_bag", "photographs": 7, "repeats": 10, "is_reg": False, "named": True}]
        and result["with_repeats"] == 70
    )
    assert ("error", "deep", "deep.png") in [(one["level"], one["kind"], one["file"]) for one in result["problems"]]
    assert (copies["folder"], copies["converted"], copies["copied"], copies["problems"]) == ("fixed", 1, 6, [])
    assert copies["report"]["with_repeats"] == 70 and (shop / "fixed" / "10_bag" / "deep.png").is_file()
    assert "deep" not in [one["kind"] for one in copies["report"]["problems"]]
    assert str(host.folder) not in json.dumps(job) and str(shop) not in json.dumps(job)
    (shop / "fixed" / "10_bag" / "1.jpg").write_bytes(b"somebody else's")
    again = until(client, begin(client, "training_check", **told, fix="fixed"), "done", 60)["result"]["fixed"]
    assert (again["there"], [one["file"] for one in again["problems"]]) == (6, ["1.jpg"])
    assert str(shop) not in json.dumps(again)
    assert "owner has allowed" in refused(client, "training_check", **told, fix="../elsewhere")["fix"]
    assert "originals stay untouched" in refused(client, "training_check", **told, fix="10_bag/x")["fix"]
    assert "not text" in refused(client, "training_check", **told, fix=5)["fix"]


def test_a_folder_of_kohyas_folders(client: Any, shop: Path, tmp_path: Path) -> None:
    (shop / "photos").rename(shop / "2_bag")
    (shop / "all").mkdir()
    (shop / "2_bag").rename(shop / "all" / "2_bag")
    settings = {name: value for name, value in SMALL.items() if name != "num_repeats"}
    job = until(client, begin(client, **{**settings, "image_dir": "all", "max_train_epochs": 1}), "done", 60)
    assert job["result"]["steps_done"] == 6
    captions = {"image_dir": "all", "activation_tag": "new"}
    assert until(client, begin(client, "training_captions", **captions), "done", 60)["result"]["written"] == 6
    # a folder in it that leads out of what is allowed is refused like any other
    make_folder(tmp_path / "secret", count=1)
    (shop / "all" / "3_secret").symlink_to(tmp_path / "secret", target_is_directory=True)
    for kind, told in (("training", {**settings, "image_dir": "all"}), ("training_captions", captions)):
        assert "owner has allowed" in refused(client, kind, **told)["image_dir"]
    assert "owner has allowed" in refused(client, "training_check", image_dir="all")["image_dir"]


def test_an_unreadable_caption_is_kept_and_told(client: Any, shop: Path, host: LocalHost) -> None:
    data = "café".encode("utf-16")
    (shop / "photos" / "2.txt").write_bytes(data)
    job = until(client, begin(client, "training_captions", image_dir="photos", captioner="webui"), "done", 60)
    counts = {"written": 0, "kept": 5, "missing": 0, "unread": 1}
    assert {name: job["result"][name] for name in counts} == counts
    (change,) = job["result"]["changes"]
    assert (change["file"], change["kept"]) == ("2.txt", True) and "UTF-16, not UTF-8" in change["problem"]
    assert (shop / "photos" / "2.txt").read_bytes() == data and host.trains.told == []


def test_captions_are_written_by_the_webuis_interrogator(client: Any, shop: Path, host: LocalHost) -> None:
    for number in (1, 2):
        (shop / "photos" / f"{number}.txt").unlink()
    told = {"image_dir": "photos", "activation_tag": f"{TAG}, shop", "captioner": "webui"}
    shown = until(client, begin(client, "training_captions", **told, dry_run=True), "done", 60)
    counts = {"written": 6, "kept": 0, "missing": 0, "dry_run": True}
    assert {name: shown["result"][name] for name in counts} == counts
    assert not (shop / "photos" / "1.txt").exists()
    done = until(client, begin(client, "training_captions", **told), "done", 60)
    assert (shop / "photos" / "1.txt").read_text() == f"{TAG}, shop, handbag on a table\n"
    assert (shop / "photos" / "3.txt").read_text() == f"{TAG}, shop, a bag on table 3\n"
    assert done["result"]["changes"][-1]["after"] == f"{TAG}, shop, handbag on a table"
    assert host.trains.told == ["described 128×128"] * 4
    host.trains.answer = ""
    assert "no interrogator; choose blip" in refused(client, "training_captions", **told)["captioner"]
    host.trains.answer = "<error>"
    failed = until(client, begin(client, "training_captions", **told, anew=True), "failed", 60)
    assert "has no caption for" in failed["error"] and str(host.folder) not in failed["error"]


def test_tags_are_edited_and_captions_come_from_files(client: Any, shop: Path) -> None:
    (shop / "captions.json").write_text(json.dumps({"1": "a hat, logo"}))
    told = {"image_dir": "photos", "captioner": "file", "captions": "captions.json", "anew": True, "remove": "logo"}
    job = until(client, begin(client, "training_captions", **told, search="a hat", replacement="a cap"), "done", 60)
    assert (shop / "photos" / "1.txt").read_text() == "a cap\n"
    assert {name: job["result"][name] for name in ("written", "missing")} == {"written": 1, "missing": 5}
    complaints = refused(client, "training_captions", image_dir="photos", captioner="file", captions="/etc/passwd")
    assert "owner has allowed" in complaints["captions"]
    assert "unknown setting" in refused(client, "training_captions", image_dir="photos", tag="x")["tag"]


def test_publishing_alone(client: Any, shop: Path, host: LocalHost) -> None:
    until(client, begin(client, **SMALL), "done", 60)
    told = {"output_name": "bag", "epochs": "1, 3", "name": "ppzocketv2", "weight": 0.8, "description": "A bag."}
    job = until(client, begin(client, "training_publish", **told), "done", 60)
    assert [one["file"] for one in job["result"]["published"]] == [
        "ppzocketv2-01.safetensors",
        "ppzocketv2-03.safetensors",
    ]
    side_car = json.loads((host.trains.lora_folder() / "ppzocketv2-03.json").read_text())
    assert (side_car["activation text"], side_car["preferred weight"]) == (TAG, 0.8)
    assert side_car["description"] == "A bag."
    (host.trains.lora_folder() / "bag-02.safetensors").write_bytes(b"another's")
    failed = until(client, begin(client, "training_publish", output_name="bag"), "failed", 60)
    assert "choose another name" in failed["error"]
    assert (host.trains.lora_folder() / "bag-02.safetensors").read_bytes() == b"another's"
    assert (
        "letters"
        in client.post(JOBS, json={"kind": "training_publish", "settings": {"output_name": "../bag"}}).json()["detail"][
            0
        ]["allowed"]
    )
    assert "is no folder of a training run" in refused(client, "training_publish", output_name="bog")["output_name"]
    assert "not a list" in refused(client, "training_publish", output_name="bag", epochs="last")["epochs"]
