"""What the routes refuse, and how: the field by name, nothing about the server, and nobody without credentials."""

from __future__ import annotations

import base64
import io
import json
import logging
import struct
import zlib
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="tested where FastAPI and gradio are: under the WebUIs' pins")
pytest.importorskip("gradio", reason="tested where FastAPI and gradio are: under the WebUIs' pins")
from PIL import Image

from lib_prodshot.request import settings
from lib_prodshot.webui import options, service
from lib_prodshot.webui.api import openapi
from tests.api.local_host import LocalHost
from tests.api.tools import DETECT, ENHANCE, as_code, as_file, body, noise


def refused(reply: Any, status: int = 422) -> dict[str, Any]:
    """The first complaint of a refusal."""
    assert reply.status_code == status, reply.text
    answer = reply.json()
    assert answer["error"]
    return answer["detail"][0] if answer["detail"] else {"message": answer["error"]}


@pytest.mark.parametrize(
    ("settings_sent", "field"),
    [
        ({"product": "handbag"}, "product"),
        ({"box_threshold": 1.5}, "box_threshold"),
        ({"box_threshold": "0.5"}, "box_threshold"),
        ({"box_threshold": True}, "box_threshold"),
        ({"grow": 1.5}, "grow"),
        ({"invert": 1}, "invert"),
        ({"engine": "magic"}, "engine"),
        ({"engine": ["inpaint"]}, "engine"),
        ({"products": ""}, "products"),
        ({"products": " , ;"}, "products"),
        ({"products": {"a": 1}}, "products"),
        ({"class_thresholds": "shoe: 0.5"}, "class_thresholds"),
        ({"include": "mask"}, "include"),
        ({"include": ["everything"]}, "include"),
        ({"padding": 10**400}, "padding"),
        ({"prompt": None}, "prompt"),
        ({"prompt": "x" * 20_001}, "prompt"),
        ({"control_model": "x" * 20_001}, "control_model"),
    ],
)
def test_a_wrong_field_is_named(client: Any, settings_sent: dict[str, Any], field: str) -> None:
    sent = {**body(as_file(noise())), **settings_sent}
    assert refused(client.post(DETECT, json=sent))["field"] == field


@pytest.mark.parametrize(
    ("sent", "field", "nearest"),
    [
        ({"imges": ["AAAA"], "products": "handbag"}, "imges", "images"),
        ({"picture": "AAAA", "products": "handbag"}, "picture", ""),
        ({"images": [as_code(as_file(noise()))], "product": "handbag"}, "product", "products"),
        ({"images": [as_code(as_file(noise()))], "mask": {"growe": 1}, "products": "handbag"}, "mask.growe", "grow"),
        ({"image": "AAAA", "images": ["AAAA"], "products": "handbag"}, "image", ""),
    ],
)
def test_an_unknown_name_is_told_with_the_nearest(client: Any, sent: Any, field: str, nearest: str) -> None:
    complaint = refused(client.post(DETECT, json=sent))
    assert complaint["field"] == field
    assert f"the nearest is '{nearest}'" in complaint["message"] or not nearest


def test_the_allowed_range_is_told(client: Any) -> None:
    complaint = refused(client.post(ENHANCE, json=body(as_file(noise()), denoising_strength=7)))
    assert complaint == {"field": "denoising_strength", "message": "7 is too large", "allowed": "number from 0 to 1"}


def test_every_wrong_field_is_named_at_once(client: Any) -> None:
    reply = client.post(DETECT, json=body(as_file(noise()), grow=9999, feather=-1, engine="no"))
    assert {problem["field"] for problem in reply.json()["detail"]} == {"grow", "feather", "engine"}


@pytest.mark.parametrize(
    "picture",
    [
        "http://127.0.0.1:1/x.png",
        "https://example.org/x.png",
        "file:///etc/passwd",
        "FILE:/etc/passwd",
        "ftp://example.org/x.png",
        "/etc/passwd",
        "../../etc/passwd",
        "C:\\Windows\\win.ini",
        "\\\\server\\share\\x.png",
        "data:text/plain;base64,aGVsbG8=",
        "data:image/svg+xml;base64,PHN2Zy8+",
        "data:image/png,rawbytes",
        "",
        "====",
        "aGVsbG8=",
        "Zm9v\u2028",
        None,
        5,
        {"url": "http://example.org"},
    ],
)
def test_only_pictures_are_pictures(client: Any, picture: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: Any, **__: Any) -> None:
        raise AssertionError("a request reached for the network")

    monkeypatch.setattr("socket.create_connection", no_network)
    complaint = refused(client.post(DETECT, json={"images": [picture], "products": "handbag"}))
    assert complaint["field"] == "images[0]"
    assert "passwd" not in complaint["message"] and "root:" not in complaint["message"]


@pytest.mark.parametrize("images", [[], {}, "abc", None, ["AAAA"] * 65])
def test_the_list_of_pictures_is_checked(client: Any, images: Any) -> None:
    assert refused(client.post(DETECT, json={"images": images, "products": "handbag"}))["field"].startswith("images")


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few kilobytes that claims width × height pixels, and keeps the promise row by row."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    row = b"\0" * (1 + (width + 7) // 8)
    packed = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">2I5B", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(10_000, 10_000), (20_000, 20_000)])
def test_a_decompression_bomb_is_refused_unopened(
    client: Any, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bomb(*size)
    assert len(data) < 100_000

    def never(*_: Any) -> None:
        raise AssertionError("the bomb was decoded")

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load_prepare", never)
    complaint = refused(client.post(DETECT, json=body(data)))
    assert complaint["field"] == "images[0]" and "large" in complaint["message"]


def test_many_large_pictures_are_too_much(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lib_prodshot.webui.api.pictures.MAX_REQUEST_PIXELS", 48 * 64 * 2)
    complaint = refused(client.post(DETECT, json=body(*[as_file(noise(n)) for n in range(3)])))
    assert complaint["field"] == "images"


def test_the_limit_is_above_any_camera_of_today() -> None:
    assert 50_000_000 < service.MAX_PIXELS < 100_000_000


@pytest.mark.parametrize("in_chunks", [False, True])
def test_a_large_body_is_refused(client: Any, host: LocalHost, in_chunks: bool) -> None:
    host.options["prodshot_api_megabytes"] = 1
    data = json.dumps(body(b"x" * 1_500_000)).encode()
    content: Any = (data[start : start + 65_536] for start in range(0, len(data), 65_536)) if in_chunks else data
    refused(client.post(DETECT, content=content, headers={"Content-Type": "application/json"}), 413)
    files = [("images", ("a.png", b"x" * 1_500_000, "image/png"))]
    refused(client.post(DETECT, data={"products": "handbag"}, files=files), 413)


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"products": NaN}', "application/json", 400),
        (b"[" * 200_000, "application/json", 400),
        (b'{"products": "a", "products": "b"}', "application/json", 422),
        (b"products=handbag", "application/x-www-form-urlencoded", 415),
        (b"handbag", "text/plain", 415),
        (b"", "", 415),
        (b"no parts", "multipart/form-data", 400),
        (b"no parts", "multipart/form-data; boundary=x", 422),
        (b'--x\r\nContent-Disposition: form-data; name="images"\r\n\r\n', "multipart/form-data; boundary=x", 422),
    ],
)
def test_damaged_bodies(client: Any, content: bytes, kind: str, status: int) -> None:
    reply = client.post(DETECT, content=content, headers={"Content-Type": kind})
    assert reply.status_code in (status, 400), reply.text
    assert reply.json()["error"]


def test_nothing_twice_in_multipart(client: Any) -> None:
    files = [("images", ("a.png", as_file(noise()), "image/png"))]
    reply = client.post(DETECT, data={"products": ["handbag", "shoe"]}, files=files)
    assert refused(reply)["field"] == "products"


@pytest.mark.parametrize("text", ["0x10", "1_0", " 4", "4 ", "nan", "inf", "1e999", "", "four"])
def test_numbers_in_multipart_are_numbers(client: Any, text: str) -> None:
    files = [("images", ("a.png", as_file(noise()), "image/png"))]
    reply = client.post(DETECT, data={"products": "handbag", "padding": text}, files=files)
    assert refused(reply)["field"] == "padding"


def test_files_are_images_only(client: Any) -> None:
    files = [("images", ("a.png", as_file(noise()), "image/png")), ("prompt", ("p.txt", b"x", "text/plain"))]
    assert refused(client.post(DETECT, data={"products": "handbag"}, files=files))["field"] == "prompt"


def test_a_query_is_refused(client: Any) -> None:
    assert refused(client.get("/prodshot/v1/schema?verbose=1"))["field"] == "verbose"


@pytest.mark.parametrize("text", ["\ud800", "\udfff x", "a\x00b", "‮", "x" * 5000])
def test_odd_text_is_answered(client: Any, text: str) -> None:
    for sent in ({"products": text}, {text: 1}, {"prompt": text}):
        content = json.dumps({**body(as_file(noise())), **sent})
        reply = client.post(DETECT, content=content, headers={"Content-Type": "application/json"})
        assert reply.status_code in (200, 422), reply.text
        assert len(reply.content) < 60_000


def test_a_finder_that_is_not_there_is_the_requests_fault(client: Any) -> None:
    complaint = refused(client.post(DETECT, json=body(as_file(noise()), finder="langsam")))
    assert complaint["field"] == "finder" and complaint["allowed"] == "auto, lite"
    assert "dino.pth" in complaint["message"] and "/srv" not in complaint["message"]


def test_the_status_tells_what_is_ready_and_no_path(client: Any) -> None:
    reply = client.get("/prodshot/v1/status")
    assert {finder["name"]: finder["ready"] for finder in reply.json()["finders"]} == {"langsam": False, "lite": True}
    assert all(weight["bytes"] > 0 for weight in reply.json()["weights"])
    assert "/srv" not in reply.text


# --- who may call ---------------------------------------------------------------------------------------------------


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def calls() -> list[tuple[str, str]]:
    def given(path: str) -> str:
        return path.replace("{job_id}", "0").replace("{name}", "report.csv")

    return [(route.method, openapi.PREFIX + given(route.path)) for route in openapi.ROUTES]


@pytest.mark.parametrize(("method", "path"), calls())
@pytest.mark.parametrize(
    "headers",
    [
        {},
        basic("seller", "wrong"),
        basic("nobody", "s3cret:ü"),
        basic("seller", ""),
        basic("", ""),
        basic("seller", "other"),
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic"},
        {"Authorization": "Bearer s3cret"},
        {"Authorization": "Basic " + base64.b64encode(b"seller").decode()},
        {"Authorization": "Basic " + base64.b64encode(b"\xff\xfe:\xff").decode()},
    ],
)
def test_every_route_wants_credentials(
    client: Any, host: LocalHost, method: str, path: str, headers: dict[str, str]
) -> None:
    host.credentials = {"seller": "s3cret:ü", "second": "other"}
    reply = client.request(method, path, headers=headers)
    refused(reply, 401)
    assert reply.headers["www-authenticate"].startswith("Basic")


@pytest.mark.parametrize(("user", "password"), [("seller", "s3cret:ü"), ("second", "other")])
def test_the_right_credentials_open(client: Any, host: LocalHost, user: str, password: str) -> None:
    host.credentials = {"seller": "s3cret:ü", "second": "other"}
    assert client.get("/prodshot/v1/schema", headers=basic(user, password)).status_code == 200
    assert client.post(DETECT, json=body(as_file(noise())), headers=basic(user, password)).status_code == 200


def test_without_credentials_nothing_is_read(client: Any, host: LocalHost) -> None:
    host.credentials = {"seller": "secret"}
    refused(client.post(DETECT, content=b"{", headers={"Content-Type": "application/json"}), 401)


def test_foreign_pages_are_refused(client: Any, host: LocalHost) -> None:
    sent = {"data": {"products": "handbag"}, "files": [("images", ("a.png", as_file(noise()), "image/png"))]}
    foreign = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    refused(client.post(DETECT, headers=foreign, **sent), 403)
    host.flags["cors_allow_origins"] = "https://shop.example,https://evil.example"
    assert client.post(DETECT, headers=foreign, **sent).status_code == 200


# --- what is told ---------------------------------------------------------------------------------------------------


def test_an_unforeseen_error_leaks_nothing_and_stops_no_other_picture(
    client: Any, host: LocalHost, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    find, calls = type(host.finder).find, iter(range(9))

    def broken_at_first(*arguments: Any, **more: Any) -> Any:
        if next(calls) == 0:
            raise RuntimeError("/srv/secret/models.pth is broken")
        return find(*arguments, **more)

    monkeypatch.setattr(type(host.finder), "find", broken_at_first)
    with caplog.at_level(logging.ERROR):
        reply = client.post(DETECT, json=body(as_file(noise(0)), as_file(noise(1))))
    assert reply.status_code == 207
    assert "secret" not in reply.text and "Traceback" not in reply.text and "RuntimeError" not in reply.text
    broken, whole = reply.json()["outcomes"]
    assert (broken["status"], whole["status"]) == ("failed", "found")
    number = broken["reason"].rsplit(" ", 1)[1]
    assert number in caplog.text and "/srv/secret" in caplog.text


def test_an_error_of_the_server_itself_leaks_nothing(
    client: Any, host: LocalHost, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("/srv/secret is gone")

    monkeypatch.setattr(type(host), "job", broken)
    with caplog.at_level(logging.ERROR):
        reply = client.post(DETECT, json=body(as_file(noise())))
    assert reply.status_code == 500
    assert "secret" not in reply.text and "RuntimeError" not in reply.text
    assert reply.json()["error"].rsplit(" ", 1)[1] in caplog.text


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("put it into /home/me/models", "put it into …"),
        ("C:\\Users\\me\\x.pth is missing", "… is missing"),
        ("'/a b/c' and (/x/y)", "'… b/c' and (…)"),
        ("~/models/x.pth", "…"),
        ("handbag/shoe, 1/2, and/or", "handbag/shoe, 1/2, and/or"),
        ("see https://example.org/docs", "see https://example.org/docs"),
        ("CFG 7, 512x512", "CFG 7, 512x512"),
    ],
)
def test_paths_are_taken_out(told: str, said: str) -> None:
    from lib_prodshot.webui.answers import without_paths

    assert without_paths(told) == said


def test_too_many_at_once_are_asked_to_come_back(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lib_prodshot.webui.api.routes.MAX_ADMITTED", 0)
    reply = client.post(DETECT, json=body(as_file(noise())))
    refused(reply, 503)
    assert int(reply.headers["retry-after"]) > 0


def test_schema_and_limits_agree(client: Any, host: LocalHost) -> None:
    host.options["prodshot_api_megabytes"] = 7
    assert client.get("/prodshot/v1/status").json()["megabytes"] == 7
    assert options.API_MEGABYTES >= 16
    told = client.get("/prodshot/v1/schema").json()["settings"]
    assert [setting["name"] for setting in told] == [known.name for known in settings()]
    assert next(setting for setting in told if setting["name"] == "engine")["default"] == "inpaint"


def test_pictures_of_unusual_kinds(client: Any) -> None:
    for kind in ("GIF", "TIFF", "WEBP"):
        data = io.BytesIO()
        Image.fromarray(noise()).convert("P" if kind == "GIF" else "RGB").save(data, kind)
        assert client.post(DETECT, json={"images": [as_code(data.getvalue())], "products": "x"}).status_code == 200
