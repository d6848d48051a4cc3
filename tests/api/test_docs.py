"""Every example in docs/api.md, run as it stands there against the double: only the address is another."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="tested where FastAPI and gradio are: under the WebUIs' pins")
pytest.importorskip("gradio", reason="tested where FastAPI and gradio are: under the WebUIs' pins")

from lib_prodshot.webui.api import openapi
from tests import api_examples
from tests.api.tools import WebUI, dark, noise
from tests.api_examples import EXAMPLES, TEXT

pytestmark = pytest.mark.any_host

SAID = {"grow": "grow", "detect": "found", "outcomes": "found", "finders": "lite", "kinds": "folder"}
"""What the output of an example must hold, by a word of the example."""


@pytest.mark.parametrize(("language", "code"), EXAMPLES, ids=api_examples.IDS)
def test_example(webui: WebUI, tmp_path: Path, language: str, code: str) -> None:
    absent = api_examples.absent(language)
    if absent or (language == "js" and not _node_has_fetch()):
        pytest.skip(f"not on this machine: {absent or 'node 18 or newer'}")
    Image.fromarray(noise(1, (96, 128))).save(tmp_path / "handbag.png")
    Image.fromarray(dark((96, 128))).save(tmp_path / "street.png")
    assert api_examples.ADDRESS in code
    said = api_examples.run(language, code.replace(api_examples.ADDRESS, webui.address), tmp_path, 120)
    if "enhanced.png" in code:
        before, after = np.asarray(Image.open(tmp_path / "handbag.png")), Image.open(tmp_path / "enhanced.png")
        changed = (np.asarray(after.convert("RGB")) != before).any(axis=2)
        assert changed[40:56, 50:78].any() and not changed[0].any()
    else:
        expected = next(word for mark, word in SAID.items() if mark in code)
        assert expected in said, said[:500]


def _node_has_fetch() -> bool:
    said = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout
    return int(re.findall(r"\d+", said or "0")[0]) >= 18


def test_there_are_examples_in_three_languages() -> None:
    assert {language for language, _ in EXAMPLES} == {"sh", "python", "js"} and len(EXAMPLES) >= 12


def test_the_documents_facts() -> None:
    from lib_prodshot.webui import options, service
    from lib_prodshot.webui.api import pictures as api_pictures

    assert f"({options.API_MEGABYTES} MB unless" in TEXT
    assert f"{api_pictures.MAX_PICTURES} pictures of up to {service.MAX_PIXELS // 1_000_000} megapixels" in TEXT
    assert f"{api_pictures.MAX_REQUEST_PIXELS // 1_000_000} in all" in TEXT
    statuses = {status for route in openapi.ROUTES for status in route.errors}
    told = {int(number) for row in re.findall(r"^\| ([\d, ]+) \|", TEXT, re.MULTILINE) for number in row.split(",")}
    assert statuses | {200, 207, 401} == told


def test_the_shown_outcome_is_a_real_one(webui: WebUI, tmp_path: Path) -> None:
    import json

    import httpx

    shown: dict[str, Any] = json.loads(re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)[0])
    files = [("images", ("handbag.png", _png(tmp_path), "image/png"))]
    reply = httpx.post(
        f"{webui.address}/prodshot/v1/detect", data={"products": "handbag"}, files=files, trust_env=False
    )
    assert reply.json()["outcomes"][0].keys() == shown["outcomes"][0].keys()
    assert reply.json().keys() == shown.keys()


def _png(folder: Path) -> bytes:
    Image.fromarray(noise(1, (96, 128))).save(folder / "handbag.png")
    return (folder / "handbag.png").read_bytes()
