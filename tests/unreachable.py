"""Paths that the system refuses: folders that may be listed only, files that may not be read, too deep trees."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

NAME = "n" * 200


def refuse_below(monkeypatch: pytest.MonkeyPatch, folder: Path, number: int = errno.EACCES) -> None:
    """Everything in `folder` has a name and nothing more, as in one of mode 444; root would not be refused."""
    for where, name in ((Path, "stat"), (Path, "lstat"), (os, "lstat")):
        _refuse(monkeypatch, where, name, lambda path: folder in Path(path).parents, number)


def refuse_opening(monkeypatch: pytest.MonkeyPatch, file: Path, number: int = errno.EACCES) -> None:
    """`file` may not be read, as one of mode 000."""
    _refuse(monkeypatch, Path, "open", lambda path: Path(path) == file, number)
    _refuse(monkeypatch, os, "open", lambda path: isinstance(path, (str, Path)) and Path(path) == file, number)


def make_too_deep(folder: Path) -> None:
    """Make folders in `folder` until the path of the deepest is longer than a path may be."""
    here = os.open(folder, os.O_RDONLY)
    for _ in range(os.pathconf(folder, "PC_PATH_MAX") // len(NAME) + 2):
        os.mkdir(NAME, dir_fd=here)
        deeper = os.open(NAME, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(os.open("deep.png", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)


def _refuse(monkeypatch: pytest.MonkeyPatch, where: Any, name: str, is_refused: Any, number: int) -> None:
    real = getattr(where, name)

    def refusing(path: Any, *others: Any, **options: Any) -> Any:
        if is_refused(path):
            raise OSError(number, os.strerror(number), str(path))
        return real(path, *others, **options)

    monkeypatch.setattr(where, name, refusing)
