"""Where each setting stands on the panel: what every picture needs in front, all others under Advanced on the tab of
their step, in the fold and with the engine that they name."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lib_prodshot.request import Setting, setting_named, settings

PRODUCTS = "products"

WHAT_TO_MAKE = ("make", "engine")
"""The row "What to make": first what becomes of the picture, then how."""

DECISIVE = ("make", "engine", "ground")
"""The settings that decide which groups of settings have a meaning."""

STRENGTHS = {"retouch": "strength", "inpaint": "denoising_strength", "edit": "edit_instruction"}
"""The one setting that stands in front, by engine: how strongly, or what."""

PACKSHOT = ("marketplace", "ground", "ground_colour", "ground_picture", "scene", "edges", "shadow")
"""What a seller sets of a packshot, in front while one is made."""


GATES = "gates"
"""The section of the gates' settings."""


def what_to_make() -> list[Setting]:
    """The settings of the row "What to make"."""
    return [setting_named(name) for name in WHAT_TO_MAKE]


def packshot() -> list[Setting]:
    """The settings of a packshot that stand in front."""
    return [setting_named(name) for name in PACKSHOT]


def runs_with(known: Setting) -> str:
    """What must run for the setting to have a meaning, as `Request.running_engine` names it; empty: anything. Gates
    look at whatever is painted, be it the product or a scene around it."""
    if known.section == GATES:
        return GATES
    return "packshot" if ("make", ("packshot",)) in known.when else known.engine


def kept() -> list[Setting]:
    """What else is kept beside the result: these stand in front, beside what the result is."""
    return [known for known in settings() if known.webui_only]


def _in_front(known: Setting) -> bool:
    return known.webui_only or known.name in (PRODUCTS, *WHAT_TO_MAKE, *STRENGTHS.values(), *PACKSHOT)


def tabs() -> tuple[str, ...]:
    """The tabs under Advanced, in the order of the steps; a step whose settings all stand in front has none."""
    return tuple(dict.fromkeys(known.tab for known in settings() if not _in_front(known)))


def on_tab(tab: str) -> list[Setting]:
    """The settings of one tab, in schema order, without what stands in front."""
    return [known for known in settings() if known.tab == tab and not _in_front(known)]


def grouped(wanted: Iterable[Setting], key: Callable[[Setting], str]) -> dict[str, list[Setting]]:
    """Settings by one trait of theirs, the plain ones ("") first."""
    groups: dict[str, list[Setting]] = {"": []}
    for known in wanted:
        groups.setdefault(key(known), []).append(known)
    return {trait: found for trait, found in groups.items() if found}
