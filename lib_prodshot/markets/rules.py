"""The rules of marketplaces: `marketplaces.json`, changed and extended by a file of the user's.

A marketplace has a title, `make` (which settings make a picture for it, by their flat names) and `rules`. Every figure
carries its source, the day on which that was read, and how far it is to be trusted. A user's file has the same form and
is laid over ours: what it names is changed, what it does not name stays, null takes a rule away; `like` starts a new
marketplace from a known one.

    {"amazon": {"rules": {"fill": {"min": 0.8}, "zoom": null}},
     "my-shop": {"like": "shopify", "title": "My shop", "make": {"size": {"value": "1200x1200"}}}}
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from lib_prodshot.errors import FieldProblem, ProdshotError, RequestError

VARIABLE = "PRODSHOT_MARKETPLACES"
"""The environment variable that names a user's rules file, so that worker processes read the same one."""

OWN_FILE = Path(__file__).with_name("marketplaces.json")

Level = Literal["fail", "warning"]

NUMBERS = frozenset(
    {
        "longest_side",
        "shortest_side",
        "width",
        "height",
        "side_sum",
        "megapixels",
        "ratio",
        "bytes",
        "frames",
        "depth",
        "jpeg_quality",
        "fill",
        "area_share",
        "not_white",
        "ringing",
        "ground_level",
        "ground_spread",
        "border_sides",
        "transparent_pixels",
        "shadow_share",
        "sharpness",
        "clipped_share",
    }
)
CHOICES = frozenset({"format", "mode", "profile", "ai_label"})
FLAGS = frozenset({"extension_fits", "text", "watermark"})
MEASURES = NUMBERS | CHOICES | FLAGS
"""What a rule may be about: names of `measuring.Measures`, and those that nothing measures yet (text, watermark)."""

_FIGURE = ("source", "read", "confidence", "note")
_RULE = ("measure", "level", "min", "max", "equals", "within", "one_of", "from", "fix", *_FIGURE)
_MARKETPLACE = ("title", "like", "make", "rules")


class RulesError(ProdshotError):
    """A rules file that cannot be used; says the line and the field."""


@dataclass(frozen=True)
class Figure:
    """One value with where it comes from: source, day read (ISO), confidence ('official', 'third party' …). `place`:
    file, line and field of a user's."""

    value: Any
    source: str
    read: str
    confidence: str
    place: str = ""


@dataclass(frozen=True)
class Rule:
    """One requirement: `measure` (see `MEASURES`) within `minimum`..`maximum`, equal to `equals` (numbers within
    `within`), or one of `one_of`. A miss has the status `level`; before the day `since` it is a warning."""

    name: str
    measure: str
    level: Level
    minimum: float | None
    maximum: float | None
    equals: Any
    within: float
    one_of: tuple[str, ...]
    since: date | None
    fix: str
    source: str
    read: str
    confidence: str
    note: str


@dataclass(frozen=True)
class Marketplace:
    """A marketplace: the settings that make a picture for it, and its rules."""

    name: str
    title: str
    make: Mapping[str, Figure]
    rules: tuple[Rule, ...]

    def settings(self) -> dict[str, Any]:
        """The values of `make` by the flat names of their settings."""
        return {name: figure.value for name, figure in self.make.items()}


def marketplaces(file: Path | None = None) -> Mapping[str, Marketplace]:
    """All marketplaces by name: ours, with the user's `file` (else that of `PRODSHOT_MARKETPLACES`) laid over them.

    Raises `RulesError` for a file that cannot be read, naming its line and field.
    """
    named = file or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    return _merged(named, named and _modified(named))


def chosen(text: str, file: Path | None = None) -> tuple[Marketplace, ...]:
    """The marketplaces of a comma-separated list, each once; none for an empty text.

    Raises `RequestError` (field marketplace) with the nearest known names, and as `marketplaces`.
    """
    names = list(dict.fromkeys(word.strip().lower() for word in text.split(",") if word.strip()))
    if not names:
        return ()
    known = marketplaces(file)
    problems = [_unknown(name, known) for name in names if name not in known]
    if problems:
        raise RequestError(problems)
    return tuple(known[name] for name in names)


def _unknown(name: str, known: Mapping[str, Marketplace]) -> FieldProblem:
    near = get_close_matches(name, known, 3, 0.5) or [other for other in known if name[:3] and name[:3] in other]
    nearest = f"; nearest: {', '.join(near)}" if near else ""
    return FieldProblem("marketplace", f"no marketplace is called {name!r}{nearest}", ", ".join(known))


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError as error:
        raise RulesError(f"the marketplaces' file {path} cannot be read: {error.strerror}") from error


@lru_cache(maxsize=8)
def _merged(user: Path | None, modified: float | None) -> Mapping[str, Marketplace]:
    table = _Table(OWN_FILE, {})
    if user is not None:
        table = _Table(user, table.entries)
    return MappingProxyType({name: table.marketplace(name) for name in table.entries})


class _Table:
    """One rules file laid over the entries of another, as plain data; knows the lines of what it says."""

    def __init__(self, path: Path, base: Mapping[str, Any]) -> None:
        self._path = path
        self._is_users = path != OWN_FILE
        self._text = _text_of(path)
        try:
            given = json.loads(self._text, object_pairs_hook=self._once)
        except json.JSONDecodeError as error:
            raise RulesError(f"{path.name}, line {error.lineno}: {error.msg}") from error
        except RecursionError as error:
            raise RulesError(f"{path.name} is nested too deeply") from error
        self._given = self._object(given, ())
        self.entries = dict(base)
        for name in self._given:
            if "," in name or not name.strip() or name != name.strip():
                message = f"{name!r} is no name: without commas, and without spaces around it"
                raise self._error((name,), message)
            self.entries[name.lower()] = self._entry(name)

    def _once(self, pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            places = [match.start() for match in re.finditer(f"{re.escape(json.dumps(twice))}\\s*:", self._text)]
            line = self._text.count("\n", 0, places[-1]) + 1 if places else 1
            raise RulesError(f"{self._path.name}, line {line}, field {twice}: it is given twice")
        return dict(pairs)

    def _entry(self, name: str) -> dict[str, Any]:
        given = self._object(self._given[name], (name,))
        self._known(given, _MARKETPLACE, (name,))
        like = given.get("like", name)
        if not isinstance(like, str) or ("like" in given and like.lower() not in self.entries):
            raise self._error((name, "like"), f"no marketplace is called {like!r}", ", ".join(self.entries))
        base = self.entries.get(like.lower(), {"title": name, "make": {}, "rules": {}})
        title = given.get("title", base["title"])
        if not isinstance(title, str):
            raise self._error((name, "title"), f"{title!r} is not text")
        return {"title": title, **{part: self._part(base[part], given, (name, part)) for part in ("make", "rules")}}

    def _part(self, base: Mapping[str, Any], given: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
        """The figures of `make` or `rules`: those of the base, changed as the file says."""
        merged = dict(base)
        allowed = ("value", *_FIGURE) if path[-1] == "make" else _RULE
        for key, change in self._object(given.get(path[-1], {}), path).items():
            if change is None:
                merged.pop(key, None)
                continue
            where = (*path, key)
            fields = self._object(change, where)
            self._known(fields, allowed, where)
            told = {"source": f"{self._path.name}", "read": "", "confidence": "user", "note": "", **fields}
            merged[key] = {**merged.get(key, {}), **told, "place": self._place(where) if self._is_users else ""}
            self._validate(merged[key], where)
        return merged

    def _validate(self, figure: Mapping[str, Any], where: tuple[str, ...]) -> None:
        for field in (*_FIGURE, "fix"):
            if not isinstance(figure.get(field, ""), str):
                raise self._error((*where, field), f"{figure[field]!r} is not text")
        if where[1] == "make":
            if not isinstance(figure.get("value"), (str, int, float)):
                raise self._error((*where, "value"), "a setting's value is missing", "text, a number, true or false")
            return
        for field, message, allowed in _rule_problems(figure):
            raise self._error((*where, field), message, allowed)

    def marketplace(self, name: str) -> Marketplace:
        """The marketplace `name` as an object."""
        entry = self.entries[name]
        make = {
            key: Figure(each["value"], *(each.get(f, "") for f in (*_FIGURE[:3], "place")))
            for key, each in entry["make"].items()
        }
        return Marketplace(name, entry["title"], make, tuple(_rule(key, each) for key, each in entry["rules"].items()))

    def _object(self, value: Any, where: tuple[str, ...]) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            raise self._error(where, f"{str(value)[:40]!r} is not an object of fields by name")
        return value

    def _known(self, given: Mapping[str, Any], allowed: Sequence[str], where: tuple[str, ...]) -> None:
        for field in given:
            if field not in allowed:
                near = get_close_matches(field, allowed, 1)
                hint = f"; nearest: {near[0]}" if near else ""
                raise self._error((*where, field), f"unknown field{hint}", ", ".join(allowed))

    def _error(self, where: tuple[str, ...], message: str, allowed: str = "") -> RulesError:
        told = f" (allowed: {allowed})" if allowed else ""
        return RulesError(f"{self._place(where)}: {message}{told}")

    def _place(self, where: tuple[str, ...]) -> str:
        field = f", field {'.'.join(where)}" if where else ""
        return f"{self._path.name}, line {_line_of(self._text, where)}{field}"


def _rule_problems(rule: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Field, message and what is allowed, for each thing that is wrong with a rule."""
    measure = rule.get("measure")
    if measure is None:
        yield "measure", "there is none, nor a rule of this name that would be changed", _in_a_row(MEASURES)
        return
    if measure not in MEASURES:
        near = get_close_matches(str(measure), MEASURES, 1)
        yield (
            "measure",
            f"nothing measures {measure!r}" + (f"; nearest: {near[0]}" if near else ""),
            _in_a_row(MEASURES),
        )
        return
    if rule.get("level", "fail") not in ("fail", "warning"):
        yield "level", f"{rule['level']!r} is no level", "fail, warning"
    comparisons, fits, kind = _comparison_of(str(measure))
    for field in ("min", "max", "equals", "within", "one_of"):
        if field not in rule:
            continue
        if field not in comparisons:
            yield field, f"{measure} is compared by {' or '.join(comparisons)}", ""
        elif not fits(rule[field]):
            yield field, f"{rule[field]!r} is not {kind}", ""
    if all(_is_number(rule.get(field)) for field in ("min", "max")) and rule["min"] > rule["max"]:
        yield "min", f"{rule['min']!r} is above max, {rule['max']!r}: nothing passes", ""
    if not {"min", "max", "equals", "one_of"} & set(rule):
        yield "measure", f"the rule says no figure for {measure}", ", ".join(comparisons)
    if "from" in rule and not _is_day(rule["from"]):
        yield "from", f"{rule['from']!r} is not a day", "such as 2027-01-31"


def _comparison_of(measure: str) -> tuple[tuple[str, ...], Callable[[Any], bool], str]:
    if measure in CHOICES:
        return ("one_of",), _is_list_of_texts, "a list of texts"
    if measure in FLAGS:
        return ("equals",), lambda value: isinstance(value, bool), "true or false"
    return ("min", "max", "equals", "within"), _is_number, "a number"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < float("inf")


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, str) for each in value)


def _is_day(value: Any) -> bool:
    try:
        return bool(date.fromisoformat(value))
    except (TypeError, ValueError):
        return False


def _in_a_row(names: frozenset[str]) -> str:
    return ", ".join(sorted(names))


def _rule(name: str, rule: Mapping[str, Any]) -> Rule:
    return Rule(
        name,
        rule["measure"],
        rule.get("level", "fail"),
        rule.get("min"),
        rule.get("max"),
        rule.get("equals"),
        rule.get("within", 0.0),
        tuple(rule.get("one_of", ())),
        date.fromisoformat(rule["from"]) if "from" in rule else None,
        *(rule.get(field, "") for field in ("fix", *_FIGURE)),
    )


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise RulesError(f"the marketplaces' file {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RulesError(f"the marketplaces' file {path} is not text in UTF-8") from error


def _line_of(text: str, where: Sequence[str]) -> int:
    """The line of a field: of the last part of its path that the text names, each looked for behind its parent."""
    place = 0
    for key in where:
        found = re.compile(f"{re.escape(json.dumps(key, ensure_ascii=False))}\\s*:").search(text, place)
        if found is None:
            break
        place = found.start() + 1
    return text.count("\n", 0, place) + 1
