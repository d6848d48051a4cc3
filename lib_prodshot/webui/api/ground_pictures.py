"""Pictures beside those of a request, for a packshot's ground and an edit's references: base64, a data URL or a file; a
path is left to the request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib_prodshot.errors import FieldProblem, PictureError, RequestError
from lib_prodshot.hosts.ground_pictures import FIELD, MOST, REFERENCES, GivenPictures, ground_for, references_for
from lib_prodshot.hosts.server_paths import check_folder
from lib_prodshot.webui import picture_codes
from lib_prodshot.webui.api.bodies import Body
from lib_prodshot.webui.service import read_picture

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from lib_prodshot.request import Request

_ALLOWED = "base64 or a data URL of a picture, a file in multipart, or a path that the server's owner has allowed"


def take(body: Body) -> GivenPictures:
    """Take the pictures out of a body; none of a kind where there is none, or a path instead.

    Raises `RequestError` (field ground_picture, edit_references): given twice, no picture.
    """
    ground = _take(body, FIELD, most=1)
    return GivenPictures(ground[0] if ground else None, _take(body, REFERENCES, most=0))


def completed(sent: GivenPictures, wanted: Request) -> GivenPictures:
    """The pictures that were sent, and in the place of those that were not the files that the request names. Raises
    `RequestError`."""
    ground = ground_for(wanted, check_folder) if sent.ground is None else sent.ground
    references = (*sent.references, *references_for(wanted, check_folder))
    if len(references) > MOST:
        raise RequestError([FieldProblem(REFERENCES, f"{len(references)} pictures are too many", f"up to {MOST}")])
    return GivenPictures(ground, references)


def _take(body: Body, field: str, most: int) -> tuple[npt.NDArray[np.uint8], ...]:
    """The pictures of a field, `most` at most (0: any number), as files or as text."""
    uploads, given = body.uploads.pop(field, []), body.values.get(field)
    texts = given if isinstance(given, list) else [] if given is None else [given]
    if most and len(uploads) + len(texts) > most:
        raise RequestError([FieldProblem(field, "given twice")])
    codes = [text for text in texts if _is_code(text)]
    if codes:
        del body.values[field]
        paths = [text for text in texts if not _is_code(text)]
        if paths:
            body.values[field] = "\n".join(map(str, paths))
    elif isinstance(given, list):
        body.values[field] = "\n".join(map(str, texts))
    data = (*(upload.data for upload in uploads), *(_decoded(field, code) for code in codes))
    return tuple(_read(field, each) for each in data)


def _is_code(text: object) -> bool:
    if not isinstance(text, str) or not text.strip():
        return False
    return not any(picture_codes.is_path(line.strip()) for line in text.splitlines() if line.strip())


def _decoded(field: str, text: str) -> bytes:
    try:
        return picture_codes.decode(text)
    except PictureError as error:
        raise RequestError([FieldProblem(field, str(error), _ALLOWED)]) from error


def _read(field: str, data: bytes) -> npt.NDArray[np.uint8]:
    try:
        return read_picture(data).in_srgb()
    except PictureError as error:
        raise RequestError([FieldProblem(field, str(error), _ALLOWED)]) from error
