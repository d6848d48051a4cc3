"""Many clients at once on a real server: no error, no mixed-up answer, no growing memory.

PRODSHOT_LOAD sets calls per client (12 unless told; 50 for a release).
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="tested where FastAPI and gradio are: under the WebUIs' pins")
pytest.importorskip("gradio", reason="tested where FastAPI and gradio are: under the WebUIs' pins")

httpx = pytest.importorskip("httpx")

from tests.api.tools import DETECT, as_code, as_file, opened  # noqa: E402

STATM = Path("/proc/self/statm")
CLIENTS = 16
CALLS = int(os.environ.get("PRODSHOT_LOAD", "12"))
GROWTH = 60 * 1024 * 1024
"""Bytes that the process may gain between the first fifth of the calls and the last."""


def resident() -> int:
    """Bytes of memory that this process holds."""
    return int(STATM.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def marked(client: int, call: int) -> np.ndarray:
    """A picture whose size is its mark: the box found in it is known from it and from nothing else."""
    samples = np.full((64 + 2 * client, 200 + 4 * call, 3), 200, np.uint8)
    samples[0, 0] = (client, call % 256, call // 256)
    return samples


@pytest.mark.any_host
def test_sixteen_clients(server: str) -> None:
    if not STATM.exists():
        pytest.skip("memory is read from /proc")
    held: list[int] = []

    def talk(client: int) -> list[str]:
        wrong = []
        with httpx.Client(base_url=server, timeout=120, trust_env=False) as http:
            for call in range(CALLS):
                samples = marked(client, call)
                height, width = samples.shape[:2]
                sent = {"images": [as_code(as_file(samples))], "products": f"bag {client} {call}", "include": ["mask"]}
                reply = http.post(DETECT, json=sent)
                held.append(resident())
                if reply.status_code != 200:
                    wrong.append(f"{reply.status_code}: {reply.text[:200]}")
                    continue
                (line,) = reply.json()["outcomes"]
                box = [width // 4, height // 4, width - width // 4, height - height // 4]
                right = line["size"] == [width, height] and line["products"] == [f"bag {client} {call}"]
                if not right or line["detections"][0]["box"] != box or opened(line["mask"]).size != (width, height):
                    wrong.append(f"client {client} call {call} got {line['products']} {line['size']}")
        return wrong

    with ThreadPoolExecutor(CLIENTS) as pool:
        wrong = [complaint for client in pool.map(talk, range(CLIENTS)) for complaint in client]
    fifth = len(held) // 5
    growth = max(held[-fifth:]) - max(held[:fifth])
    print(
        f"{len(held)} calls, {len(wrong)} wrong, memory {held[0] >> 20} -> {held[-1] >> 20} MB, growth {growth >> 20}"
    )
    assert not wrong, wrong[:5]
    assert growth < GROWTH
