"""`prodshot settings`: every setting with its default, range and help, as Markdown (this makes docs/settings.md)."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from lib_prodshot.request import WEBUI_BASE, Setting
from lib_prodshot.steps import registry
from lib_prodshot.steps.interface import Step

_HEAD = """# Every setting

Made by `prodshot settings` from the settings models of the steps. A setting has one name everywhere: option of the
command line (`--box-threshold`), field of the API and of script arguments (`box_threshold`, or by step:
`{"find": {"box_threshold": 0.35}}`), infotext (`Prodshot box threshold`), preset, axis of X/Y/Z plot."""


def add_parser(subparsers: Any) -> None:
    """Describe the command."""
    parser = subparsers.add_parser("settings", help="list every setting with its default, range and help")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the page."""
    print(page())
    return 0


def page() -> str:
    """The tables of all steps as one Markdown text."""
    return "\n".join([_HEAD, *(line for step in registry.STEPS for line in _table(step))])


def _table(step: Step[Any]) -> Iterator[str]:
    summary = " ".join((step.__doc__ or "").split("\n\n")[0].split())
    yield from ("", f"## {step.id}, version {step.version}", "", summary, "")
    own = registry.settings_by_step()[step.id]
    if not own:
        yield f"It has no setting of its own, and reads {', '.join(f'`{name}`' for name in step.borrows)}."
        return
    yield from ("| setting | default | accepts | what it does |", "|---|---|---|---|")
    for known in own:
        cells = (f"`{known.name}`", _default(known), known.allowed, known.help)
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _default(known: Setting) -> str:
    shown = "empty" if known.default == "" else f"`{known.default}`"
    return f"{shown}; in a WebUI `{WEBUI_BASE[known.name]}`" if known.name in WEBUI_BASE else shown
