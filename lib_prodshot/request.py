"""What a caller may say: the settings of all steps as one immutable request.

Every setting is written once, in the settings model of its step (`lib_prodshot.steps`). The CLI's options, the API's
fields, the WebUI's panel, the infotext, the X/Y/Z axes and the presets are drawn from `settings()`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lib_prodshot.errors import FieldProblem, RequestError, unknown_name
from lib_prodshot.products import ProductClass, parse_products, parse_prompts, parse_thresholds
from lib_prodshot.schema import Setting, check_value
from lib_prodshot.steps import registry
from lib_prodshot.steps.clean_up import CleanUpSettings
from lib_prodshot.steps.cutout import CutOutSettings
from lib_prodshot.steps.edit import EditSettings, named_references
from lib_prodshot.steps.find import FindSettings
from lib_prodshot.steps.frame import FrameSettings
from lib_prodshot.steps.gates import GatesSettings
from lib_prodshot.steps.ground import GroundSettings
from lib_prodshot.steps.inpaint import InpaintSettings
from lib_prodshot.steps.interface import S, Step
from lib_prodshot.steps.lock_detail import DetailLockSettings
from lib_prodshot.steps.mask import MaskSettings
from lib_prodshot.steps.preserve import PreserveSettings
from lib_prodshot.steps.provenance import ProvenanceSettings
from lib_prodshot.steps.retouch import RetouchSettings
from lib_prodshot.steps.scene import SceneSettings
from lib_prodshot.steps.scene_gate import SceneGateSettings
from lib_prodshot.steps.shadow import ShadowSettings
from lib_prodshot.steps.shop import ShopSettings

__all__ = ["ProductClass", "Request", "Setting", "check", "parse_products", "setting_named", "settings"]


class Request:
    """What to look for and what to do with it. Immutable and comparable; unknown names and values out of range are
    refused.

    Settings are given flat (`Request(products="car", grow=3)`), by step (`Request(mask={"grow": 3})`), or both, and
    read in the same two ways (`request.grow`, `request.mask.grow`).

    Raises `RequestError` naming every field that is wrong.

    >>> Request(products="car", mask={"grow": 3}).to_dict(only_changed=True)
    {'products': 'car', 'grow': 3}
    """

    find: FindSettings
    mask: MaskSettings
    clean_up: CleanUpSettings
    retouch: RetouchSettings
    inpaint: InpaintSettings
    edit: EditSettings
    lock_detail: DetailLockSettings
    preserve: PreserveSettings
    gates: GatesSettings
    cutout: CutOutSettings
    frame: FrameSettings
    paint_scene: SceneSettings
    gate_scene: SceneGateSettings
    cast_shadow: ShadowSettings
    compose: GroundSettings
    shop: ShopSettings
    declare: ProvenanceSettings

    def __init__(self, **values: Any) -> None:
        checked = check(values)
        groups = registry.settings_by_step()
        for step in registry.STEPS:
            own = {known.field: checked[known.name] for known in groups[step.id] if known.name in checked}
            self.__dict__[step.id] = step.settings(**own)

    def of(self, step: type[Step[S]]) -> S:
        """The settings of one step."""
        options: S = self.__dict__[step.id]
        return options

    def __getattr__(self, name: str) -> Any:
        for known in settings():
            if known.name == name and known.owner in self.__dict__:
                return getattr(self.__dict__[known.owner], known.field)
        raise AttributeError(f"a request has no setting {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        raise TypeError(f"a request cannot be changed; use replace({name}=…)")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Request) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash(tuple(self.to_dict().values()))

    def __repr__(self) -> str:
        return f"Request({', '.join(f'{name}={value!r}' for name, value in self.to_dict(only_changed=True).items())})"

    @classmethod
    def from_arguments(cls, arguments: Sequence[Any], base: Mapping[str, Any] | None = None) -> Request:
        """Build a request from script arguments: values by position, mappings by name, in any mixture.

        A mapping takes up one place and overrides by name whatever stands in the others; `base` holds what the caller
        did not give. None stands for "not given". By position come the settings of the first release, in `settings()`'s
        order; the form is closed: newer ones are given by name, or with all others, as a panel's whole row has them.
        """
        table = settings()
        most = sum(not known.named_only for known in table)
        count = max((place + 1 for place, value in enumerate(arguments) if _is_positional(value)), default=0)
        if count > most and count != len(table):
            message = f"{count} positional values for {most} fields; newer settings are given by name"
            raise RequestError([FieldProblem("script_args", message, f"at most {most} values")])
        given = {known.name: value for known, value in zip(table, arguments) if _is_positional(value)}
        named = [argument for argument in arguments if isinstance(argument, Mapping)]
        return cls(**_merged(base or {}, given, *named))

    def to_dict(self, only_changed: bool = False, base: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """All settings by flat name; `only_changed` leaves out those at their default (as `base` changes it)."""
        pairs = ((known, getattr(self.__dict__[known.owner], known.field)) for known in settings(base))
        return {known.name: value for known, value in pairs if not only_changed or value != known.default}

    def replace(self, **changes: Any) -> Request:
        """A copy with some settings changed, checked like any other request."""
        return Request(**_merged(self.to_dict(), changes))

    def only(self, *products: ProductClass) -> Request:
        """The same request for some of its products alone, with those products' own thresholds and prompts."""
        names = {product.phrases[0]: product.name for product in products}
        thresholds = parse_thresholds(self.find.class_thresholds)

        def prompts(field: str) -> str:
            given = parse_prompts(getattr(self, field), field)
            return "\n".join(f"{names[key]}: {text}" for key, text in given.items() if key in names)

        return self.replace(
            products=", ".join(product.as_text() for product in products),
            boxes=self.find.boxes_of(products),
            class_thresholds=", ".join(f"{names[key]}: {value!r}" for key, value in thresholds.items() if key in names),
            class_prompts=prompts("class_prompts"),
            scene_per_product=prompts("scene_per_product"),
        )

    @property
    def makes_packshot(self) -> bool:
        """Whether the product is cut out and put on a new ground, and not enhanced in its picture."""
        return self.cutout.make == "packshot"

    @property
    def running_engine(self) -> str:
        """The engine that runs: retouch, inpaint (a packshot's scene needs it too) or edit; 'packshot' where none
        does."""
        if not self.makes_packshot:
            return self.retouch.engine
        return "inpaint" if self.compose.ground == "scene" else "packshot"

    @property
    def uses_webui(self) -> bool:
        """Whether something is painted by a WebUI's model."""
        return self.running_engine in registry.webui_engines()

    @property
    def pass_models(self) -> tuple[str, str, str]:
        """Sampler, scheduler and checkpoint of the passes, each empty where the host's own is taken."""
        options: Any = self.edit if self.running_engine == "edit" else self.inpaint
        return options.sampler, options.scheduler, options.checkpoint

    @property
    def seed_setting(self) -> str:
        """The name of the setting that holds the seed of the passes."""
        return "edit_seed" if self.running_engine == "edit" else "seed"

    @property
    def reference_files(self) -> tuple[str, ...]:
        """The files of further pictures that an edit model is shown, which the caller must read."""
        return named_references(self.edit.references) if self.running_engine == "edit" else ()

    @property
    def edits_scene(self) -> bool:
        """Whether everything but the product is edited."""
        return self.running_engine == "edit" and self.edit.scope == "scene"

    @property
    def needs_reference(self) -> bool:
        """Whether all pictures must be measured before the first is framed, for one scale."""
        return self.makes_packshot and self.frame.same_scale and not self.frame.reference

    @property
    def needs_ground_picture(self) -> bool:
        """Whether packshots stand on a picture that the caller must read."""
        return self.makes_packshot and self.compose.ground == "picture"

    @property
    def needs_upscaler(self) -> bool:
        """Whether packshots are enlarged by a model that the caller must give."""
        return self.makes_packshot and self.frame.enlarge == "model"

    @property
    def keeps_picture(self) -> bool:
        """Whether a scene is painted around the whole picture, and not around the product alone."""
        return self.compose.ground == "scene" and self.paint_scene.scene_keep == "picture"

    @property
    def classes(self) -> tuple[ProductClass, ...]:
        """The products as classes with synonyms and thresholds. Raises `RequestError` when there are none."""
        return self.find.classes

    @property
    def prompts(self) -> dict[str, str]:
        """The prompt templates of single products, by the first phrase of their class."""
        return self.inpaint.prompts


def _is_positional(value: Any) -> bool:
    return value is not None and not isinstance(value, Mapping)


def _merged(*sources: Mapping[str, Any]) -> dict[str, Any]:
    """One flat table of values; what comes later goes first. Groups by step are taken apart."""
    merged: dict[str, Any] = {}
    for source in sources:
        flat, problems = _flat(source)
        if problems:
            raise RequestError(problems)
        merged.update(flat)
    return merged


def _flat(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[FieldProblem]]:
    """The values by flat name, and the problems of those that cannot be placed."""
    groups = registry.settings_by_step()
    flat: dict[str, Any] = {}
    problems: list[FieldProblem] = []
    for name, value in values.items():
        if name not in groups:
            flat[name] = value
            continue
        if not isinstance(value, Mapping):
            problems.append(FieldProblem(name, f"{value!r} is not an object of settings by name"))
            continue
        own = {alias: known.name for known in groups[name] for alias in (known.field, known.name)}
        for inner, given in value.items():
            if inner not in own:
                problems.append(unknown_name(str(inner), list(own), field=f"{name}.{inner}"))
            elif own[inner] in values or own[inner] in flat:
                problems.append(FieldProblem(f"{name}.{inner}", f"given twice, also as {own[inner]}"))
            else:
                flat[own[inner]] = given
    return flat, problems


def settings(base: Mapping[str, Any] | None = None) -> tuple[Setting, ...]:
    """All settings as a table; `base` puts other defaults in place (such as `WEBUI_BASE`)."""
    table = registry.all_settings()
    if not base:
        return table
    return tuple(replace(known, default=base.get(known.name, known.default)) for known in table)


def setting_named(name: str, base: Mapping[str, Any] | None = None) -> Setting:
    """One field of the schema. Raises KeyError for an unknown name."""
    for known in settings(base):
        if known.name == name:
            return known
    raise KeyError(name)


WEBUI_BASE: Mapping[str, Any] = {
    known.name: known.webui_default for known in settings() if known.webui_default is not None
}
"""What differs where a WebUI is at hand: its panel, script arguments and routes start from here, the CLI from the
settings' own defaults."""


def check(values: Mapping[str, Any]) -> dict[str, Any]:
    """Check names, types and ranges of `values`; returns them by flat name, in the schema's own types.

    Numbers are accepted for numbers only (not as text), whole floats for whole numbers (sliders send 4.0), a list
    of names for products. Raises `RequestError` with one problem for each wrong field.
    """
    table = {known.name: known for known in settings()}
    flat, problems = _flat(values)
    accepted: dict[str, Any] = {}
    for name, value in flat.items():
        if name not in table:
            problems.append(unknown_name(str(name), list(table)))
            continue
        try:
            accepted[name] = check_value(table[name], value)
        except ValueError as error:
            problems.append(FieldProblem(name, str(error), table[name].allowed))
    problems.extend(_conflicts(accepted))
    if problems:
        raise RequestError(problems)
    return accepted


def _conflicts(accepted: Mapping[str, Any]) -> Iterator[FieldProblem]:
    for step in registry.STEPS:
        yield from step.settings.conflicts(accepted)
