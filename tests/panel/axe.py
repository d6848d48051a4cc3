"""axe-core on a page in a browser: what of it people with disabilities cannot use. The script comes with the package
axe-playwright-python."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

GRAVE = ("serious", "critical")

_RUN = """async (part) => {
    const done = await axe.run(part, {resultTypes: ['violations']});
    return done.violations.flatMap(({id, impact, nodes}) => nodes.map(
        ({target, html}) => ({rule: id, impact, target: target.join(' '), html: html.slice(0, 200)})));
}"""


def findings(page: Any, part: str) -> list[dict[str, str]]:
    """What axe-core finds in the `part` of the page, one entry for each element; skips where the package is not."""
    package = find_spec("axe_playwright_python")
    if package is None or package.origin is None:
        pytest.skip("axe-core is not installed (package axe-playwright-python)")
    if not page.evaluate("typeof axe === 'object'"):
        page.add_script_tag(path=str(Path(package.origin).with_name("axe.min.js")))
    found: list[dict[str, str]] = page.evaluate(_RUN, part)
    return found


def grave(page: Any, part: str) -> list[dict[str, str]]:
    """The serious and critical ones."""
    return [one for one in findings(page, part) if one["impact"] in GRAVE]
