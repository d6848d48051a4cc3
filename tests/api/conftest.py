"""The routes on a plain FastAPI application: the version that the environment has, the host of `tests.api.local_host`."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the routes are tested where FastAPI is: the WebUIs' environments")

from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from lib_prodshot.hosts import current
from tests.api.local_host import LocalHost

DETECT = "/prodshot/v1/detect"
ENHANCE = "/prodshot/v1/enhance"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalHost:
    local = LocalHost(tmp_path)
    monkeypatch.setattr(current, "_HOST", [local])
    return local


@pytest.fixture
def client(host: LocalHost) -> Iterator[TestClient]:
    from lib_prodshot.webui.routes import add_routes

    app = FastAPI()
    add_routes(app)
    with TestClient(app, raise_server_exceptions=True) as made:
        yield made


def noise(seed: int = 0, size: tuple[int, int] = (48, 64), lowest: int = 60) -> np.ndarray:
    """A bright H×W×3 picture that the fixed finder finds a product in."""
    return np.random.default_rng(seed).integers(lowest, 255, (*size, 3), dtype=np.uint8)


def dark(size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """A picture that the fixed finder finds nothing in."""
    return np.random.default_rng(5).integers(0, 12, (*size, 3), dtype=np.uint8)


def as_file(samples: np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(samples).save(file, kind, **options)
    return file.getvalue()


def as_code(data: bytes) -> str:
    return base64.b64encode(data).decode()


def opened(code: str) -> Image.Image:
    image = Image.open(io.BytesIO(base64.b64decode(code)))
    image.load()
    return image


def body(*pictures: bytes, **settings: Any) -> dict[str, Any]:
    return {"images": [as_code(data) for data in pictures], "products": "handbag", **settings}
