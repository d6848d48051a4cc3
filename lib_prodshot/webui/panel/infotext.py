"""Paste-back: what an infotext says of Prodshot, as values for the panel's components."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr

from lib_prodshot.infotext import value_in
from lib_prodshot.outcome import VERDICT
from lib_prodshot.request import Setting

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


def is_enabled(parameters: Mapping[str, Any]) -> Any:
    """Whether the accordion made this picture (not the script of the same name); None where Prodshot had no part."""
    if VERDICT not in parameters:
        return None
    return parameters.get(SCRIPT) != VERDICT
