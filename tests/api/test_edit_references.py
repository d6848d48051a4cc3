"""Further references of an edit in requests: pictures as text or as files, and paths that are left to the request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="tested where FastAPI and gradio are: under the WebUIs' pins")

from lib_prodshot.errors import RequestError
from lib_prodshot.hosts.ground_pictures import GivenPictures
from lib_prodshot.request import Request
from lib_prodshot.webui.api import ground_pictures
from lib_prodshot.webui.api.bodies import Body, Upload
from tests.api.test_remote import as_code, as_file, noise

pytestmark = pytest.mark.any_host

CODES = [as_code(as_file(noise(number, (9 + number, 7)))) for number in range(4)]
EDIT = Request(products="car", engine="edit")


def taken(value: Any, *files: bytes) -> tuple[GivenPictures, dict[str, Any]]:
    uploads = {"edit_references": [Upload("a.png", data) for data in files]} if files else {}
    body = Body({} if value is None else {"edit_references": value}, uploads)
    return ground_pictures.take(body), body.values


def test_pictures_are_taken_and_paths_left() -> None:
    given, rest = taken([CODES[1], "marble.jpg", CODES[0]], as_file(noise(2, (5, 4))))
    assert [picture.shape[:2] for picture in given.references] == [(5, 4), (10, 7), (9, 7)]
    assert rest == {"edit_references": "marble.jpg"} and given.ground is None
    given, rest = taken(CODES[0])
    assert np.array_equal(given.references[0], noise(0, (9, 7))) and not rest
    given, rest = taken("marble.jpg\nlogo.png")
    assert given.references == () and rest == {"edit_references": "marble.jpg\nlogo.png"}


@pytest.mark.parametrize("value", ["not a picture", ["data:,x"], [CODES[0][:40]]])
def test_what_is_no_picture_is_refused(value: Any) -> None:
    with pytest.raises(RequestError) as refused:
        taken(value)
    assert [problem.field for problem in refused.value.problems] == ["edit_references"]


def test_more_than_a_model_tells_apart_are_refused(tmp_path: Path) -> None:
    given, _ = taken(CODES)
    with pytest.raises(RequestError, match="4 pictures are too many"):
        ground_pictures.completed(given, EDIT)
    assert ground_pictures.completed(taken(CODES[:3])[0], EDIT).references
