"""What our routes answer: JSON that any client can read, and errors that say what was wrong and leak nothing."""

from __future__ import annotations

import json
import logging
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

from lib_prodshot.errors import FieldProblem, ProdshotError, RequestError

_LOG = logging.getLogger("prodshot")

_PATH = re.compile(r"(?<![\w/\\.:])(?:[A-Za-z]:[\\/]|\\\\|~?/)(?:[^\s\\/:'\"]+[\\/])*[^\s\\/:'\",;)]*")
"""An absolute path in a sentence, of any system."""


MAX_LETTERS = 500
"""Of a field's name or of a complaint, which may quote what was sent."""


class Refusal(ProdshotError):
    """A request that is answered with an error: HTTP status, one sentence, and what is wrong with which field."""

    def __init__(
        self,
        status: int,
        message: str,
        problems: Sequence[FieldProblem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status = status
        self.problems = tuple(problems)
        self.headers = dict(headers or {})
        super().__init__(message)


def as_json(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer. Plain ASCII, so that no client's text, however odd, can make it unwritable."""
    body = json.dumps(content, ensure_ascii=True, allow_nan=False)
    return Response(body, status, dict(headers or {}), media_type="application/json")


def of_error(error: Exception) -> Response:
    """The answer to whatever went wrong. What nobody foresaw goes to the console under a number, and only that to
    the client."""
    if isinstance(error, RequestError):
        return _refused(422, "the request cannot be accepted", error.problems, {})
    if isinstance(error, Refusal):
        return _refused(error.status, str(error), error.problems, error.headers)
    if isinstance(error, ProdshotError):
        return _refused(503, without_paths(str(error)), (), {})
    if isinstance(error, RecursionError):
        return _refused(400, "the body is nested too deeply", (), {})
    return _refused(500, unforeseen(error), (), {})


def unforeseen(error: Exception) -> str:
    """A sentence for whoever asked; the error itself goes to the console, under the number that the sentence tells."""
    number = secrets.token_hex(4)
    _LOG.error("unforeseen error, number %s", number, exc_info=error)
    return f"an error nobody foresaw; the server's console has it under the number {number}"


def _refused(status: int, message: str, problems: Sequence[FieldProblem], headers: Mapping[str, str]) -> Response:
    return as_json({"error": message, "detail": problems_json(problems)}, status, headers)


def problems_json(problems: Sequence[FieldProblem]) -> list[dict[str, str]]:
    """What is wrong with each field, as every HTTP entry point says it."""
    return [
        {
            "field": problem.field[:MAX_LETTERS],
            "message": without_paths(problem.message[:MAX_LETTERS]),
            "allowed": problem.allowed,
        }
        for problem in problems
    ]


def without_paths(text: str) -> str:
    """The text with absolute paths of the server taken out."""
    return _PATH.sub("…", text)
