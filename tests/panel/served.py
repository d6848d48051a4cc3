"""A page of ours on a server of its own, and a real browser to look at it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lib_prodshot.bootstrap import ROOT
from tests import browsers

OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-sync",
    # gradio's pages ask for fonts and a script from elsewhere: a page is not to wait for a name server
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)


@contextmanager
def served(module: str, folder: Path) -> Iterator[str]:
    """`python -m MODULE PORT FOLDER` while the block runs; gives its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "GRADIO_ANALYTICS_ENABLED": "False", "no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-m", module, str(port), str(folder)]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait(f"http://127.0.0.1:{port}/", process, folder / "log")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        try:
            opener.open(url, timeout=5).read()
            return
        except OSError:
            time.sleep(0.3)
    raise AssertionError(f"the page did not come up: {log.read_text()[-2000:]}")


@contextmanager
def chromium(engine: Any, profile: Path) -> Iterator[Any]:
    """Playwright's `engine` with a Chromium of this machine; skips where there is none, which in CI is a failure."""
    path = browsers.chromium()
    if path is None and os.environ.get("CI"):
        pytest.fail("no Chromium on this machine: in CI the panel is tried in a real browser, and .ci/run installs one")
    if path is None:
        pytest.skip("no Chromium on this machine; PRODSHOT_CHROMIUM names one")
    context = engine.chromium.launch_persistent_context(
        str(profile), executable_path=path, headless=True, args=list(OPTIONS)
    )
    try:
        yield context
    finally:
        context.close()
