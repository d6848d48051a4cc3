"""Declaration and validation of one setting of a training recipe; the settings themselves are in `recipe`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from lib_prodshot.errors import FieldProblem
from lib_prodshot.schema import Setting, check_value, kind_of


@dataclass(frozen=True)
class RecipeSetting(Setting):
    """One setting of a recipe, as the command line, the panel and the TOML file read it.

    `many` values make a list, `path` names a file or folder, a `required` setting has no usable default.
    """

    many: bool = False
    path: bool = False
    required: bool = False

    @property
    def allowed(self) -> str:
        """The accepted values in words."""
        return "a list of texts" if self.many else super().allowed


def setting(
    default: Any,
    *,
    help: str,
    section: str,
    span: tuple[float, float, float] | None = None,
    choices: Sequence[str] = (),
    unit: str = "",
    many: bool = False,
    path: bool = False,
    required: bool = False,
    label: str = "",
) -> Any:
    """Declare one setting of a recipe as a dataclass field. `span` is minimum, maximum and step; `label` need only be
    given where it is not the field's name in words."""
    minimum, maximum, step = span or (None, None, None)
    known = RecipeSetting(
        name="",
        kind=kind_of(default, choices),
        default=default,
        label=label,
        help=help,
        section=section,
        infotext="",
        minimum=minimum,
        maximum=maximum,
        step=step,
        choices=tuple(choices),
        unit=unit,
        many=many,
        path=path,
        required=required,
    )
    return dataclasses.field(default=default, metadata={"setting": known})


def settings_of(recipe: type) -> tuple[RecipeSetting, ...]:
    """The declared settings of a recipe class, in their order."""
    return tuple(
        dataclasses.replace(known, name=field.name, label=known.label or field.name.replace("_", " ").capitalize())
        for field in dataclasses.fields(recipe)
        if (known := field.metadata.get("setting"))
    )


def check_values(
    table: Sequence[RecipeSetting], values: Mapping[str, Any]
) -> tuple[dict[str, Any], list[FieldProblem]]:
    """The values in their settings' own types, and one problem for each unknown name or wrong value."""
    known = {one.name: one for one in table}
    accepted: dict[str, Any] = {}
    problems: list[FieldProblem] = []
    for name, value in values.items():
        if name not in known:
            problems.append(unknown_name(name, known))
            continue
        try:
            accepted[name] = _check(known[name], value)
        except ValueError as error:
            problems.append(FieldProblem(name, str(error), known[name].allowed))
    return accepted, problems


def unknown_name(name: str, known: Iterable[str]) -> FieldProblem:
    """The problem of a name that does not exist, with the nearest that do."""
    near = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return FieldProblem(name, "unknown setting" + (f"; did you mean {near[0]}?" if near else ""))


def _check(known: RecipeSetting, value: Any) -> Any:
    if not known.many:
        return check_value(known, value)
    if isinstance(value, str) or not isinstance(value, (list, tuple)):
        raise ValueError(f"{value!r} is not a list")
    return tuple(_check_text(item) for item in value)


def _check_text(item: Any) -> str:
    if not isinstance(item, str) or not item.strip() or "\n" in item:
        raise ValueError(f"{item!r} in the list is not one line of text")
    return item
