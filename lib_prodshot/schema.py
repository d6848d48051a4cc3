"""What one setting of the schema is: how it is declared, and how a value for it is checked.

The settings themselves stand in the settings models of `lib_prodshot.steps`. Works under pydantic 1.10 and 2 alike:
the strict checks are our own, so both give the same messages.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pydantic
from pydantic import BaseModel, Field

PYDANTIC_2 = pydantic.VERSION.startswith("2")

if PYDANTIC_2:

    class SettingsModel(BaseModel):
        """A frozen model of settings that refuses unknown names."""

        model_config = {"extra": "forbid", "frozen": True}

else:

    class SettingsModel(BaseModel):  # type: ignore[no-redef]
        """A frozen model of settings that refuses unknown names."""

        class Config:
            """pydantic 1's form of the same."""

            extra = "forbid"
            allow_mutation = False
            frozen = True


RESERVED_NAMES = ("image", "images", "include", "enabled", "report_control")
"""What entry points take beside settings, by the same way: no setting may have one of these names."""

Kind = Literal["text", "number", "integer", "flag", "choice"]


@dataclass(frozen=True)
class Setting:
    """One field of the schema, as the entry points (CLI, API, panel, infotext) read it.

    `name` is the flat name that all of them use. A setting of a step knows that step's id (`owner`), its name there
    (`field`), the panel's `tab` and the fold on it, and the engine with which it is shown (empty: always). `webui_only`
    settings have no meaning where there is no gallery; `webui_default` is the default in a WebUI where that differs.
    `named_only`: the setting came after positional arguments were closed. `inherits` is the value that stands for
    "as the generation around it has it" (None: there is none). `when`: names of other settings with the values at which
    this one has a meaning; a panel hides it at others.
    """

    name: str
    kind: Kind
    default: Any
    label: str
    help: str
    section: str
    infotext: str
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    choices: tuple[str, ...] = ()
    unit: str = ""
    lines: int = 1
    example: str = ""
    owner: str = ""
    field: str = ""
    tab: str = ""
    fold: str = ""
    engine: str = ""
    webui_only: bool = False
    webui_default: Any = None
    named_only: bool = False
    inherits: Any = None
    when: tuple[tuple[str, tuple[Any, ...]], ...] = ()

    @property
    def allowed(self) -> str:
        """The accepted values in words, for messages and help texts."""
        if self.kind == "choice":
            return " | ".join(self.choices)
        if self.kind == "flag":
            return "true | false"
        if self.kind == "text":
            return "text"
        noun = "whole number" if self.kind == "integer" else "number"
        unit = f" {self.unit}" if self.unit else ""
        return f"{noun} from {self.minimum:g} to {self.maximum:g}{unit}"


def setting(
    default: Any,
    *,
    help: str,
    section: str = "",
    kind: Kind | None = None,
    span: tuple[float, float, float] | None = None,
    choices: Sequence[str] = (),
    unit: str = "",
    label: str = "",
    lines: int = 1,
    example: str = "",
    fold: str = "",
    webui_only: bool = False,
    webui_default: Any = None,
    named_only: bool = False,
    inherits: Any = None,
    when: Mapping[str, Sequence[Any]] | None = None,
) -> Any:
    """Declare one field of a settings model: a pydantic field that carries everything an entry point needs to draw it.

    `span` is minimum, maximum and step; `label` need only be given where it is not the field's name in words; `lines`
    is the height of a text field and `example` what it shows in grey while it is empty. `section` need only be given
    where it is not the step's id. For `fold` and what follows it see `Setting`.
    """
    minimum, maximum, step = span or (None, None, None)
    extra: dict[str, Any] = {
        "label": label,
        "section": section,
        "kind": kind or kind_of(default, choices),
        "step": step,
        "choices": tuple(choices),
        "unit": unit,
        "minimum": minimum,
        "maximum": maximum,
        "lines": lines,
        "example": example,
        "fold": fold,
        "webui_only": webui_only,
        "webui_default": webui_default,
        "named_only": named_only,
        "inherits": inherits,
        "when": tuple((name, tuple(values)) for name, values in (when or {}).items()),
    }
    if PYDANTIC_2:
        return Field(default, description=help, ge=minimum, le=maximum, json_schema_extra=extra)
    return Field(default, description=help, ge=minimum, le=maximum, **extra)  # type: ignore[call-overload]


def kind_of(default: Any, choices: Sequence[str]) -> Kind:
    """What a setting with this default and these choices is."""
    if choices:
        return "choice"
    if isinstance(default, bool):
        return "flag"
    if isinstance(default, int):
        return "integer"
    return "number" if isinstance(default, float) else "text"


def settings_of(model: type[BaseModel], prefix: str = "") -> tuple[Setting, ...]:
    """The fields of a model as settings, in their order; `prefix` comes before each name."""
    fields: Mapping[str, Any] = getattr(model, "model_fields" if PYDANTIC_2 else "__fields__")
    return tuple(_read_setting(prefix, name, field) for name, field in fields.items())


def _read_setting(prefix: str, field_name: str, field: Any) -> Setting:
    info = field if PYDANTIC_2 else field.field_info
    extra = dict(info.json_schema_extra if PYDANTIC_2 else info.extra)
    name = prefix + field_name
    words = name.replace("_", " ")
    extra["label"] = extra["label"] or words.capitalize()
    infotext = f"Prodshot {words}"
    return Setting(name=name, field=field_name, default=info.default, help=info.description, infotext=infotext, **extra)


def check_value(known: Setting, value: Any) -> Any:
    """The value in the setting's own type. Raises ValueError saying what is wrong with it."""
    if known.kind == "flag":
        if not isinstance(value, bool):
            raise ValueError(f"{value!r} is neither true nor false")
        return value
    if known.kind == "choice":
        if value not in known.choices:
            raise ValueError(f"{value!r} is not a choice")
        return value
    if known.kind == "text":
        return _check_text(known, value)
    return _check_number(known, value)


def _check_text(known: Setting, value: Any) -> str:
    if known.name == "products" and isinstance(value, (list, tuple)) and all(isinstance(v, str) for v in value):
        value = ", ".join(value)
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not text")
    if any(0xD800 <= ord(letter) <= 0xDFFF for letter in value):
        raise ValueError("the text holds half of a surrogate pair, which no encoding can write")
    return value


def _check_number(known: Setting, value: Any) -> float | int:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{value!r} is not a number")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value!r} is not a finite number")
    if known.kind == "integer" and value != int(value):
        raise ValueError(f"{value!r} is not a whole number")
    if known.minimum is not None and value < known.minimum:
        raise ValueError(f"{value!r} is too small")
    if known.maximum is not None and value > known.maximum:
        raise ValueError(f"{value!r} is too large")
    return int(value) if known.kind == "integer" else float(value)
