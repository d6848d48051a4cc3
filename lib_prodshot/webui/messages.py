"""What the panel and the tabs tell the user, as HTML: one line of text, or why something failed."""

from __future__ import annotations

import html
import logging
from itertools import count

from lib_prodshot.errors import FinderUnavailable, PictureError, ProdshotError, RequestError, WeightsError

_LOG = logging.getLogger("prodshot")

_CAUSES: tuple[tuple[type[Exception], str], ...] = (
    (FinderUnavailable, "finder"),
    (WeightsError, "finder"),
    (PictureError, "picture"),
    (RequestError, "settings"),
)
"""What must change for an error to be over; our script then takes it off the page."""

_NUMBERS = count()


def said(text: str, is_error: bool = False) -> str:
    """A line that tells what happened."""
    kind = "prodshot-said-error" if is_error else "prodshot-said"
    return f"<span class='{kind}'>{html.escape(text)}</span>"


def failed(error: Exception, what: str = "This") -> str:
    """A line that tells why `what` failed. The sentence of a `ProdshotError` is shown as it stands; of anything else
    the user learns that it is a bug, and the console gets the traceback."""
    if isinstance(error, ProdshotError):
        return _with_cause(error)
    _LOG.error("%s failed", what, exc_info=error)
    return said(f"{what} failed for a reason nobody foresaw; the console has the details. Please report it.", True)


def _with_cause(error: ProdshotError) -> str:
    text = f"{error.brief}." if isinstance(error, FinderUnavailable) else str(error)
    cause = next((cause for kind, cause in _CAUSES if isinstance(error, kind)), "other")
    # numbered, for a page that is sent the same text twice leaves it as it stands, hidden or not
    place = f"data-cause='{cause}' data-number='{next(_NUMBERS)}'"
    return f"<span class='prodshot-said-error' {place}>{html.escape(text)}</span>"
