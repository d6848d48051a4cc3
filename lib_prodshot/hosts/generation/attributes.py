"""Names that Prodshot adds to a generation of the WebUI: attributes, arguments and parameters of its answer."""

from __future__ import annotations

SESSION = "_prodshot_session"
"""The attribute of a generation's processing object that holds its session; shallow copies share it."""

REPORT_CONTROL = "report_control"
"""Among the accordion's arguments, in a dict: tell in the answer's parameters whether ControlNet took part in this
generation. WebUIs swallow its failures, so a client that samples over there cannot know it otherwise."""

CONTROL = "Prodshot control"
"""The parameter of an answer that tells it: true or false."""
