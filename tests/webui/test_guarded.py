"""A server as its owner closes it: no page, user and password, frozen settings, one folder opened, no ControlNet.

What is refused by words alone is tested in tests/api; here the real host's own middleware and flags are in between.
"""

from __future__ import annotations

import base64
import json
import struct
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.webui import server as servers
from tests.webui.conftest import seed_picture
from tests.webui.server import Installation, Server, decode, encode

pytest.importorskip("starlette", reason="our routes are told by modules that need FastAPI: run it with a1111-pins")

USER, PASSWORD = "seller", "s3cret"
QUICK = {"products": "car", "finder": "lite", "steps": 3, "resolution": 192, "sampler": "Euler", "prompt": "[class]"}


@pytest.fixture(scope="module")
def opened_folder(tmp_path_factory: pytest.TempPathFactory, seed_dir: Path) -> Path:
    """A folder that the owner opens to requests, with a link out of it, and beside it one that stays closed."""
    root = tmp_path_factory.mktemp("server")
    (root / "open" / "photos").mkdir(parents=True)
    (root / "closed").mkdir()
    for folder in ("open/photos", "closed"):
        seed_picture(seed_dir, "car").save(root / folder / "car.png")
    (root / "open" / "way-out").symlink_to(root / "closed")
    return root / "open"


@pytest.fixture(scope="module")
def guarded(
    installation: Installation,
    tiny_models: Path,
    models_dir: Path,
    opened_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    data = tmp_path_factory.mktemp(f"{installation.host}-guarded")
    # Forge chooses a checkpoint where there is none yet, which settings that are frozen do not let it
    chosen = {"sd_model_checkpoint": "tiny.safetensors"}
    servers.lay_out(installation, data, tiny_models, models_dir, ours=True, **chosen)
    (data / "extensions" / "sd-webui-controlnet").unlink(missing_ok=True)
    flags = (
        "--nowebui",
        f"--api-auth={USER}:{PASSWORD},second:other",
        "--freeze-settings",
        f"--prodshot-allow-dir={opened_folder}",
    )
    server = servers.start(installation, data, *flags)
    try:
        yield server
    finally:
        server.stop()


def call(
    server: Server, method: str, path: str, sent: Any = None, user: tuple[str, str] | None = (USER, PASSWORD)
) -> tuple[int, Any]:
    """Status and answer."""
    request = urllib.request.Request(server.url + path, method=method)
    if sent is not None:
        request.data = json.dumps(sent).encode()
        request.add_header("Content-Type", "application/json")
    if user is not None:
        request.add_header("Authorization", "Basic " + base64.b64encode(":".join(user).encode()).decode())
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=600) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"{}")


def routes() -> list[tuple[str, str]]:
    given = {"{job_id}": "0", "{name}": "report.csv"}
    from lib_prodshot.webui.api import openapi

    paths = [(route.method, openapi.PREFIX + route.path) for route in openapi.ROUTES]
    for mark, value in given.items():
        paths = [(method, path.replace(mark, value)) for method, path in paths]
    return paths


def test_every_route_wants_user_and_password(guarded: Server) -> None:
    assert call(guarded, "GET", "/sdapi/v1/options", user=None)[0] == 401
    for method, path in routes():
        for user in (None, (USER, "wrong"), (USER, "other"), ("nobody", PASSWORD), ("", "")):
            status, told = call(guarded, method, path, {} if method == "POST" else None, user)
            assert status == 401 and told["error"], (method, path, user)
        status, told = call(guarded, method, path, {} if method == "POST" else None)
        # an empty body is wrong, and there is no job: but they were let in
        assert status in (200, 404, 422), (method, path, status, told)


def test_both_users_are_let_in(guarded: Server) -> None:
    for user in ((USER, PASSWORD), ("second", "other")):
        assert call(guarded, "GET", "/prodshot/v1/status", user=user)[0] == 200


def test_it_works_without_page_and_with_frozen_settings(guarded: Server, seed_dir: Path) -> None:
    images = [encode(seed_picture(seed_dir, name)) for name in ("car", "unknown")]
    status, told = call(guarded, "POST", "/prodshot/v1/enhance", {"images": images, **QUICK})
    car, moon = told["outcomes"]
    assert (status, car["status"], moon["status"]) == (200, "found", "skipped"), told
    assert car["audit"]["changed_outside"] == 0 and moon["output"] == images[1]
    before, after = (np.asarray(picture) for picture in (seed_picture(seed_dir, "car"), decode(car["output"])))
    assert (before != after).any()


def test_a_webui_without_controlnet_says_so(guarded: Server, seed_dir: Path) -> None:
    if guarded.installation.host != "a1111":
        pytest.skip("Forge and reForge bring a ControlNet of their own")
    lacks = call(guarded, "GET", "/prodshot/v1/status")[1]["lacks"]
    assert any("ControlNet is not installed" in lack for lack in lacks)
    sent = {"images": [encode(seed_picture(seed_dir, "car"))], **QUICK}
    status, told = call(guarded, "POST", "/prodshot/v1/enhance", {**sent, "control": "preferred"})
    assert (status, told["found"]) == (200, 1)
    assert any("without ControlNet: it is not installed" in note for note in told["outcomes"][0]["notes"])
    status, told = call(guarded, "POST", "/prodshot/v1/enhance", {**sent, "control": "required"})
    assert (status, told["failed"]) == (207, 1)
    (outcome,) = told["outcomes"]
    assert "ControlNet is required" in outcome["reason"] and outcome["output"] == sent["images"][0]


def claimed(width: int, height: int) -> str:
    """A PNG whose header claims that many pixels, as base64."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(b"\0" * (1 + width // 8) * 64, 9)
    header = chunk(b"IHDR", struct.pack(">2I5B", width, height, 1, 0, 0, 0, 0))
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")).decode()


@pytest.mark.parametrize("picture", ["http://127.0.0.1:1/x.png", "file:///etc/passwd", "/etc/passwd", "../car.png"])
def test_addresses_and_paths_are_no_pictures(guarded: Server, picture: str) -> None:
    for path in ("/prodshot/v1/detect", "/prodshot/v1/enhance"):
        status, told = call(guarded, "POST", path, {"images": [picture], **QUICK})
        assert (status, told["detail"][0]["field"]) == (422, "images[0]")


def test_a_bomb_is_refused(guarded: Server) -> None:
    status, told = call(guarded, "POST", "/prodshot/v1/detect", {"images": [claimed(10_000, 10_000)], **QUICK})
    assert status == 422 and "too large: 10000×10000" in told["detail"][0]["message"]


def test_jobs_stay_in_the_opened_folder(guarded: Server, opened_folder: Path) -> None:
    closed = opened_folder.parent / "closed"
    ways = ["../closed", "photos/../../closed", "way-out", str(closed), str(opened_folder / "way-out"), "/", "/etc"]
    ways += [f"{opened_folder}/../closed", f"{opened_folder}-2", "photos\0/../.."]
    for field in ("folder", "out"):
        for way in ways:
            folders = {"folder": "photos", "out": "results", field: way}
            sent = {"kind": "folder", "settings": {**folders, "products": "car", "finder": "lite"}}
            status, told = call(guarded, "POST", "/prodshot/v1/jobs", sent)
            assert (status, told["detail"][0]["field"]) == (422, field), (field, way, told)
            assert str(opened_folder.parent) not in json.dumps(told)
    assert [path.name for path in closed.iterdir()] == ["car.png"]


def test_a_jobs_files_are_its_own(guarded: Server, opened_folder: Path) -> None:
    settings = {"folder": "photos", "out": "results", "products": "car", "finder": "lite", "dry_run": True}
    status, job = call(guarded, "POST", "/prodshot/v1/jobs", {"kind": "folder", "settings": settings})
    assert status == 200, job
    for name in ("../../closed/car.png", "..%2F..%2Fclosed%2Fcar.png", "/etc/passwd", "%2Fetc%2Fpasswd"):
        assert call(guarded, "GET", f"/prodshot/v1/jobs/{job['id']}/files/{name}")[0] == 404
    assert call(guarded, "DELETE", f"/prodshot/v1/jobs/{job['id']}")[0] == 200
