"""What the tests of routes and panel share. Needs neither FastAPI nor gradio to be imported."""

from __future__ import annotations

import base64
import io
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from lib_prodshot.bootstrap import ROOT
from lib_prodshot.finding.finder import Backend, Finder
from tests.finders import fixed_finder

DOUBLE = ROOT / "tests" / "double"

BACKENDS = (
    Backend("langsam", lambda _: ("put dino.pth into /srv/models/prodshot",), lambda _: fixed_finder()),
    Backend("lite", lambda _: (), lambda _: fixed_finder()),
)
"""One finder that is not ready and one that is, whatever weights this machine has."""

DETECT = "/prodshot/v1/detect"
ENHANCE = "/prodshot/v1/enhance"


@dataclass
class WebUI:
    """The double with its API and our routes on a real server, and what tests look at from behind."""

    address: str
    finder: Finder
    samplings: list[Any]
    callbacks: Mapping[str, list[Any]]
    components: dict[tuple[str, bool], list[Any]]


def forget_webui() -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "modules"]:
        del sys.modules[name]
    sys.modules.pop("tests.double.controlnet", None)


@contextmanager
def serve(app: Any) -> Iterator[str]:
    """The application on a real server; yields its address."""
    import uvicorn

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        running.should_exit = True
        thread.join(10)


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
