"""The picture for a packshot's ground in requests: base64, a data URL or a file; a path is left to the request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib_prodshot.errors import FieldProblem, PictureError, RequestError
from lib_prodshot.hosts.ground_pictures import FIELD
from lib_prodshot.webui import picture_codes
from lib_prodshot.webui.api.bodies import Body
from lib_prodshot.webui.service import read_picture

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_ALLOWED = "base64 or a data URL of a picture, a file in multipart, or a path that the server's owner has allowed"


def take(body: Body) -> npt.NDArray[np.uint8] | None:
    """Take the picture (H×W×3 uint8 RGB) out of a body; None where there is none, or a path instead.

    Raises `RequestError` (field ground_picture): given twice, no picture.
    """
    uploads, text = body.uploads.pop(FIELD, []), body.values.get(FIELD)
    if len(uploads) + (text is not None) > 1:
        raise RequestError([FieldProblem(FIELD, "given twice")])
    if uploads:
        return _read(uploads[0].data)
    if not isinstance(text, str) or not text.strip() or picture_codes.is_path(text.strip()):
        return None
    del body.values[FIELD]
    try:
        data = picture_codes.decode(text)
    except PictureError as error:
        raise RequestError([FieldProblem(FIELD, str(error), _ALLOWED)]) from error
    return _read(data)


def _read(data: bytes) -> npt.NDArray[np.uint8]:
    try:
        return read_picture(data).in_srgb()
    except PictureError as error:
        raise RequestError([FieldProblem(FIELD, str(error), _ALLOWED)]) from error
