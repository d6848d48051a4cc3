"""Parsing of a script's arguments (values by position, dicts by name, anything over HTTP) into a request."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from lib_prodshot.errors import FieldProblem, RequestError
from lib_prodshot.hosts.generation.attributes import REPORT_CONTROL
from lib_prodshot.request import WEBUI_BASE, Request

OVERRIDES = "prodshot_overrides"
"""An attribute of the processing object: settings by name that go before the arguments (X/Y/Z plot sets it)."""

REWRITES = "prodshot_rewrites"
"""An attribute of the processing object: regular expressions and what takes their matches' place in every text setting
(X/Y/Z plot sets it, to exchange a LoRA wherever prompts name it)."""


NO_SLOTS_YET = (
    "cannot be taken yet: this WebUI draws a tab, and gives its scripts their arguments, when a browser first opens it;"
    " open that tab once, or use Prodshot's own routes"
)
"""forge-again does so with img2img: until then the caller's first argument does not come through."""


def request_from(parent: Any, arguments: Sequence[Any]) -> Request:
    """Parse a script's arguments, updated by the generation's overrides and rewrites. Raises `RequestError`."""
    overrides = dict(getattr(parent, OVERRIDES, None) or {})
    request = Request.from_arguments([*arguments, overrides], base=WEBUI_BASE)
    for pattern, instead in (getattr(parent, REWRITES, None) or {}).items():
        texts = {name: value for name, value in request.to_dict().items() if isinstance(value, str)}
        changed = {name: told for name, text in texts.items() if (told := re.sub(pattern, instead, text)) != text}
        request = request.replace(**changed) if changed else request
    _ = request.classes  # without products there is nothing to look for
    return request


def given_arguments(parent: Any, script: Any, arguments: Sequence[Any]) -> Sequence[Any]:
    """The arguments of a selectable script that the caller really passed.

    The API replaces the script's slots by `script_args` without padding: with fewer values all later ones shift, and
    the script receives those of its neighbours. Where it knew of no slots when it started (forge-again) they stand
    behind the script's number. Raises `RequestError` where there are no slots yet.
    """
    if not is_api(parent):
        return arguments
    if script.args_from is None:
        raise RequestError([FieldProblem("script_args", NO_SLOTS_YET)])
    if len(parent.script_args) < script.args_from:
        return list(parent.script_args[1:])
    runner = getattr(parent, "scripts", None)
    slots = max((other.args_to or 0 for other in getattr(runner, "scripts", ())), default=0)
    missing = max(0, slots - len(parent.script_args))
    return arguments[: max(0, script.args_to - script.args_from - missing)]


def split_enabled(arguments: Sequence[Any]) -> tuple[bool, list[Any]]:
    """Split the accordion's arguments into its switch and the rest.

    A dict in the switch's place switches on, unless it contains 'enabled'; so may a later dict. What asks for a report
    on ControlNet is no setting and left out.
    """
    enabled, rest = False, list(arguments)
    if arguments:
        first, rest = arguments[0], list(arguments[1:])
        enabled = first is True or isinstance(first, Mapping)
        if isinstance(first, Mapping):
            rest = [*rest, first]
    for place, argument in enumerate(rest):
        if not isinstance(argument, Mapping):
            continue
        rest[place] = {key: value for key, value in argument.items() if key not in ("enabled", REPORT_CONTROL)}
        if "enabled" in argument:
            if not isinstance(argument["enabled"], bool):
                raise RequestError([FieldProblem("enabled", f"{argument['enabled']!r} is neither true nor false")])
            enabled = argument["enabled"]
    return enabled, rest


def accordion_is_on(parent: Any, script: Any) -> bool:
    """Whether the accordion of the same title as the selected `script` is switched on in this generation."""
    runner = getattr(parent, "scripts", None)
    for other in getattr(runner, "alwayson_scripts", ()):
        if other.title() == script.title():
            try:
                return split_enabled(parent.script_args[other.args_from : other.args_to])[0]
            except RequestError:
                return False
    return False


def raise_for_api(parent: Any, error: RequestError) -> None:
    """Raise HTTPException 422 with every invalid field for an API caller; do nothing for the page."""
    if is_api(parent):
        raise _http_error(error) from error


def refuse_generation(parent: Any, error: RequestError) -> None:
    """Let the generation of an API caller end with HTTPException 422 before anything is sampled; for the page do
    nothing.

    WebUIs swallow what an always-on script's hook raises, so the generation's own first call raises it instead.
    """
    if not is_api(parent):
        return

    def refuse() -> None:
        raise _http_error(error) from error

    parent.setup_prompts = refuse


def is_api(parent: Any) -> bool:
    """Whether the generation was asked for over the API."""
    return bool(getattr(parent, "is_api", False))


def _http_error(error: RequestError) -> Exception:
    problems = [
        {"field": problem.field, "message": problem.message, "allowed": problem.allowed} for problem in error.problems
    ]
    made: Exception = import_module("fastapi").HTTPException(status_code=422, detail=problems)
    return made
