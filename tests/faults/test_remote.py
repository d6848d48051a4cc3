"""Faults of a remote WebUI: it dies in the middle of a request, answers nonsense,
comes back late. `prodshot enhance --webui` keeps the pictures, tells why, leaves nothing, and goes on."""

from __future__ import annotations

import base64
import io
import json
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lib_prodshot.cli import main
from lib_prodshot.errors import ProdshotError
from lib_prodshot.hosts.remote import RemoteError, RemoteWebUI
from lib_prodshot.hosts.remote import client as remote
from tests.faults.entry_points import CommandLine, Observed, digests, give_finder, strays
from tests.faults.faults import strike_once
from tests.jobs import webui_double
from tests.jobs.webui_double import Double

httpx = pytest.importorskip("httpx")


class OverTheWire(CommandLine):
    """`prodshot enhance --engine inpaint --webui …` on two pictures."""

    address = ""
    more: tuple[str, ...] = ()

    def call(self) -> str:
        given = sorted(map(str, self.inputs.glob("*.png")))
        options = ["--engine", "inpaint", "--webui", self.address, "--control", "off", *self.more]
        self.code = main(["enhance", *given, "--products", "mug", "--out", str(self.out), *options])
        said = self._capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        return said.out + said.err


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    running = webui_double.serve()
    threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
    yield running
    running.shutdown()
    running.server_close()


@pytest.fixture
def entry(
    server: ThreadingHTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> OverTheWire:
    give_finder(monkeypatch)
    monkeypatch.setattr(remote, "FIRST_PAUSE", 0.01)
    made = OverTheWire("enhance", tmp_path, capsys)
    made.address = f"http://127.0.0.1:{server.server_address[1]}"
    return made


# --- one answer to a pass goes wrong ---------------------------------------------------------------------------------


def dies(handler: Double) -> None:
    """The connection ends without a word."""
    handler.connection.close()


def dies_in_the_middle(handler: Double) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    handler.wfile.write(b'{"images": ["iVBORw0KGgo')
    handler.wfile.flush()
    handler.connection.close()


def answers(content: Any, status: int = 200) -> Callable[[Double], None]:
    def answer(handler: Double) -> None:
        handler.rfile.read(int(handler.headers["Content-Length"]))
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return answer


def of_the_right_size(change: Callable[[bytes], bytes], colour: int = 1) -> Callable[[Double], None]:
    """A picture as large as the one that was asked for, but for `change`."""

    def answer(handler: Double) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        data = png((body["width"], body["height"]), colour)
        handler._answer(200, picture(change(data)))

    return answer


def picture(data: bytes) -> dict[str, Any]:
    return {"images": [base64.b64encode(data).decode()], "info": "{}"}


def png(size: tuple[int, int], colour: int = 0) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, (colour, 0, 0)).save(file, "PNG")
    return file.getvalue()


def bomb(side: int = 60_000) -> bytes:
    """A PNG whose header claims thousands of megapixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


NOT_A_PICTURE = "answered something that is not a picture"
ANSWERS: dict[str, tuple[Callable[[Double], None], str]] = {
    "the connection ends": (dies, "cannot be reached"),
    "the answer ends in the middle": (dies_in_the_middle, "cannot be reached"),
    "out of memory": (answers({"error": "OutOfMemoryError", "errors": "CUDA out of memory"}, 500), "OutOfMemoryError"),
    "an error page": (answers(b"<html>502</html>", 500), "answered 500"),
    "no JSON": (answers(b"<html>hello</html>"), "something else than JSON"),
    "JSON that is a list": (answers([1, 2]), "something else than a WebUI does"),
    "JSON that is null": (answers(None), "something else than a WebUI does"),
    "images that are a number": (answers({"images": 7}), NOT_A_PICTURE),
    "an image that is a number": (answers({"images": [7]}), NOT_A_PICTURE),
    "an image that is no base64": (answers({"images": ["§§§"]}), NOT_A_PICTURE),
    "an image that is no picture": (answers(picture(b"hello")), NOT_A_PICTURE),
    "an image cut short": (of_the_right_size(lambda data: data[:60]), NOT_A_PICTURE),
    "an image of ten thousand megapixels": (answers(picture(bomb())), NOT_A_PICTURE),
    "an image far larger than asked for": (answers(picture(png((9000, 2), 3))), "of another size"),
    "an empty image": (of_the_right_size(bytes, colour=0), "empty picture (NaN)"),
    "no image": (answers({"images": []}), "interrupted"),
    "401": (answers({"detail": "Incorrect username or password"}, 401), "user and password"),
    "404": (answers({"detail": "Not Found"}, 404), "has no API"),
    "422 of the WebUI": (answers({"detail": [{"loc": ["body", "seed"], "msg": "bad"}]}, 422), "answered 422: [{'loc'"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_one_answer_goes_wrong(
    entry: OverTheWire, server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    answer, reason = ANSWERS[name]
    handler: Any = server.RequestHandlerClass
    real = handler.do_POST

    def wrong(_real: Any, self: Double) -> None:
        self.close_connection = True
        (answer if self.path == "/sdapi/v1/img2img" else real)(self)

    with monkeypatch.context() as patch:
        struck = strike_once(patch, handler, "do_POST", wrong)
        observed = entry.run()
    assert struck
    _stood(entry, observed, reason)


def _stood(entry: OverTheWire, observed: Observed, reason: str) -> None:
    assert observed.statuses == ["failed", "found"], observed
    assert observed.untouched and not observed.left
    for surface, text in observed.surfaces.items():
        assert reason in " ".join(text.split()), (surface, text[-300:])
    assert entry.run().statuses == ["found", "found"]


def test_a_webui_that_dies_and_comes_back(entry: OverTheWire, server: ThreadingHTTPServer) -> None:
    """While it is gone each picture says so; nothing was written, and then it works."""
    address = server.server_address
    server.shutdown()
    server.server_close()
    said = entry.call()
    assert entry.code == 1 and said.count("\n") == 3 and said.count("cannot be reached") == 2
    assert not list(entry.out.rglob("*.png"))
    kind = type("Again", (ThreadingHTTPServer,), {"allow_reuse_address": True})
    again = kind(address, server.RequestHandlerClass)
    threading.Thread(target=again.serve_forever, args=(0.02,), daemon=True).start()
    try:
        assert entry.run().statuses == ["found", "found"]
    finally:
        again.shutdown()
        again.server_close()


@pytest.mark.parametrize("path", ["/sdapi/v1/samplers", "/sdapi/v1/schedulers", "/sdapi/v1/options"])
@pytest.mark.parametrize("answer", [None, 7, [7], {"name": 7}, "hello", [{"label": None}]], ids=json.dumps)
def test_lists_that_are_nonsense(entry: OverTheWire, monkeypatch: pytest.MonkeyPatch, path: str, answer: Any) -> None:
    """What the WebUI offers is asked for before any pass, or within the first; no traceback either way."""
    with monkeypatch.context() as patch:
        patch.setitem(webui_double.LISTS, path, answer)
        if path.endswith("options"):
            patch.setattr(Double, "_answer", _instead(Double._answer, path, answer))
        entry.more = ("--sampler", "Euler")
        said = entry.call()
    assert entry.code in (0, 1)
    assert ("prodshot: " in said) == (entry.code == 1)
    lines = [json.loads(line) for line in _report(entry)]
    assert not strays(entry.out, lines) and digests(entry.inputs) == entry._before
    entry.more = ()
    assert entry.run().statuses == ["found", "found"]


def _report(entry: OverTheWire) -> list[str]:
    path = entry.out / "report.jsonl"
    return path.read_text().splitlines() if path.exists() else []


def _instead(real: Any, path: str, answer: Any) -> Any:
    return lambda self, status, body: real(self, status, answer if self.path == path else body)


# --- our own routes, answered by something else -----------------------------------------------------------------------

NONSENSE = (None, 7, "hello", [], {}, [7], {"outcomes": 7}, {"outcomes": [7]}, {"outcomes": [{}]}, {"settings": 3})
CALLS: dict[str, Callable[[RemoteWebUI], Any]] = {
    "schema": lambda webui: webui.schema(),
    "status": lambda webui: webui.status(),
    "detect": lambda webui: webui.detect([b"x"], products="mug"),
    "enhance": lambda webui: webui.enhance([b"x"], products="mug"),
    "start_job": lambda webui: webui.start_job("folder", {}),
    "job": lambda webui: webui.job("1"),
    "cancel_job": lambda webui: webui.cancel_job("1"),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("answer", NONSENSE, ids=json.dumps)
def test_nonsense_from_our_own_routes(call: str, answer: Any) -> None:
    """A proxy, another program, another version: a sentence, never a KeyError."""
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=answer))
    with RemoteWebUI("http://shop:7860", transport=transport, sleep=lambda seconds: None) as webui:
        try:
            CALLS[call](webui)
        except ProdshotError as error:
            assert "http://shop:7860" in str(error)
        else:
            assert call == "status" and isinstance(answer, dict)


def test_an_answer_that_never_ends_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than a WebUI can have to say."""
    monkeypatch.setattr(remote, "MAX_RESPONSE", 2**24)

    def endless() -> Iterator[bytes]:
        block = b" " * 2**20
        while True:
            yield block

    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=endless()))
    with RemoteWebUI("http://shop:7860", transport=transport) as webui, pytest.raises(RemoteError, match="too much"):
        webui.status()
