"""One folder of pictures for all tests that only read it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.jobs.photographs import make_folder


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 pictures in 4 folders, 4 of them broken. Never written to."""
    folder = tmp_path_factory.mktemp("folder-job") / "photos"
    make_folder(folder, 24, broken=4)
    (folder / "notes.txt").write_text("not a picture")
    (folder / ".hidden.png").write_bytes(b"")
    return folder
