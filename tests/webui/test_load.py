"""Many clients at once on a real WebUI with the real lite finder: no error, no mixed-up answer, no growing memory.

PRODSHOT_LOAD sets calls per client (2 unless told; 50 for a release).
"""

from __future__ import annotations

import io
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.webui.conftest import seed_picture
from tests.webui.server import Server, decode

CLIENTS = 16
CALLS = int(os.environ.get("PRODSHOT_LOAD", "2"))
GROWTH = 100 << 20
"""Bytes that the server may gain between the second fifth of the calls and the last."""


def resident(server: Server) -> int:
    """Bytes of memory that the server holds."""
    statm = Path(f"/proc/{server.process.pid}/statm")
    if not statm.exists():
        pytest.skip("memory is read from /proc")
    return int(statm.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def marked(car: Image.Image, client: int, call: int) -> tuple[str, tuple[int, int], bytes]:
    """The car at a size that no other call of the run has, its name, and its file."""
    size = (160 + 2 * client, 160 + 2 * call)
    file = io.BytesIO()
    car.resize(size).save(file, "PNG", compress_level=1)
    return f"{client}-{call}.png", size, file.getvalue()


def test_sixteen_clients(clean: Server, seed_dir: Path) -> None:
    httpx = pytest.importorskip("httpx")
    car = seed_picture(seed_dir, "car").convert("RGB")
    held: list[int] = []

    def ask(http: Any, name: str, data: bytes) -> Any:
        form = {"products": "car", "finder": "lite", "include": "mask"}
        return http.post("/prodshot/v1/detect", data=form, files=[("images", (name, data, "image/png"))])

    def talk(client: int) -> list[tuple[int, Any]]:
        answers = []
        with httpx.Client(base_url=clean.url, timeout=1800, trust_env=False) as http:
            for call in range(CALLS):
                name, _, data = marked(car, client, call)
                reply = ask(http, name, data)
                held.append(resident(clean))
                answers.append((reply.status_code, reply.json()))
        return answers

    before = clean.counts()["samplings"]
    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(talk, range(CLIENTS)))
    wrong = []
    with httpx.Client(base_url=clean.url, timeout=600, trust_env=False) as http:
        for client, told in enumerate(answers):
            for call, (status, answer) in enumerate(told):
                name, size, _ = marked(car, client, call)
                line = answer["outcomes"][0] if status == 200 else {}
                right = line and (line["file"], tuple(line["size"])) == (name, size)
                if not right or ("mask" in line and decode(line["mask"]).size != size):
                    wrong.append(f"client {client} call {call}: {status} {str(answer)[:200]}")
            # the same picture when nobody else asks
            name, _, data = marked(car, client, client % CALLS)
            alone, among = ask(http, name, data).json()["outcomes"][0], told[client % CALLS][1]["outcomes"][0]
            for line in (alone, among):
                line.pop("seconds")
            if alone != among:
                wrong.append(f"client {client}: another answer when alone")
    fifth = max(1, len(held) // 5)
    growth = max(held[-fifth:]) - max(held[fifth : 2 * fifth])
    print(
        f"{len(held)} calls, {len(wrong)} wrong, {[size >> 20 for size in held[::fifth]]} MB, grown {growth >> 20} MB"
    )
    assert not wrong, wrong[:5]
    assert growth < GROWTH
    assert clean.counts()["samplings"] == before
