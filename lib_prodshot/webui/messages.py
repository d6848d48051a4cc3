"""What the panel and the tabs tell the user, as HTML: one line of text, or why something failed."""

from __future__ import annotations

import html
import logging

from lib_prodshot.errors import ProdshotError

_LOG = logging.getLogger("prodshot")


def said(text: str, is_error: bool = False) -> str:
    """A line that tells what happened."""
    kind = "prodshot-said-error" if is_error else "prodshot-said"
    return f"<span class='{kind}'>{html.escape(text)}</span>"


def failed(error: Exception, what: str = "This") -> str:
    """A line that tells why `what` failed. The sentence of a `ProdshotError` is shown as it stands; of anything else
    the user learns that it is a bug, and the console gets the traceback."""
    if isinstance(error, ProdshotError):
        return said(str(error), is_error=True)
    _LOG.error("%s failed", what, exc_info=error)
    return said(f"{what} failed for a reason nobody foresaw; the console has the details. Please report it.", True)
