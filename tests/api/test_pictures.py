"""Pictures through /detect and /enhance: every way in, what comes out, and what stays as it was."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="tested where FastAPI and gradio are: under the WebUIs' pins")
pytest.importorskip("gradio", reason="tested where FastAPI and gradio are: under the WebUIs' pins")

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


@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,"])
def test_base64_and_data_url_are_one(client: Any, prefix: str) -> None:
    code = prefix + as_code(as_file(noise()))
    reply = client.post(DETECT, json={"images": [code], "products": ["handbag"]})
    assert reply.json()["outcomes"][0]["status"] == "found"


def test_base64_with_line_breaks(client: Any) -> None:
    code = base64.encodebytes(as_file(noise())).decode()
    assert client.post(DETECT, json={"images": [code], "products": "handbag"}).status_code == 200


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
