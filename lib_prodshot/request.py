"""The one schema: every setting with its default, range, help text and infotext key.

The CLI's options, the API's fields, the WebUI's panel, the infotext, the X/Y/Z axes and the presets are drawn from
`Request`; nowhere else is a default or a range written. Works under pydantic 1.10 and 2 alike: the strict checks
are our own (`check`), so both give the same messages.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pydantic
from pydantic import BaseModel, Field

from lib_prodshot.errors import FieldProblem, RequestError

PYDANTIC_2 = pydantic.VERSION.startswith("2")

Kind = Literal["text", "number", "integer", "flag", "choice"]

MAX_CLASSES = 64
MAX_NAME_LENGTH = 80


@dataclass(frozen=True)
class Setting:
    """One field of the schema, as the doors (CLI, API, panel, infotext) read it."""

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
    label: str,
    help: str,
    section: str,
    kind: Kind | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    step: float | None = None,
    choices: Sequence[str] = (),
    unit: str = "",
) -> Any:
    """Declare one field of `Request`: a pydantic field that carries everything a door needs to draw it."""
    extra: dict[str, Any] = {
        "label": label,
        "section": section,
        "kind": kind or _kind_of(default, choices),
        "step": step,
        "choices": tuple(choices),
        "unit": unit,
        "minimum": minimum,
        "maximum": maximum,
    }
    if PYDANTIC_2:
        return Field(default, description=help, ge=minimum, le=maximum, json_schema_extra=extra)
    return Field(default, description=help, ge=minimum, le=maximum, **extra)  # type: ignore[call-overload]


def _kind_of(default: Any, choices: Sequence[str]) -> Kind:
    if choices:
        return "choice"
    if isinstance(default, bool):
        return "flag"
    if isinstance(default, int):
        return "integer"
    return "number" if isinstance(default, float) else "text"


if PYDANTIC_2:

    class _StrictModel(BaseModel):
        model_config = {"extra": "forbid", "frozen": True}

else:

    class _StrictModel(BaseModel):  # type: ignore[no-redef]
        class Config:
            extra = "forbid"
            allow_mutation = False
            frozen = True


class Request(_StrictModel):
    """What to look for and what to do with it. Immutable; unknown keys and values out of range are refused.

    Field order is the positional order of `script_args`: new fields are appended to their end, never inserted.

    Raises `RequestError` naming every field that is wrong.
    """

    products: str = setting(
        "",
        label="Products",
        section="find",
        help="What to look for, comma-separated; synonyms after a colon: 'handbag, shoe: sneaker | trainer'.",
    )
    finder: str = setting(
        "auto",
        label="Finder",
        section="find",
        choices=("auto", "lite", "langsam"),
        help="Which finder to use: auto takes LangSAM when its weights are present, else the lite finder.",
    )
    box_threshold: float = setting(
        0.3,
        label="Box threshold",
        section="find",
        minimum=0.0,
        maximum=1.0,
        step=0.01,
        help="A detection below this score is not a find (LangSAM's default, 0.3).",
    )
    text_threshold: float = setting(
        0.25,
        label="Text threshold",
        section="find",
        minimum=0.0,
        maximum=1.0,
        step=0.01,
        help="A word of a product's name counts for a box from this score on (LangSAM's default, 0.25).",
    )
    class_thresholds: str = setting(
        "",
        label="Thresholds per product",
        section="find",
        help="Box thresholds for single products: 'watch: 0.4, shoe: 0.25'. Others use the box threshold.",
    )
    instances: str = setting(
        "all",
        label="Instances",
        section="find",
        choices=("all", "largest", "best", "index"),
        help="Which detections of each product to work on: all, the largest, the best scored, or one by its number.",
    )
    instance_index: int = setting(
        0,
        label="Instance number",
        section="find",
        minimum=0,
        maximum=63,
        help="With instances 'index': which detection of each product, 0 being the best scored.",
    )
    mask_threshold: float = setting(
        0.5,
        label="Mask threshold",
        section="mask",
        minimum=0.01,
        maximum=0.99,
        step=0.01,
        help="A pixel belongs to the product from this probability on.",
    )
    grow: int = setting(
        0,
        label="Grow mask",
        section="mask",
        minimum=-512,
        maximum=512,
        unit="pixels",
        help="Widen the mask by this many pixels; negative numbers shrink it.",
    )
    grow_share: float = setting(
        0.0,
        label="Grow mask by share",
        section="mask",
        minimum=-0.5,
        maximum=0.5,
        step=0.01,
        help="Widen the mask by this share of its box's longer side, on top of 'grow'; negative numbers shrink it.",
    )
    fill_holes: float = setting(
        0.0,
        label="Fill holes",
        section="mask",
        minimum=0.0,
        maximum=1.0,
        step=0.01,
        help="Fill holes up to this share of the mask's area (1 fills all, such as the gap under a handle); 0 is off.",
    )
    drop_specks: float = setting(
        0.01,
        label="Drop specks",
        section="mask",
        minimum=0.0,
        maximum=1.0,
        step=0.01,
        help="Drop separate pieces of a mask smaller than this share of its largest piece; 0 keeps all.",
    )
    feather: float = setting(
        4.0,
        label="Feather",
        section="mask",
        minimum=0.0,
        maximum=64.0,
        step=0.5,
        unit="pixels",
        help="Soften the mask's edge (the WebUI's mask blur; the seed used 4); it reaches 2.5 times as far.",
    )
    invert: bool = setting(
        False,
        label="Invert mask",
        section="mask",
        help="Work on everything but the product.",
    )
    engine: str = setting(
        "retouch",
        label="Engine",
        section="enhance",
        choices=("retouch",),
        help="How to enhance: retouch (photographic correction of the product alone, no diffusion).",
    )
    strength: float = setting(
        0.5,
        label="Retouch strength",
        section="enhance",
        minimum=0.0,
        maximum=1.0,
        step=0.05,
        help="How much exposure, white balance, local contrast, clarity and saturation are corrected; 0 is nothing.",
    )
    delta_e_limit: float = setting(
        10.0,
        label="Colour limit",
        section="enhance",
        minimum=0.0,
        maximum=100.0,
        step=0.5,
        unit="ΔE2000",
        help="The product's colour may move this far at most: mean and 95th percentile of ΔE2000 inside the mask.",
    )
    over_limit: str = setting(
        "reduce",
        label="Above the colour limit",
        section="enhance",
        choices=("reduce", "refuse"),
        help="Above the colour limit: reduce the strength until it is kept, or refuse and leave the picture as it was.",
    )

    def __init__(self, **values: Any) -> None:
        super().__init__(**check(values))

    @classmethod
    def from_arguments(cls, arguments: Sequence[Any], base: Mapping[str, Any] | None = None) -> Request:
        """Build a request from script arguments: values in schema order, mappings by name, in any mixture.

        A mapping anywhere among `arguments` overrides by name; `base` holds what the caller did not give. None
        stands for "not given". More positional values than fields are refused.
        """
        names = [known.name for known in settings()]
        positional = [value for value in arguments if not isinstance(value, Mapping)]
        if len(positional) > len(names):
            message = f"{len(positional)} positional values for {len(names)} fields"
            raise RequestError([FieldProblem("script_args", message, f"at most {len(names)} values")])
        values = dict(base or {})
        values.update({name: value for name, value in zip(names, positional) if value is not None})
        for argument in arguments:
            if isinstance(argument, Mapping):
                values.update(argument)
        return cls(**values)

    def to_dict(self, only_changed: bool = False) -> dict[str, Any]:
        """All fields by name; `only_changed` leaves out those that stand at their default."""
        values = {known.name: getattr(self, known.name) for known in settings()}
        if not only_changed:
            return values
        return {known.name: values[known.name] for known in settings() if values[known.name] != known.default}

    def replace(self, **changes: Any) -> Request:
        """A copy with some fields changed, checked like any other request."""
        return Request(**{**self.to_dict(), **changes})

    @property
    def classes(self) -> tuple[ProductClass, ...]:
        """The products as classes with synonyms and thresholds. Raises `RequestError` when there are none."""
        return _with_thresholds(parse_products(self.products), self.class_thresholds, self.box_threshold)


_SETTINGS: list[Setting] = []


def settings() -> tuple[Setting, ...]:
    """The schema as a table, in positional order."""
    if not _SETTINGS:
        fields: Mapping[str, Any] = getattr(Request, "model_fields" if PYDANTIC_2 else "__fields__")
        _SETTINGS.extend(_read_setting(name, field) for name, field in fields.items())
    return tuple(_SETTINGS)


def setting_named(name: str) -> Setting:
    """One field of the schema. Raises KeyError for an unknown name."""
    return next(known for known in settings() if known.name == name)


def _read_setting(name: str, field: Any) -> Setting:
    info = field if PYDANTIC_2 else field.field_info
    extra = info.json_schema_extra if PYDANTIC_2 else info.extra
    return Setting(
        name=name,
        default=info.default,
        help=info.description,
        infotext=f"Prodshot {name.replace('_', ' ')}",
        **extra,
    )


def check(values: Mapping[str, Any]) -> dict[str, Any]:
    """Check names, types and ranges of `values`; returns them in the schema's own types.

    Numbers are accepted for numbers only (not as text), whole floats for whole numbers (sliders send 4.0), a list
    of names for products. Raises `RequestError` with one problem for each wrong field.
    """
    table = {known.name: known for known in settings()}
    problems: list[FieldProblem] = []
    accepted: dict[str, Any] = {}
    for name, value in values.items():
        if name not in table:
            problems.append(FieldProblem(str(name), "unknown setting", ", ".join(table)))
            continue
        try:
            accepted[name] = _check_value(table[name], value)
        except ValueError as error:
            problems.append(FieldProblem(name, str(error), table[name].allowed))
    problems.extend(_check_lists(accepted))
    if problems:
        raise RequestError(problems)
    return accepted


def _check_lists(accepted: Mapping[str, Any]) -> Iterable[FieldProblem]:
    """Problems of the fields that hold a small language of their own."""
    try:
        classes = parse_products(accepted["products"]) if accepted.get("products", "").strip() else None
    except RequestError as error:
        return error.problems
    if not accepted.get("class_thresholds", "").strip():
        return ()
    try:
        thresholds = _parse_thresholds(accepted["class_thresholds"])
        if classes is not None:
            _match_thresholds(classes, thresholds)
    except RequestError as error:
        return error.problems
    return ()


def _check_value(known: Setting, value: Any) -> Any:
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
    if not math.isfinite(value):
        raise ValueError(f"{value!r} is not a finite number")
    if known.kind == "integer" and value != int(value):
        raise ValueError(f"{value!r} is not a whole number")
    if known.minimum is not None and value < known.minimum:
        raise ValueError(f"{value!r} is too small")
    if known.maximum is not None and value > known.maximum:
        raise ValueError(f"{value!r} is too large")
    return int(value) if known.kind == "integer" else float(value)


@dataclass(frozen=True)
class ProductClass:
    """One product: the name the user wrote (the label everywhere), its phrases (name first), its box threshold."""

    name: str
    phrases: tuple[str, ...]
    threshold: float = 0.3


def parse_products(text: str) -> tuple[ProductClass, ...]:
    """Read 'handbag, shoe: sneaker | trainer, watch or watch dial' into classes with synonyms.

    Commas, semicolons and new lines separate products; `name: synonym | synonym` adds phrases, and so does ' or '.
    The label is the first name as written. Phrases are lower-cased, without '.' and '?', which detectors read as
    the end of a phrase. A product named twice counts once.

    Raises `RequestError` (field products): empty list, a product without a letter or digit, a name over 80
    characters, more than 64 products, one phrase claimed by two products.
    """
    classes: dict[str, ProductClass] = {}
    for part in re.split(r"[,;\n]", text):
        if not part.strip():
            continue
        parsed = _parse_product(part)
        key = parsed.phrases[0]
        if key in classes:
            merged = dict.fromkeys(classes[key].phrases + parsed.phrases)
            parsed = ProductClass(classes[key].name, tuple(merged))
        classes[key] = parsed
    if not classes:
        raise _products_problem("no product is named; write for example 'handbag, shoe'")
    if len(classes) > MAX_CLASSES:
        raise _products_problem(f"{len(classes)} products, at most {MAX_CLASSES} are possible")
    _refuse_shared_phrases(classes.values())
    return tuple(classes.values())


def _parse_product(part: str) -> ProductClass:
    name, _, synonyms = part.partition(":")
    # \s also swallows odd spaces; control characters have no place in a caption, a report or an infotext
    written = [" ".join(_printable(text).split()) for text in (*_split_or(name), *re.split(r"\|", synonyms))]
    names = [text for text in written if text]
    phrases = [phrase for phrase in (clean_phrase(text) for text in names) if phrase]
    if not name.strip() or len(phrases) < len(names) or not phrases:
        raise _products_problem(f"{part.strip()!r} has a name without a letter or digit")
    too_long = next((text for text in names if len(text) > MAX_NAME_LENGTH), None)
    if too_long is not None:
        raise _products_problem(f"{too_long[:20]!r}… is longer than {MAX_NAME_LENGTH} characters")
    return ProductClass(names[0], tuple(dict.fromkeys(phrases)))


def _split_or(name: str) -> list[str]:
    return re.split(r"\s+or\s+", name, flags=re.IGNORECASE)


def _printable(text: str) -> str:
    normal = unicodedata.normalize("NFC", text)
    return "".join(" " if unicodedata.category(letter)[0] in "CZ" else letter for letter in normal)


def clean_phrase(text: str) -> str:
    """A phrase as detectors read it: lower case, single spaces, no '.' or '?'; empty if no letter or digit is left."""
    words = " ".join(re.sub(r"[.?]", " ", _printable(text).lower()).split())
    return words if any(letter.isalnum() for letter in words) else ""


def _refuse_shared_phrases(classes: Iterable[ProductClass]) -> None:
    owner: dict[str, str] = {}
    for product in classes:
        for phrase in product.phrases:
            if owner.setdefault(phrase, product.name) != product.name:
                raise _products_problem(f"{phrase!r} is claimed by both {owner[phrase]!r} and {product.name!r}")


def _parse_thresholds(text: str) -> dict[str, float]:
    thresholds: dict[str, float] = {}
    for part in re.split(r"[,;\n]", text):
        if not part.strip():
            continue
        name, _, number = part.rpartition(":")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not clean_phrase(name) or not 0.0 <= value <= 1.0:
            problem = f"{part.strip()!r} is not 'product: number from 0 to 1'"
            raise RequestError([FieldProblem("class_thresholds", problem, "such as 'watch: 0.4, shoe: 0.25'")])
        thresholds[clean_phrase(name)] = value
    return thresholds


def _match_thresholds(classes: Sequence[ProductClass], thresholds: Mapping[str, float]) -> None:
    known = {product.phrases[0] for product in classes}
    unknown = [name for name in thresholds if name not in known]
    if unknown:
        allowed = ", ".join(product.name for product in classes)
        raise RequestError([FieldProblem("class_thresholds", f"{unknown[0]!r} is not among the products", allowed)])


def _with_thresholds(classes: Sequence[ProductClass], text: str, default: float) -> tuple[ProductClass, ...]:
    thresholds = _parse_thresholds(text)
    _match_thresholds(classes, thresholds)
    return tuple(
        ProductClass(product.name, product.phrases, thresholds.get(product.phrases[0], default)) for product in classes
    )


def _products_problem(message: str) -> RequestError:
    return RequestError([FieldProblem("products", message, "such as 'handbag, shoe: sneaker | trainer'")])
