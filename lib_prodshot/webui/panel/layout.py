"""Where each setting stands on the panel: on the tab of its step, in the fold and with the engine that it names."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lib_prodshot.request import Setting, settings

HEAD = ("products", "engine")
"""What stands above the tabs."""


def tabs() -> tuple[str, ...]:
    """The panel's tabs, in the order of the steps."""
    return tuple(dict.fromkeys(known.tab for known in settings()))


def on_tab(tab: str) -> list[Setting]:
    """The settings of one tab, in schema order, without the panel's head."""
    return [known for known in settings() if known.tab == tab and known.name not in HEAD]


def grouped(wanted: Iterable[Setting], key: Callable[[Setting], str]) -> dict[str, list[Setting]]:
    """Settings by one trait of theirs, the plain ones ("") first."""
    groups: dict[str, list[Setting]] = {"": []}
    for known in wanted:
        groups.setdefault(key(known), []).append(known)
    return {trait: found for trait, found in groups.items() if found}
