"""Command-line options drawn from the schema."""

from __future__ import annotations

import argparse
from pathlib import Path

from lib_prodshot.commands.setting_options import METAVARS, given_settings
from lib_prodshot.request import Request, Setting, settings
from lib_prodshot.steps import registry


def add_request_options(parser: argparse.ArgumentParser, dry_run: bool = False, make: str = "") -> None:
    """One option for each setting that has a meaning here, grouped by section, with its default and range in the help.

    `dry_run`: only the settings of the steps that run where nothing is to be changed; `make`: only those that have a
    meaning where this is made, which is then no option.
    """
    parser.add_argument("--models-dir", type=Path, help="look for weights here first (also: PRODSHOT_MODELS)")
    groups: dict[str, argparse._ArgumentGroup] = {}
    for step in registry.STEPS:
        for known in registry.settings_by_step()[step.id]:
            if known.webui_only or (dry_run and not step.in_dry_run):
                continue
            if make and (known.name == "make" or make not in dict(known.when).get("make", (make,))):
                continue
            if known.section not in groups:
                groups[known.section] = parser.add_argument_group(known.section)
            _add_option(groups[known.section], known)


def add_webui_option(parser: argparse.ArgumentParser) -> None:
    """The option that names the WebUI which runs inpaint passes."""
    text = "the WebUI that paints: the engines 'inpaint' and 'edit', the ground 'scene' (started with --api)"
    parser.add_argument("--webui", metavar="URL", help=text)


def _add_option(group: argparse._ArgumentGroup, known: Setting) -> None:
    option = "--" + known.name.replace("_", "-")
    help_text = f"{known.help} [{known.allowed}; default: {known.default!r}]".replace("%", "%%")
    if known.kind == "flag":
        group.add_argument(option, action=argparse.BooleanOptionalAction, default=None, help=help_text)
        return
    required = known.name == "products"
    metavar = METAVARS[known.kind]
    group.add_argument(option, dest=known.name, default=None, metavar=metavar, required=required, help=help_text)


def request_from(arguments: argparse.Namespace, **fixed: object) -> Request:
    """The request that the options describe, with `fixed` settings that are no options.

    Raises `RequestError` naming every wrong field.
    """
    request = Request(**given_settings(arguments, settings()), **fixed)
    _ = request.classes  # an empty product list is wrong usage, found before any model is loaded
    return request
