"""Paste-back: what an infotext says of Prodshot, as values for the panel's components."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr

from lib_prodshot.errors import RequestError
from lib_prodshot.hosts.generation.results import VERDICT
from lib_prodshot.request import Setting, check

SCRIPT = "Script"


class Pasted(str):
    """An infotext key that the WebUI may also call.

    As a string it is a key that "Send to img2img" forwards from panel to panel; as a callable it reads the pasted
    parameters, so that settings which an infotext leaves out (they stood at their defaults) are put back as well.
    """

    setting: Setting

    def __new__(cls, known: Setting) -> Pasted:
        """The key of one setting; its default is what an infotext means by not naming it."""
        key = super().__new__(cls, known.infotext)
        key.setting = known
        return key

    def __call__(self, parameters: Mapping[str, Any]) -> Any:
        """A gradio update with the pasted value, or None: this infotext is not about Prodshot."""
        value = value_in(parameters, self.setting)
        return None if value is None else gr.update(value=value)


def value_in(parameters: Mapping[str, Any], known: Setting) -> Any:
    """The setting's value in a parsed infotext; its default where Prodshot ran without naming it; else None.

    A value that the schema refuses (an infotext edited by hand, or of another version) counts as not there.
    """
    if VERDICT not in parameters:
        return None
    text = parameters.get(known.infotext)
    if text is None:
        return known.default
    try:
        return check({known.name: typed(known, str(text))})[known.name]
    except (ValueError, RequestError):
        return None


def typed(known: Setting, text: str) -> Any:
    """A setting's value out of its text in an infotext or on an axis; what is no such value stays text, for the schema
    to refuse. Raises ValueError for a number that is none."""
    if known.kind == "flag":
        return {"true": True, "false": False}.get(text.strip().lower(), text)
    if known.kind in ("number", "integer"):
        return float(text)
    return text


def is_enabled(parameters: Mapping[str, Any]) -> Any:
    """Whether the accordion made this picture (not the script of the same name); None where Prodshot had no part."""
    if VERDICT not in parameters:
        return None
    return parameters.get(SCRIPT) != VERDICT
