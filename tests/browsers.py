"""The browser that the tests of pages drive."""

from __future__ import annotations

import os
import shutil

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""Programs by preference: the headless shell draws the same pages with a seventh less processor time."""


def chromium() -> str | None:
    """Return the path of `PRODSHOT_CHROMIUM`, else of the first browser that this machine has, None without one."""
    names = (os.environ.get("PRODSHOT_CHROMIUM", ""), *BROWSERS)
    return next((found for name in names if name and (found := shutil.which(name))), None)
