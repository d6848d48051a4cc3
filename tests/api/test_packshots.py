"""The routes /packshot and /check."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.api.test_pictures import as_file, body, dark, noise

PACKSHOT, CHECK = "/prodshot/v1/packshot", "/prodshot/v1/check"


def test_a_packshot_for_each_marketplace_with_its_check(client: Any) -> None:
    sent = body(as_file(noise(3, (96, 128))), marketplace="google, meta", size="600x600", fill=0.8)
    (line,) = client.post(PACKSHOT, json=sent).json()["outcomes"]
    assert line["status"] == "found", line
    assert [(made["marketplace"], made["file"], made["passed"]) for made in line["packshots"]] == [
        ("google", "picture-google.jpg", True),
        ("meta", "picture-meta.jpg", True),
    ]
    for made in line["packshots"]:
        data = base64.b64decode(made["output"])
        with Image.open(io.BytesIO(data)) as image:
            assert (image.format, image.size, len(data)) == ("JPEG", (600, 600), made["bytes"])
            assert (np.asarray(image)[:30] == 255).all()
        assert made["fill"] == pytest.approx(0.8, abs=0.005) and made["audit"]["changed_inside"] == 0
    assert any(reason.startswith("the product was enlarged (") for reason in line["needs_review"])
    assert 1 <= line["gravity"] < 4
    without = client.post(PACKSHOT, json={**sent, "include": []}).json()["outcomes"][0]
    assert "output" not in without and {made["output"] for made in without["packshots"]} == {None}


def test_a_scene_is_painted_around_the_very_product(client: Any) -> None:
    picture = noise(3, (96, 128))
    sent = body(as_file(picture), ground="scene", edges="hard", scene="[class] on sand", scene_light=0, resolution=128)
    (line,) = client.post(PACKSHOT, json=sent).json()["outcomes"]
    assert line["status"] == "found", line
    made = np.asarray(Image.open(io.BytesIO(base64.b64decode(line["packshots"][0]["output"]))))
    kept = (made == picture).all(axis=2)
    assert line["audit"]["changed_inside"] == 0 and line["audit"]["inner_pixels"] <= kept.sum() < kept.size
    assert "on sand" in line["infotext"]


def test_a_packshot_that_fits_in_no_file_is_that_pictures_failure(client: Any) -> None:
    reply = client.post(PACKSHOT, json=body(as_file(noise(3, (96, 128))), as_file(dark()), max_bytes=1))
    assert reply.status_code == 207, reply.text
    failed, skipped = reply.json()["outcomes"]
    assert failed["status"] == "failed" and "bytes of 1 allowed" in failed["reason"] and "packshots" not in failed
    assert skipped["status"] == "skipped"


def test_an_absent_product_is_the_very_file(client: Any) -> None:
    data = as_file(dark())
    # what the route makes anyway may be said
    (line,) = client.post(PACKSHOT, json=body(data, make="packshot")).json()["outcomes"]
    assert line["status"] == "skipped" and base64.b64decode(line["output"]) == data and "packshots" not in line


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"make": "enhance"}, "make"),
        ({"cutout": {"make": "enhance"}}, "make"),
        ({"make": "zorro"}, "make"),
        ({"marketplace": "amazn"}, "marketplace"),
        ({"size": "x"}, "size"),
        ({"enlarge": "model", "upscaler": "x"}, "upscaler"),
    ],
)
def test_a_wrong_field_is_named(client: Any, changes: dict[str, Any], field: str) -> None:
    reply = client.post(PACKSHOT, json=body(as_file(noise()), **changes))
    assert reply.status_code == 422
    assert [problem["field"] for problem in reply.json()["detail"]] == [field]


def on_ground(client: Any, ground: Any, **more: Any) -> Any:
    settings = {"ground": "picture", "ground_picture": ground, **more}
    return client.post(PACKSHOT, json=body(as_file(noise(3, (96, 128))), **settings))


def test_the_ground_may_be_a_picture_that_is_sent_or_one_of_the_server(client: Any, host: Any, tmp_path: Path) -> None:
    blue = as_file(np.full((20, 30, 3), (10, 20, 200), np.uint8))
    (tmp_path / "blue.png").write_bytes(blue)
    host.flags["prodshot_allow_dir"] = [str(tmp_path)]
    form = {"products": "handbag", "ground": "picture"}
    files = [("images", ("a.png", as_file(noise(3, (96, 128))), "image/png")), ("ground_picture", ("g.png", blue))]
    code = base64.b64encode(blue).decode()
    for reply in (
        on_ground(client, code),
        on_ground(client, f"data:image/png;base64,{code}"),
        on_ground(client, "blue.png"),
        client.post(PACKSHOT, data=form, files=files),
    ):
        (line,) = reply.json()["outcomes"]
        with Image.open(io.BytesIO(base64.b64decode(line["packshots"][0]["output"]))) as image:
            assert image.convert("RGB").getpixel((0, 0)) == (10, 20, 200)
        assert code[:20] not in line["infotext"]


def test_a_ground_that_cannot_be_had_is_named_before_any_work(client: Any, host: Any, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    for allowed in ([], [str(tmp_path)]):
        host.flags["prodshot_allow_dir"] = allowed
        for ground in ("", "gone.png", "../secret.png", "/etc/hosts.png", "text.png", "AAAA", "%%%", 5):
            reply = on_ground(client, ground)
            assert reply.status_code == 422, (allowed, ground, reply.text)
            assert [problem["field"] for problem in reply.json()["detail"]] == ["ground_picture"], reply.text
            assert str(tmp_path) not in reply.text


def test_the_pictures_of_a_request_get_one_scale(client: Any) -> None:
    sent = [base64.b64encode(as_file(noise(3, size))).decode() for size in ((96, 128), (48, 64))]
    asked = {"products": "handbag", "images": sent, "size": "300x300", "same_scale": True}
    lines = client.post(PACKSHOT, json=asked).json()["outcomes"]
    first, second = (line["packshots"][0] for line in lines)
    assert first["scale"] == second["scale"] and first["fill"] == pytest.approx(2 * second["fill"], rel=0.15)


def test_check_answers_for_each_picture_and_marketplace(client: Any) -> None:
    white = as_file(np.full((120, 120, 3), 255, np.uint8))
    sent = {"images": [base64.b64encode(white).decode()], "marketplace": "amazon,google"}
    checks = client.post(CHECK, json=sent).json()["checks"]
    assert [(check["file"], check["marketplace"], check["passed"]) for check in checks] == [
        ("images[0]", "amazon", False),
        ("images[0]", "google", True),
    ]
    size = next(rule for rule in checks[0]["rules"] if rule["rule"] == "size")
    assert (size["measured"], size["required"], size["status"]) == (120, "at least 500", "fail")
    files = {"images": ("shot.png", white, "image/png")}
    (uploaded,) = client.post(CHECK, files=files, data={"marketplace": "google"}).json()["checks"]
    assert uploaded["file"] == "shot.png"
    assert next(rule for rule in uploaded["rules"] if rule["rule"] == "extension")["status"] == "pass"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({}, "marketplace"),
        ({"marketplace": 5}, "marketplace"),
        ({"marketplace": "ebey"}, "marketplace"),
        ({"marketplace": "ebay", "size": "5x5"}, "size"),
    ],
)
def test_check_names_what_is_wrong(client: Any, changes: dict[str, Any], field: str) -> None:
    sent = {"images": [base64.b64encode(as_file(noise())).decode()], **changes}
    reply = client.post(CHECK, json=sent)
    assert reply.status_code == 422
    assert [problem["field"] for problem in reply.json()["detail"]] == [field]
