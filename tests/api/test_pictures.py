"""Pictures through /detect and /enhance: every way in, what comes out, and what stays as it was."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="tested where FastAPI and gradio are: under the WebUIs' pins")
pytest.importorskip("gradio", reason="tested where FastAPI and gradio are: under the WebUIs' pins")

from lib_prodshot.webui import picture_codes
from tests.api.local_host import LocalHost
from tests.api.tools import DETECT, ENHANCE, as_code, as_file, body, dark, noise, opened


def test_detect_answers_boxes_scores_mask_and_overlay(client: Any) -> None:
    reply = client.post(DETECT, json=body(as_file(noise())))
    assert reply.status_code == 200
    (line,) = reply.json()["outcomes"]
    assert line["status"] == "found"
    assert line["size"] == [64, 48]
    assert line["detections"] == [{"label": "handbag", "score": 0.8, "box": [16, 12, 48, 36], "area": 32 * 24}]
    mask = np.asarray(opened(line["mask"]))
    assert mask.shape == (48, 64)
    assert mask[12:36, 16:48].min() == 255 and int((mask > 0).sum()) == 32 * 24
    assert opened(line["overlay"]).size == (64, 48)
    assert "output" not in line
    assert reply.json()["found"] == 1 and reply.json()["skipped"] == 0 and reply.json()["failed"] == 0


def test_one_picture_may_come_as_image(client: Any) -> None:
    data = as_file(noise())
    many = client.post(DETECT, json=body(data)).json()["outcomes"][0]
    one = client.post(DETECT, json={"image": as_code(data), "products": "handbag"})
    assert one.status_code == 200 and one.json()["outcomes"][0]["mask"] == many["mask"]
    form = client.post(DETECT, data={"products": "handbag"}, files={"image": ("a.png", data, "image/png")})
    assert form.status_code == 200 and form.json()["outcomes"][0]["file"] == "a.png"
    two = client.post(DETECT, json={"image": [as_code(data)] * 2, "products": "handbag"})
    assert two.status_code == 422 and two.json()["detail"][0]["field"] == "image"


def with_every_letter(length: int = 0) -> bytes:
    """A PNG whose base64 has '+' and '/', and needs two, one or no '=' as `length` says."""
    from PIL.PngImagePlugin import PngInfo

    for number in range(200):
        texts = PngInfo()
        texts.add_text("Comment", "x" * number)
        data = as_file(noise(number), pnginfo=texts)
        if len(data) % 3 == length and {"+", "/"} <= set(as_code(data)):
            return data
    raise AssertionError("no such picture")


def wrapped(code: str, width: int = 76, indent: str = "", end: str = "\n") -> str:
    return end.join(indent + code[start : start + width] for start in range(0, len(code), width))


def url_safe(code: str) -> str:
    return code.replace("+", "-").replace("/", "_")


WRITINGS = {
    "plain": lambda code: code,
    "url": lambda code: "data:image/png;base64," + code,
    "charset": lambda code: "data:image/png;charset=utf-8;base64," + code,
    "name": lambda code: "data:image/png;name=my%20photo.png;base64," + code,
    "quoted name with a comma": lambda code: 'data:image/png;name="a, b; c.png";base64,' + code,
    "lone quote in the name": lambda code: 'data:image/png;name=12".png;base64,' + code,
    "base64 before other parameters": lambda code: "data:image/png;base64;name=a.png," + code,
    "capitals and blanks": lambda code: " DATA:Image/PNG; charset=UTF-8; BASE64, " + code,
    "no type": lambda code: "data:;base64," + code,
    "another type": lambda code: "data:application/octet-stream;base64," + code,
    "escaped in a url": lambda code: "data:image/png;base64," + quote(code, safe=""),
    "url-safe": url_safe,
    "url-safe in a url": lambda code: "data:image/png;base64," + url_safe(code),
    "unpadded": lambda code: code.rstrip("="),
    "unpadded and url-safe": lambda code: url_safe(code).rstrip("="),
    "padded too much": lambda code: code.rstrip("=") + "====",
    "mime": lambda code: wrapped(code, end="\r\n") + "\r\n",
    "pem": lambda code: "\n\n" + wrapped(code, 64) + "\n",
    "old mac": lambda code: wrapped(code, end="\r"),
    "odd lines": lambda code: wrapped(code, 75),
    "indented": lambda code: wrapped(code, indent="    ") + "\n  ",
    "tabs before lines": lambda code: wrapped(code, indent="\t"),
    "lines in a url": lambda code: "data:image/png;name=a.png;base64,\n" + wrapped(code),
}


@pytest.mark.parametrize("writing", WRITINGS.values(), ids=list(WRITINGS))
@pytest.mark.parametrize("length", [0, 1, 2])
def test_every_writing_of_base64_gives_the_same_bytes(writing: Callable[[str], str], length: int) -> None:
    data = with_every_letter(length)
    assert picture_codes.decode(writing(as_code(data))) == data


@pytest.mark.parametrize("route", [DETECT, ENHANCE])
@pytest.mark.parametrize("writing", ["charset", "name", "url-safe", "unpadded", "mime", "escaped in a url"])
def test_the_routes_read_them(client: Any, route: str, writing: str) -> None:
    code = WRITINGS[writing](as_code(with_every_letter(1)))
    reply = client.post(route, json={"images": [code], "products": ["handbag"], "engine": "retouch"})
    assert reply.status_code == 200, reply.text
    assert reply.json()["outcomes"][0]["status"] == "found"
    files = [("images", (None, code)), ("images", ("a.png", as_file(noise()), "image/png"))]
    both = client.post(route, data={"products": "handbag", "engine": "retouch"}, files=files).json()["outcomes"]
    assert [line["status"] for line in both] == ["found", "found"]


def test_a_percent_encoded_data_url_is_read() -> None:
    data = with_every_letter()
    assert picture_codes.decode("data:image/png," + quote(data)) == data
    assert picture_codes.decode("data:image/png;name=a.png," + quote(data, safe="")) == data


@pytest.mark.parametrize("route", [DETECT, ENHANCE])
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda code: code.replace("+", " "), "blanks"),
        (lambda code: "data:image/png;charset=utf-8;base64," + code.replace("+", " "), "blanks"),
        (lambda code: wrapped(code).replace("+", " "), "blanks"),
        (lambda code: code[:76] + code[76:].replace("+", "\t"), "blanks"),
        (lambda code: code[:75] + " \n" + code[76:], "blanks"),
        (lambda code: code[:76] + "\n " + code[77:], "blanks"),
        (lambda code: code[:30] + "*" + code[30:], "letter 31 is '*' (U+002A)"),
        (lambda code: code[:30] + "é" + code[30:], "letter 31 is 'é' (U+00E9)"),
        (lambda code: code[:30] + "\u200b" + code[30:], "U+200B"),
        (lambda code: code[:30] + "\x00" + code[30:], "U+0000"),
        (lambda code: "\ufeff" + code, "U+FEFF"),
        (lambda code: code[:30] + "…", "U+2026"),
        (lambda code: code[:30] + "\\n" + code[30:], "U+005C"),
        (lambda code: quote(code, safe=""), "percent-encoded"),
        (lambda code: f'"{code}"', "quotation marks"),
        (lambda code: f"b'{code}'", "quotation marks"),
        (lambda code: code[:40] + "==" + code[40:], "'=' stands within"),
        (lambda code: as_code(code.encode()), "base64 once more"),
        (lambda code: as_code(b"data:image/png;base64," + code.encode()), "base64 once more"),
        (lambda code: code.rstrip("=")[: len(code) // 4 * 4 - 3], "a part of it is missing"),
        (lambda code: "data:image/png;base64" + code, "no comma"),
        (lambda code: "data:image/png," + code.replace("+", " "), "percent-encoded"),
        (lambda code: "data:image/png;base64,", "empty"),
        (lambda code: "data:,", "empty"),
        (lambda code: "", "empty"),
        (lambda code: " \n\t", "empty"),
        (lambda code: "photos/cup.png", "paths are not opened"),
        (lambda code: "https://example.org/cup.png", "paths are not opened"),
    ],
)
def test_what_would_be_other_bytes_is_refused_by_name(
    client: Any, route: str, spoil: Callable[[str], str], words: str
) -> None:
    whole, spoilt = as_code(with_every_letter()), spoil(as_code(with_every_letter(1)))
    reply = client.post(route, json={"images": [whole, spoilt], "products": "handbag"})
    assert reply.status_code == 422
    (problem,) = reply.json()["detail"]
    assert problem["field"] == "images[1]" and words in problem["message"], problem
    assert len(problem["message"]) < 300


def test_a_file_that_holds_base64_is_refused_by_name(client: Any) -> None:
    files = [("images", ("a.b64", as_code(as_file(noise())).encode(), "text/plain"))]
    (problem,) = client.post(DETECT, data={"products": "handbag"}, files=files).json()["detail"]
    assert problem["field"] == "images[0]" and "base64 once more" in problem["message"]


def test_multipart_with_typed_settings(client: Any) -> None:
    files = [("images", ("a.png", as_file(noise(1)), "image/png")), ("images", ("b.png", as_file(dark()), "image/png"))]
    sent = {"products": "handbag", "box_threshold": "0.5", "grow": "4", "invert": "false", "include": ["mask"]}
    reply = client.post(DETECT, data=sent, files=files)
    assert reply.status_code == 200, reply.text
    first, second = reply.json()["outcomes"]
    assert (first["file"], first["status"]) == ("a.png", "found")
    assert (second["file"], second["status"]) == ("b.png", "skipped")
    assert first["detections"][0]["area"] > 32 * 24
    assert "overlay" not in first


def test_several_pictures_keep_their_order(client: Any) -> None:
    sizes = [(48, 64), (40, 72), (56, 60)]
    pictures = [as_file(noise(number, size)) for number, size in enumerate(sizes)]
    lines = client.post(ENHANCE, json=body(*pictures, engine="retouch")).json()["outcomes"]
    assert [tuple(reversed(line["size"])) for line in lines] == sizes
    for number, line in enumerate(lines):
        assert line["file"] == f"images[{number}]"
        outside = np.asarray(opened(line["output"]).convert("RGB"))[0]
        assert np.array_equal(outside, noise(number, sizes[number])[0])


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP"])
def test_a_skipped_picture_comes_back_byte_for_byte(client: Any, kind: str) -> None:
    data = as_file(dark(), kind)
    (line,) = client.post(ENHANCE, json=body(data)).json()["outcomes"]
    assert line["status"] == "skipped"
    assert base64.b64decode(line["output"]) == data
    assert "0.07" in line["reason"]


@pytest.mark.parametrize("engine", ["retouch", "inpaint"])
def test_enhance_changes_the_product_and_nothing_else(client: Any, host: LocalHost, engine: str) -> None:
    before = noise(3, (96, 128))
    (line,) = client.post(ENHANCE, json=body(as_file(before), engine=engine, feather=2)).json()["outcomes"]
    assert line["status"] == "found", line
    after = np.asarray(opened(line["output"]).convert("RGB"))
    changed = np.argwhere((after != before).any(axis=2))
    assert len(changed) > 500
    reach = round(2.5 * 2)
    assert changed[:, 0].min() >= 24 - reach and changed[:, 0].max() < 72 + reach
    assert changed[:, 1].min() >= 32 - reach and changed[:, 1].max() < 96 + reach
    assert line["audit"]["changed_outside"] == 0
    assert host.jobs == ["Prodshot: enhance"]
    assert bool(line.get("ran")) == (engine == "inpaint")


def test_the_default_engine_of_the_routes_is_the_webuis(client: Any) -> None:
    (line,) = client.post(ENHANCE, json=body(as_file(noise()))).json()["outcomes"]
    assert "Prodshot engine: inpaint" in line["infotext"]
    assert line["ran"]


def test_the_output_is_a_png_with_infotext(client: Any) -> None:
    picture = as_file(noise(), "JPEG", quality=95)
    (line,) = client.post(ENHANCE, json=body(picture, engine="retouch", products="hand bag, shoe")).json()["outcomes"]
    image = opened(line["output"])
    assert image.format == "PNG"
    assert image.info["parameters"] == line["infotext"]
    assert 'Prodshot products: "hand bag, shoe"' in line["infotext"]
    assert "Prodshot: found hand bag 0.80" in line["infotext"]


def test_a_former_infotext_is_replaced(client: Any) -> None:
    from PIL.PngImagePlugin import PngInfo

    texts = PngInfo()
    texts.add_text("parameters", "an old prompt\nSteps: 20")
    texts.add_text("Software", "kept")
    (line,) = client.post(ENHANCE, json=body(as_file(noise(), pnginfo=texts), engine="retouch")).json()["outcomes"]
    image = opened(line["output"])
    assert image.info["parameters"].startswith("Prodshot: found")
    assert image.info["Software"] == "kept"


def test_alpha_comes_back(client: Any) -> None:
    before = np.dstack([noise(), np.random.default_rng(1).integers(0, 255, (48, 64), dtype=np.uint8)])
    (line,) = client.post(ENHANCE, json=body(as_file(before), engine="retouch")).json()["outcomes"]
    image = opened(line["output"])
    assert image.mode == "RGBA"
    assert np.array_equal(np.asarray(image)[..., 3], before[..., 3])


def test_the_icc_profile_of_a_jpeg_comes_back(client: Any) -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = as_file(noise(), "JPEG", icc_profile=profile)
    (line,) = client.post(ENHANCE, json=body(picture, engine="retouch")).json()["outcomes"]
    assert opened(line["output"]).info["icc_profile"] == profile


def test_a_failed_picture_is_207_and_comes_back(client: Any) -> None:
    data = as_file(noise())
    refused = client.post(ENHANCE, json=body(data, engine="retouch", delta_e_limit=0.0, over_limit="refuse"))
    assert refused.status_code == 207
    (line,) = refused.json()["outcomes"]
    assert line["status"] == "failed" and line["reason"]
    assert base64.b64decode(line["output"]) == data
    assert refused.json()["failed"] == 1


def test_include_nothing(client: Any) -> None:
    (line,) = client.post(DETECT, json=body(as_file(noise()), include=[])).json()["outcomes"]
    assert not {"mask", "overlay", "output"} & set(line)
