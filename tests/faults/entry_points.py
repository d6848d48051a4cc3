"""The entry points of Prodshot under faults: each runs the pipeline on pictures and returns what was observed.

`Observed` is the same for all: which pictures are unchanged, every surface that must show a reason, stray files.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import html
import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
from PIL import Image

from lib_prodshot.cli import main
from lib_prodshot.enhancing.inpaint import InpaintEnhancer
from lib_prodshot.enhancing.retouch import Retouch
from lib_prodshot.finding import registry
from lib_prodshot.finding.finder import Backend
from tests.finders import fixed_finder
from tests.hosts.conftest import noise_picture, outcomes, parameters

PRODUCTS = "mug"
SETTINGS = {"products": PRODUCTS, "prompt": "[class] <lora:ppzocketv2-10:1>"}
"""With a LoRA in the prompt, so that the backend is asked which are missing."""


@dataclass
class Observed:
    """What was observed of the pictures of one run.

    `statuses` are the pictures' verdicts in their order, `untouched` whether each failed picture is still what it was;
    `surfaces` are the texts of all that show a reason, by name; `left` the files that should not be there.
    """

    statuses: list[str]
    untouched: bool
    surfaces: Mapping[str, str]
    left: list[str] = field(default_factory=list)


class EntryPoint(Protocol):
    """One entry point."""

    name: str
    engine: type

    def run(self) -> Observed:
        """Process two pictures or more at once, each with a product."""


def picture(seed: int = 3) -> np.ndarray:
    """H×W×3, wider than high, so that an array lying on its side cannot pass."""
    return np.asarray(noise_picture(seed=seed))


def give_finder(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line's finder: one with known answers, whatever this machine has."""
    lite = Backend("lite", lambda _: (), lambda _: fixed_finder())
    monkeypatch.setattr(registry, "backends", lambda: (lite,))


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def strays(out: Path, lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """Files in the output folder that no report line names, and temporary ones."""
    named = {f"{Path(str(line['output'])).stem}{kind}" for line in lines if line["output"] for kind in KINDS}
    own = {"report.jsonl", "report.csv", "index.html", "summary.json"}
    files = [path.relative_to(out) for path in out.rglob("*") if path.is_file() and ".prodshot" not in path.parts]
    return [name.as_posix() for name in files if name.name not in named | own or name.name.startswith(".prodshot-")]


KINDS = (".png", ".mask.png", ".alpha.png")


class CommandLine:
    """`prodshot enhance` or `prodshot batch` on a folder of PNGs."""

    engine = Retouch

    def __init__(self, command: str, folder: Path, capsys: pytest.CaptureFixture[str], count: int = 2) -> None:
        self.name = command
        self.inputs, self.out = folder / "in", folder / "out"
        self.inputs.mkdir()
        for number in range(count):
            Image.fromarray(picture(number)).save(self.inputs / f"{number}.png")
        self._capsys = capsys
        self._before = digests(self.inputs)
        self.code = 0

    def call(self, *options: str) -> str:
        """Run the command; returns what it said."""
        given = [str(self.inputs)] if self.name == "batch" else sorted(map(str, self.inputs.glob("*.png")))
        self.code = main([self.name, *given, "--products", PRODUCTS, "--out", str(self.out), *options])
        said = self._capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        return said.out + said.err

    def run(self) -> Observed:
        said = self.call()
        lines = [json.loads(line) for line in (self.out / "report.jsonl").read_text().splitlines()]
        with (self.out / "report.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        lines.sort(key=lambda line: str(line["file"]))
        statuses = [line["status"] for line in lines]
        failed = [line for line in lines if line["status"] == "failed"]
        assert self.code == (1 if failed else 0)
        assert not any(line["output"] or line["mask"] for line in failed)
        surfaces = {
            "report.jsonl": " ".join(line["reason"] for line in failed),
            "report.csv": " ".join(row["reason"] for row in rows if row["status"] == "failed"),
        }
        if self.name == "enhance":
            surfaces["console"] = said
        else:
            surfaces["index.html"] = html.unescape((self.out / "index.html").read_text())
            assert not failed or f"{len(failed)} failed" in said
        return Observed(statuses, digests(self.inputs) == self._before, surfaces, strays(self.out, lines))


class Api:
    """POST /prodshot/v1/enhance with two pictures, the engine that the WebUI starts from."""

    name = "API"
    engine = InpaintEnhancer

    def __init__(
        self, client: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        self._client, self._caplog = client, caplog
        self._folder = folder / "temporary"
        self._folder.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(self._folder))

    def run(self) -> Observed:
        from tests.api.tools import ENHANCE, as_code, as_file

        sent = [as_file(picture(seed)) for seed in (0, 1)]
        body = {"images": [as_code(data) for data in sent], "products": PRODUCTS, "include": ["output", "mask"]}
        reply = self._client.post(ENHANCE, json=body)
        answer = reply.json()
        assert reply.status_code in (200, 207), answer
        lines = answer["outcomes"]
        failed = [(line, data) for line, data in zip(lines, sent) if line["status"] == "failed"]
        assert reply.status_code == (207 if failed else 200) and answer["failed"] == len(failed)
        surfaces = {
            "outcome": self._with_console(" ".join(line["reason"] for line, _ in failed)),
            "infotext": self._with_console(" ".join(line["infotext"] for line, _ in failed)),
        }
        untouched = all(base64.b64decode(line["output"]) == data for line, data in failed)
        left = [path.name for path in self._folder.iterdir()]
        return Observed([line["status"] for line in lines], untouched, surfaces, left)

    def _with_console(self, observed: str) -> str:
        """Of what nobody foresaw a client is observed a number only, under which the server's console has the rest."""
        number = re.search(r"under the number (\w+)", observed)
        if number is None:
            return observed
        (record,) = (one for one in self._caplog.records if number[1] in one.getMessage())
        assert record.exc_info is not None
        return f"{observed} {type(record.exc_info[1]).__name__}: {record.exc_info[1]}"


class Script:
    """The selectable script on img2img, two pictures in the Batch tab."""

    name = "script"
    engine = InpaintEnhancer

    def __init__(self, webui: Any, capsys: pytest.CaptureFixture[str]) -> None:
        self._webui, self._capsys = webui, capsys

    def run(self) -> Observed:
        given = [noise_picture(seed=seed) for seed in (0, 1)]
        processed = self._webui.run_script(SETTINGS, init_images=list(given), batch_size=2)
        return _observed(self._webui, self._capsys, processed, [np.asarray(image) for image in given])


class Accordion:
    """The accordion on txt2img, two pictures of one generation."""

    name = "accordion"
    engine = InpaintEnhancer

    def __init__(self, webui: Any, capsys: pytest.CaptureFixture[str]) -> None:
        self._webui, self._capsys = webui, capsys

    def run(self) -> Observed:
        plain = self._webui.generate(width=96, height=64, n_iter=2, do_not_save_grid=True)
        accordion = [True, SETTINGS]
        processed = self._webui.generate(width=96, height=64, n_iter=2, do_not_save_grid=True, accordion=accordion)
        return _observed(self._webui, self._capsys, processed, [np.asarray(image) for image in plain.images])


def _observed(webui: Any, capsys: pytest.CaptureFixture[str], processed: Any, before: Sequence[np.ndarray]) -> Observed:
    lines = outcomes(processed)
    failed = [number for number, line in enumerate(lines) if line["status"] == "failed"]
    surfaces = {
        "outcome": " ".join(lines[number]["reason"] for number in failed),
        "infotext": " ".join(parameters(webui, processed, number)["Prodshot"] for number in failed),
        "page": processed.comments,
        "console": capsys.readouterr().out,
    }
    untouched = all(np.array_equal(np.asarray(processed.images[number]), before[number]) for number in failed)
    left = [path.name for path in webui.folder.rglob(".prodshot-*")]
    return Observed([line["status"] for line in lines], untouched, surfaces, left)
