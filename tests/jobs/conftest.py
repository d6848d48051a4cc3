"""One folder of pictures for all tests that only read it, and one job done over it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.jobs.photographs import make_folder
from tests.jobs.tools import run


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 pictures in 4 folders, 4 of them broken. Never written to."""
    folder = tmp_path_factory.mktemp("folder-job") / "photos"
    make_folder(folder, 24, broken=4)
    (folder / "notes.txt").write_text("not a picture")
    (folder / ".hidden.png").write_bytes(b"")
    return folder


@pytest.fixture(scope="session")
def finished(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole job over `photos`, done once. Never written to; `done` is a copy."""
    out = tmp_path_factory.mktemp("finished") / "done"
    run(photos, out)
    return out


@pytest.fixture
def done(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "done"))
