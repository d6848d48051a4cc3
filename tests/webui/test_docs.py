"""Every example in docs/api.md against the real WebUI: the address is another, and steps are fewer."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests import api_examples
from tests.webui.conftest import seed_picture
from tests.webui.server import Server

SIDE = 256
"""Of the pictures and generations here: the examples' 512 take a CPU minutes."""


@pytest.mark.parametrize(("language", "code"), api_examples.EXAMPLES, ids=api_examples.IDS)
def test_example(clean: Server, seed_dir: Path, tmp_path: Path, language: str, code: str) -> None:
    absent = api_examples.absent(language)
    if absent or ("import webuiapi" in code and importlib.util.find_spec("webuiapi") is None):
        pytest.skip(f"not on this machine: {absent or 'webuiapi'}")
    for name, picture in (("handbag", "handbag"), ("street", "unknown")):
        seed_picture(seed_dir, picture).convert("RGB").resize((SIDE, SIDE)).save(tmp_path / f"{name}.png")
    script = code.replace(api_examples.ADDRESS, clean.url).replace("-u user:password ", "")
    script = re.sub(r'(["\']?steps["\']?: )20', r"\g<1>3", script).replace("512", str(SIDE))
    said = api_examples.run(language, script, tmp_path, 600)
    if "enhanced.png" not in code:
        assert said.strip()
        return
    assert "failed" not in said
    before, after = (Image.open(tmp_path / f"{name}.png").convert("RGB") for name in ("handbag", "enhanced"))
    assert after.size == before.size and (np.asarray(after) != np.asarray(before)).any()
