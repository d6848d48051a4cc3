"""Every fault at every arrow, at every door: the picture is untouched, the reason is told on every surface, nothing
half-written remains, the next picture works."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.faults.doors import Accordion, Api, CommandLine, Door, Script, give_finder
from tests.faults.faults import FAULTS, Fault

DOORS = ("enhance", "batch", "script", "accordion", "API")


@pytest.fixture(params=DOORS)
def door(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Door:
    name: str = request.param
    if name in ("enhance", "batch"):
        give_finder(monkeypatch)
        return CommandLine(name, tmp_path, capsys)
    if name == "API":
        pytest.importorskip("fastapi", reason="tested where FastAPI is: under the WebUIs' pins")
        return Api(request.getfixturevalue("client"), tmp_path, monkeypatch, request.getfixturevalue("caplog"))
    kind: Any = Script if name == "script" else Accordion
    return kind(request.getfixturevalue("webui"), capsys)  # type: ignore[no-any-return]


def test_every_fault_at_this_door(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    for fault in FAULTS:
        with monkeypatch.context() as patch:
            fault.arm(patch, door.engine)
            told = door.walk()
        assert sorted(told.statuses) == ["failed", "found"], (str(fault), told)
        assert told.untouched, str(fault)
        assert not told.left, (str(fault), told.left)
        for surface, text in told.surfaces.items():
            assert _says(text, fault), (str(fault), surface, text[-300:])
    told = door.walk()
    assert told.statuses == ["found", "found"], told
    print(f"{door.name}: {len(FAULTS)} faults, each on {len(told.surfaces)} surfaces")


def _says(text: str, fault: Fault) -> bool:
    """Whether a surface tells the reason; one may break its lines."""
    return fault.reason in " ".join(text.split())


def test_the_table_names_every_arrow_and_no_fault_twice() -> None:
    assert {fault.arrow for fault in FAULTS} == {
        "detect",
        "segment",
        "mask",
        "enhance",
        "composite",
        "restore",
        "audit",
    }
    assert len({str(fault) for fault in FAULTS}) == len(FAULTS) >= 35
