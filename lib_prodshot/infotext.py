"""Settings in infotexts: values written so that a WebUI's reader gives them back, and read again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lib_prodshot.errors import RequestError
from lib_prodshot.outcome import RAN, VERDICT
from lib_prodshot.request import Setting, check


def written(key: str, value: object) -> object:
    """A value as a WebUI is to be given it: a text that its reader would drop or change is written as JSON.

    The reader (`parse_generation_parameters` in the WebUI's `modules/infotext_utils.py`) drops empty values, strips
    blanks and takes quotation marks off; a key that equals its value is written without it. What holds a comma, a
    colon or a line end the WebUI writes as JSON itself.
    """
    if not isinstance(value, str) or _is_quoted_by_host(value):
        return value
    is_safe = value and value == value.strip() and not value.startswith('"') and value != key
    return value if is_safe else json.dumps(value, ensure_ascii=False)


def joined(parameters: Mapping[str, object]) -> str:
    """Parameters as the line of an infotext, as the WebUI writes it (`create_infotext`)."""
    return ", ".join(f"{key}: {_quoted(value)}" for key, value in parameters.items() if value is not None)


def _quoted(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if _is_quoted_by_host(text) else text


def _is_quoted_by_host(text: str) -> bool:
    return any(mark in text for mark in ",\n:")


def value_in(parameters: Mapping[str, Any], known: Setting) -> Any:
    """The setting's value in a parsed infotext; its default where Prodshot ran without naming it; else None.

    A value that the schema refuses (an infotext edited by hand, or of another version) counts as not there.
    """
    if VERDICT not in parameters:
        return None
    text = _text_of(parameters, known.infotext)
    if known.name == "control" and text in ("True", "False"):
        text = _overwritten_control(parameters)
    if text is None:
        return known.default
    try:
        return check({known.name: typed(known, text)})[known.name]
    except (ValueError, RequestError):
        return None


def _text_of(parameters: Mapping[str, Any], key: str) -> str | None:
    """A parameter's text; the WebUI's reader takes what looks like a size ('512x768') apart."""
    if f"{key}-1" in parameters and f"{key}-2" in parameters:
        return f"{parameters[f'{key}-1']}x{parameters[f'{key}-2']}"
    text = parameters.get(key)
    return None if text is None else str(text)


def _overwritten_control(parameters: Mapping[str, Any]) -> str:
    """What the setting 'control' was where the first release wrote true or false over it: not its default, which was
    never written, so one of the two others, and the passes tell which. Empty (no value) where none ran."""
    ran = _text_of(parameters, RAN)
    if not ran:
        return ""
    return "off" if "no ControlNet" in ran else "required"


def typed(known: Setting, text: str) -> Any:
    """A setting's value out of its text in an infotext or on an axis; what is no such value stays text, for the schema
    to refuse. Raises ValueError for a number that is none."""
    if known.kind == "flag":
        return {"true": True, "false": False}.get(text.strip().lower(), text)
    if known.kind in ("number", "integer"):
        return float(text)
    return text
