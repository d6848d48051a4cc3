"""A user's own files of weights: `.safetensors` files and folders in transformers' layout, recognised by content."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from lib_prodshot.errors import WeightsError
from lib_prodshot.finding.models.recognition import Architecture, Role, read_shapes, recognise, unmet_requirement
from lib_prodshot.weights import catalogue, search_folders


@dataclass(frozen=True)
class OwnFile:
    """One file (or folder), how large it is, what it is (None: unknown), and why it cannot run here (empty: it can)."""

    path: Path
    size: int
    architecture: Architecture | None
    problem: str

    @property
    def role(self) -> Role | None:
        """Whether it finds or masks."""
        return None if self.architecture is None else self.architecture.role

    def is_called(self, name: str) -> bool:
        """Whether a user means this file: by its own name or its architecture's."""
        known = self.architecture is not None and self.architecture.name == name
        return known or name in (self.path.name, str(self.path))


def own_files(models_dir: Path | None = None) -> tuple[OwnFile, ...]:
    """All of them in the folders that weights are looked for in, and in the subfolders of finders there."""
    found: dict[Path, OwnFile] = {}
    for path in _candidates(models_dir):
        weights = path / "model.safetensors" if path.is_dir() else path
        try:
            facts = weights.stat()
        except OSError:
            continue
        architecture, unknown = _recognised(weights, path.name, facts.st_size, facts.st_mtime_ns)
        problem = unknown if architecture is None else unmet_requirement(architecture, path.name)
        found.setdefault(path, OwnFile(path, facts.st_size, architecture, problem))
    return tuple(found.values())


def _candidates(models_dir: Path | None) -> Iterator[Path]:
    subfolders = dict.fromkeys(name for entry in catalogue() for name in entry.host_folders)
    for folder in search_folders(models_dir):
        for place in (folder, *(folder / name for name in subfolders)):
            try:
                entries = sorted(place.iterdir())
            except OSError:
                continue
            for entry in entries:
                is_folder = (entry / "model.safetensors").is_file() and (entry / "config.json").is_file()
                if is_folder or (entry.suffix == ".safetensors" and entry.is_file()):
                    yield entry


@lru_cache(maxsize=64)
def _recognised(weights: Path, name: str, _size: int, _time: int) -> tuple[Architecture | None, str]:
    """Architecture and error message; the header is read again only when the file's size or time has changed."""
    try:
        return recognise(read_shapes(weights), name), ""
    except WeightsError as error:
        return None, f"{error}."
