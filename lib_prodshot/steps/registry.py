"""Which steps there are, in the order in which a picture goes through them.

A new step is one file in this folder and one line here: its settings then appear in `Request`, on the command line, in
the API and its OpenAPI document, on the panel, in infotext, presets and X/Y/Z axes, in the fingerprint of folder jobs
and in the tables of the docs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from lib_prodshot.outcome import INFOTEXT_KEYS
from lib_prodshot.schema import RESERVED_NAMES, Setting, settings_of
from lib_prodshot.steps.clean_up import CleanUpStep
from lib_prodshot.steps.cutout import CutOutStep
from lib_prodshot.steps.edit import EditStep
from lib_prodshot.steps.find import FindStep
from lib_prodshot.steps.frame import FrameStep
from lib_prodshot.steps.gates import GatesStep
from lib_prodshot.steps.ground import ComposeStep
from lib_prodshot.steps.inpaint import InpaintStep
from lib_prodshot.steps.interface import Step
from lib_prodshot.steps.lock_detail import DetailLockStep
from lib_prodshot.steps.mask import MaskStep
from lib_prodshot.steps.preserve import PreserveStep
from lib_prodshot.steps.provenance import ProvenanceStep
from lib_prodshot.steps.retouch import RetouchStep
from lib_prodshot.steps.scene import SceneStep
from lib_prodshot.steps.scene_gate import SceneGateStep
from lib_prodshot.steps.shadow import ShadowStep
from lib_prodshot.steps.shop import ShopStep

STEPS: tuple[Step[Any], ...] = (
    FindStep(),
    MaskStep(),
    CleanUpStep(),
    RetouchStep(),
    InpaintStep(),
    EditStep(),
    DetailLockStep(),
    PreserveStep(),
    GatesStep(),
    CutOutStep(),
    FrameStep(),
    SceneStep(),
    SceneGateStep(),
    ShadowStep(),
    ComposeStep(),
    ShopStep(),
    ProvenanceStep(),
)


def settings_by_step() -> Mapping[str, tuple[Setting, ...]]:
    """The settings of each step by its id, in the order of the steps and of their models.

    Raises TypeError when two settings share a name or an infotext key, or one has a name or key that entry points use
    for something else: an error of whoever adds a step.
    """
    return _by_step(STEPS)


def all_settings() -> tuple[Setting, ...]:
    """The settings of all steps: those that may be given by position first, in the order of their steps."""
    return _in_order(STEPS)


def webui_engines() -> frozenset[str]:
    """The engines that are models of a WebUI."""
    return frozenset(step.engine for step in STEPS if step.on_webui)


@lru_cache(maxsize=4)
def _by_step(steps: tuple[Step[Any], ...]) -> Mapping[str, tuple[Setting, ...]]:
    borrowed = frozenset(name for step in steps for name in step.borrows)
    groups = {step.id: tuple(_completed(step, known, borrowed) for known in _own(step)) for step in steps}
    _refuse_collisions([known for group in groups.values() for known in group], [step.id for step in steps])
    return MappingProxyType(groups)


@lru_cache(maxsize=4)
def _in_order(steps: tuple[Step[Any], ...]) -> tuple[Setting, ...]:
    table = [known for group in _by_step(steps).values() for known in group]
    return tuple(sorted(table, key=lambda known: known.named_only))


def _own(step: Step[Any]) -> tuple[Setting, ...]:
    return settings_of(step.settings, f"{step.id}_" if step.prefix is None else step.prefix)


def _completed(step: Step[Any], known: Setting, borrowed: Collection[str]) -> Setting:
    # the choice of the engine itself is never hidden with an engine's settings
    engine = "" if known.name == "engine" else step.engine
    # and the choice of what is made not with what one of the two needs
    is_shared = known.name == "make" or known.name in borrowed
    made = () if is_shared or not step.make else (("make", (step.make,)),)
    return replace(
        known,
        when=(*made, *known.when),
        owner=step.id,
        section=known.section or step.id,
        tab=step.tab,
        engine=engine,
        named_only=known.named_only or step.prefix is None,
    )


def _refuse_collisions(known: Sequence[Setting], ids: Sequence[str]) -> None:
    names = [*(each.name for each in known), *ids, *RESERVED_NAMES]
    # a reader of infotexts may not tell upper from lower case
    keys = [key.lower() for key in (*(each.infotext for each in known), *INFOTEXT_KEYS)]
    for words in (names, keys):
        twice = sorted({word for word in words if words.count(word) > 1})
        if twice:
            raise TypeError(f"two settings, steps or entry points share the name {', '.join(twice)}")
