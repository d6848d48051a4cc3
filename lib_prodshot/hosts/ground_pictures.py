"""Pictures that a request names as files of the server: a packshot's ground, an edit model's further references."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lib_prodshot import editing, pictures
from lib_prodshot.errors import FieldProblem, PictureError, RequestError
from lib_prodshot.hosts.server_paths import OpenPath

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from lib_prodshot.request import Request

FIELD = "ground_picture"

REFERENCES = "edit_references"

MOST = editing.REFERENCES
"""Most of them."""

MAX_PIXELS = 64_000_000


@dataclass(frozen=True)
class GivenPictures:
    """The picture for a packshot's ground (None: none is wanted), and an edit model's further references; each H×W×3
    uint8 RGB."""

    ground: npt.NDArray[np.uint8] | None = None
    references: tuple[npt.NDArray[np.uint8], ...] = ()


def given_for(request: Request, open_path: OpenPath) -> GivenPictures:
    """The pictures that a request names; `open_path` says which files the caller may name. Raises `RequestError` (the
    setting's field): none is named, not allowed, missing, no picture."""
    return GivenPictures(ground_for(request, open_path), references_for(request, open_path))


def references_for(request: Request, open_path: OpenPath) -> tuple[npt.NDArray[np.uint8], ...]:
    """The further references of a request's edit. Raises `RequestError` (field edit_references)."""
    return tuple(_read(REFERENCES, open_path(REFERENCES, name)) for name in request.reference_files)


def ground_for(request: Request, open_path: OpenPath) -> npt.NDArray[np.uint8] | None:
    """The picture (H×W×3 uint8 RGB) for the ground of a request's packshots, None where it wants none; `open_path` says
    which files the caller may name.

    Raises `RequestError` (field ground_picture): none is named, not allowed, missing, no picture.
    """
    if not request.needs_ground_picture:
        return None
    if not request.ground_picture.strip():
        raise RequestError([FieldProblem(FIELD, "the ground 'picture' needs a picture")])
    return _read(FIELD, open_path(FIELD, request.ground_picture.strip()))


def _read(field: str, path: Path) -> npt.NDArray[np.uint8]:
    try:
        return pictures.read(path, MAX_PIXELS).in_srgb()
    except PictureError as error:
        raise RequestError([FieldProblem(field, str(error).replace(str(path), path.name))]) from error
