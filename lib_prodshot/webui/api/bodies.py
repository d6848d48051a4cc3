"""Reading what a client sent: JSON or multipart, never more than the limit, nothing twice, nothing unknown.

Done by hand because the WebUIs bring FastAPI 0.94 with pydantic 1 up to 0.127 with pydantic 2.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request as HttpRequest
from starlette.types import Message

from lib_prodshot.errors import FieldProblem, RequestError, unknown_name
from lib_prodshot.request import Setting, settings
from lib_prodshot.steps.registry import settings_by_step
from lib_prodshot.webui.answers import Refusal

MAX_PARTS = 200
"""Parts of one multipart body."""

MAX_TEXT = 20_000
"""Letters of one setting; prompts are the longest there are."""

_NUMBER = re.compile(r"-?\d{1,20}(\.\d{1,20})?([eE][+-]?\d{1,3})?")
"""A number as JSON writes it, no longer than any setting needs."""

_DRAINED = 4
"""How many times the limit is read and thrown away, so that a client gets its answer instead of a broken pipe."""


@dataclass(frozen=True)
class Upload:
    """A file of a multipart body."""

    name: str
    data: bytes


@dataclass
class Body:
    """What was sent, by field. `texts` marks a multipart body, whose values are all text."""

    values: dict[str, Any] = field(default_factory=dict)
    uploads: dict[str, list[Upload]] = field(default_factory=dict)
    texts: bool = False


async def read_body(request: HttpRequest, limit: int, lists: Iterable[str]) -> Body:
    """Read a body of at most `limit` bytes. In multipart `lists` may come several times, all else once.

    Raises `Refusal`: 400 (damaged), 413 (too large), 415 (neither JSON nor multipart); `RequestError`: a field twice.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("application/json", "multipart/form-data"):
        raise Refusal(415, "send application/json or multipart/form-data")
    limited = HttpRequest(request.scope, _Limited(request, limit).receive)
    if kind == "application/json":
        return Body(_read_json(await limited.body()))
    return await _read_multipart(limited, set(lists))


class _Limited:
    """Counts the bytes that come in and refuses them past the limit."""

    def __init__(self, request: HttpRequest, limit: int) -> None:
        self._request = request
        self._limit = limit
        self._seen = 0

    async def receive(self) -> Message:
        message = await self._next()
        if self._seen > self._limit:
            while message.get("more_body") and self._seen < self._limit * _DRAINED:
                message = await self._next()
            raise Refusal(413, f"the request is larger than {self._limit // 1_000_000} MB, this server's limit")
        return message

    async def _next(self) -> Message:
        message = await self._request.receive()
        self._seen += len(message.get("body", b""))
        return message


def _read_json(data: bytes) -> dict[str, Any]:
    try:
        content = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_without_doubles,
            parse_constant=_refuse_constant,
            parse_int=_parse_int,
        )
    except (ValueError, RecursionError) as error:
        raise Refusal(400, "the body is not JSON") from error
    if not isinstance(content, dict):
        raise Refusal(400, "the body is not a JSON object of names and values")
    return content


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise RequestError([FieldProblem(twice, "given twice")])
    return values


def _parse_int(digits: str) -> int | float:
    # beyond this no setting's range reaches, and Python's own arithmetic begins to raise OverflowError
    return int(digits) if len(digits) < 20 else float(digits)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


async def _read_multipart(request: HttpRequest, lists: set[str]) -> Body:
    body = Body(texts=True)
    try:
        form = await request.form(max_files=MAX_PARTS, max_fields=MAX_PARTS)
    except (MultiPartException, HTTPException) as error:
        raise Refusal(400, "the body is not multipart/form-data, or has too many parts") from error
    except (KeyError, ValueError, UnicodeError, AssertionError) as error:
        # a missing boundary or an odd charset reaches us as whatever the parser stumbled over
        raise Refusal(400, "the body is not multipart/form-data") from error
    try:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                body.uploads.setdefault(name, []).append(Upload(value.filename or "", await value.read()))
            else:
                _add_text(body, name, str(value), lists)
    finally:
        await form.close()
    return body


def _add_text(body: Body, name: str, value: str, lists: set[str]) -> None:
    if name in lists:
        body.values.setdefault(name, []).append(value)
        return
    if name in body.values:
        raise RequestError([FieldProblem(name, "given twice")])
    body.values[name] = value


def unknown_names(values: Iterable[str], fields: Sequence[str]) -> list[FieldProblem]:
    """The problems of names that are neither one of `fields` nor a setting or a step's group of them."""
    known = [*fields, *(setting.name for setting in settings()), *settings_by_step()]
    return [unknown_name(name, known) for name in values if name not in known]


def refuse_long(values: dict[str, Any]) -> None:
    """Raise `RequestError` for texts that are longer than any setting can need."""
    long = [name for name, value in values.items() if isinstance(value, str) and len(value) > MAX_TEXT]
    if long:
        raise RequestError([FieldProblem(name, "the text is too long", f"{MAX_TEXT} letters") for name in long])


def typed(body: Body, values: dict[str, Any]) -> dict[str, Any]:
    """A body's settings in JSON's types; multipart knows only text. What does not fit is left for the schema."""
    if not body.texts:
        return values
    table = {known.name: known for known in settings()}
    return {name: _from_text(table[name], value) if name in table else value for name, value in values.items()}


def _from_text(known: Setting, text: Any) -> Any:
    if known.kind == "flag":
        return {"true": True, "false": False}.get(text, text)
    if known.kind in ("number", "integer") and _NUMBER.fullmatch(text):
        return float(text)
    return text
