"""Every fault at every step, at every entry point: the picture is unchanged, every surface shows the reason, nothing
half-written remains, the next picture works."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.faults.entry_points import Accordion, Api, CommandLine, EntryPoint, Script, give_finder
from tests.faults.faults import FAULTS, Fault

ENTRY_POINTS = ("enhance", "batch", "script", "accordion", "API")


@pytest.fixture(params=ENTRY_POINTS)
def entry(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> EntryPoint:
    name: str = request.param
    if name in ("enhance", "batch"):
        give_finder(monkeypatch)
        return CommandLine(name, tmp_path, capsys)
    if name == "API":
        pytest.importorskip("fastapi", reason="tested where FastAPI is: under the WebUIs' pins")
        return Api(request.getfixturevalue("client"), tmp_path, monkeypatch, request.getfixturevalue("caplog"))
    kind: Any = Script if name == "script" else Accordion
    return kind(request.getfixturevalue("webui"), capsys)  # type: ignore[no-any-return]


def test_every_fault_at_this_entry_point(entry: EntryPoint, monkeypatch: pytest.MonkeyPatch) -> None:
    for fault in FAULTS:
        with monkeypatch.context() as patch:
            fault.arm(patch, entry.engine)
            observed = entry.run()
        assert sorted(observed.statuses) == ["failed", "found"], (str(fault), observed)
        assert observed.untouched, str(fault)
        assert not observed.left, (str(fault), observed.left)
        for surface, text in observed.surfaces.items():
            assert _says(text, fault), (str(fault), surface, text[-300:])
    observed = entry.run()
    assert observed.statuses == ["found", "found"], observed
    print(f"{entry.name}: {len(FAULTS)} faults, each on {len(observed.surfaces)} surfaces")


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
