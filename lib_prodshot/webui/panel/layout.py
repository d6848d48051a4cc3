"""Where each setting stands on the panel. A setting named nowhere here stands on the last tab: none can get lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lib_prodshot.request import Setting, settings


@dataclass(frozen=True)
class Place:
    """A tab of the panel, the engine with which the setting is shown (empty: always), and the accordion it folds
    into (empty: none)."""

    tab: str
    engine: str = ""
    fold: str = ""


HEAD = ("products", "engine")
"""What stands above the tabs."""

_SECTIONS = {
    "find": Place("Find"),
    "mask": Place("Mask"),
    "enhance": Place("Enhance", engine="retouch"),
    "inpaint": Place("Enhance", engine="inpaint"),
    "control": Place("Enhance", engine="inpaint", fold="ControlNet"),
    "output": Place("Output"),
}

_SAMPLING = Place("Enhance", engine="inpaint", fold="Sampling")
_SINGLE = dict.fromkeys(("steps", "cfg_scale", "sampler", "scheduler", "seed", "checkpoint"), _SAMPLING)
"""Settings that are taken from the picture's own generation unless set: out of the way."""

TABS = tuple(dict.fromkeys(place.tab for place in _SECTIONS.values()))


def place_of(known: Setting) -> Place:
    """Where a setting stands."""
    return _SINGLE.get(known.name) or _SECTIONS.get(known.section) or Place(TABS[-1])


def on_tab(tab: str) -> list[Setting]:
    """The settings of one tab, in schema order, without the panel's head."""
    return [known for known in settings() if place_of(known).tab == tab and known.name not in HEAD]


def grouped(wanted: Iterable[Setting], key: Callable[[Place], str]) -> dict[str, list[Setting]]:
    """Settings by one trait of their place, the plain ones ("") first."""
    groups: dict[str, list[Setting]] = {"": []}
    for known in wanted:
        groups.setdefault(key(place_of(known)), []).append(known)
    return {trait: found for trait, found in groups.items() if found}
