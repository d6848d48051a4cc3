"""Pictures for a packshot's ground that a request names as files of the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib_prodshot import pictures
from lib_prodshot.errors import FieldProblem, PictureError, RequestError
from lib_prodshot.hosts.server_paths import OpenPath

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from lib_prodshot.request import Request

FIELD = "ground_picture"

MAX_PIXELS = 64_000_000


def ground_for(request: Request, open_path: OpenPath) -> npt.NDArray[np.uint8] | None:
    """The picture (H×W×3 uint8 RGB) for the ground of a request's packshots, None where it wants none; `open_path` says
    which files the caller may name.

    Raises `RequestError` (field ground_picture): none is named, not allowed, missing, no picture.
    """
    if not request.needs_ground_picture:
        return None
    if not request.ground_picture.strip():
        raise RequestError([FieldProblem(FIELD, "the ground 'picture' needs a picture")])
    path = open_path(FIELD, request.ground_picture.strip())
    try:
        return pictures.read(path, MAX_PIXELS).in_srgb()
    except PictureError as error:
        raise RequestError([FieldProblem(FIELD, str(error).replace(str(path), path.name))]) from error
