"""Inpainting backend that runs passes on a remote WebUI, through its own img2img route.

Prodshot need not be installed there; if it is, it reports whether ControlNet was applied.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from lib_prodshot import control
from lib_prodshot.errors import EnhanceError
from lib_prodshot.hosts.generation.attributes import REPORT_CONTROL
from lib_prodshot.hosts.remote import RemoteError, RemoteWebUI
from lib_prodshot.inpainting import (
    ControlLists,
    Family,
    InpaintPass,
    PassDefaults,
    PassInterrupted,
    PassResult,
    UsedModels,
    pass_picture,
)
from lib_prodshot.outcome import CONTROL_APPLIED, CONTROL_REASON

_NO_PICTURE = "the WebUI answered something that is not a picture"

_GRID = 64
"""A fork may round a pass's size to its own grid of so many pixels."""

Progress = Callable[[float], None]
"""Called with the share done, 0..1."""

_T = TypeVar("_T")


def _encode_png(samples: npt.NDArray[np.uint8]) -> str:
    file = BytesIO()
    Image.fromarray(samples).save(file, "PNG", compress_level=1)
    return base64.b64encode(file.getvalue()).decode()


_OVERRIDES = {
    "overlay_inpaint": False,
    "img2img_color_correction": False,
    "upscaler_for_img2img": "None",
    "return_mask": False,
    "return_mask_composite": False,
    "control_net_no_detectmap": False,
}
"""Settings of a pass, as in a nested one; ControlNet's map in the response shows that it was applied."""


@dataclass
class RemoteInpaintingBackend:
    """Inpainting backend that runs passes on a remote WebUI through its own img2img route.

    `progress` is called with the progress of a pass. Ctrl-C interrupts the remote pass too.
    """

    webui: RemoteWebUI
    defaults: PassDefaults = field(default_factory=PassDefaults)
    progress: Progress = lambda share: None
    interval: float = 1.0
    _seen: dict[str, Any] = field(default_factory=dict, repr=False)

    def family(self, checkpoint: str = "") -> Family:
        """The family of the loaded checkpoint, by the remote Prodshot; of a named one, by its name."""
        if not checkpoint:
            with suppress(RemoteError):
                told = self._once("/prodshot/v1/status").get("family")
                if told in ("sd15", "sd2", "sdxl"):
                    return cast(Family, told)
            with self._parsing():
                checkpoint = str(self._once("/sdapi/v1/options").get("sd_model_checkpoint", ""))
        return control.family_of(checkpoint) or "other"

    def control_lists(self) -> ControlLists | None:
        """The remote ControlNet's models and preprocessors; None if it is not installed."""
        try:
            with self._parsing():
                models = list(self._once("/controlnet/model_list")["model_list"])
                # the names that people and units use (depth_midas); without the question A1111 tells its own (depth)
                modules = list(self._once("/controlnet/module_list?alias_names=true")["module_list"])
                none = next((module for module in modules if module.lower() == "none"), "none")
        except RemoteError as error:
            if error.status == 404:
                return None
            raise
        known = tuple(model for model in models if model != "None")
        return ControlLists(known, tuple(modules), none, 1)

    def missing_loras(self, names: Collection[str]) -> frozenset[str]:
        """Those of these names that no remote LoRA has; all of them if the server has no list."""
        try:
            loras = self.webui.get("/sdapi/v1/loras")
        except RemoteError as error:
            if error.status == 404:
                return frozenset(names)
            raise
        with self._parsing():
            known = {str(lora.get(key)) for lora in loras for key in ("name", "alias")}
        return frozenset(names) - known

    def check(self, sampler: str, scheduler: str, checkpoint: str) -> None:
        """Raise `EnhanceError` for a sampler, scheduler or checkpoint that is not there."""
        with self._parsing():
            if sampler or scheduler:
                self._sampling(sampler or self.defaults.sampler, scheduler)
            if checkpoint:
                self._checkpoint(checkpoint)

    def inpaint(self, plan: InpaintPass) -> PassResult:
        """Run the pass remotely. Raises `PassInterrupted` and `EnhanceError`."""
        try:
            with self._parsing():
                body = self._body(plan)
            reply = self._with_progress(lambda: self.webui.post("/sdapi/v1/img2img", body))
        except RemoteError as error:
            raise EnhanceError(str(error)) from error
        with self._parsing():
            images = reply.get("images") or []
            if not isinstance(images, list):
                raise EnhanceError(_NO_PICTURE)
        if not images:
            raise PassInterrupted("interrupted")
        ran = None if plan.control is None else self._control_ran(reply, len(images) - 1)
        picture, notes = _decode(images[0], plan)
        reason = "" if ran else _reported(reply, CONTROL_REASON, str) or ""
        return PassResult(picture, ran, reason, (*notes, *_lossy_note(images[0])), _used_models(reply))

    @contextmanager
    def _parsing(self) -> Iterator[None]:
        """Context for parsing a response: an unexpected structure raises `EnhanceError`."""
        try:
            yield
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise EnhanceError(f"{self.webui.address} answered something else than a WebUI does; is it one?") from error

    def _control_ran(self, reply: Mapping[str, Any], maps: int) -> bool | None:
        """Whether ControlNet was applied: reported by the remote Prodshot, else by the maps that ControlNet adds to a
        response. The Forge family adds them before it loads the model: there only a missing map is conclusive."""
        seen = _reported(reply, CONTROL_APPLIED, bool)
        if seen is not None:
            return seen
        if maps < 1:
            return False
        with suppress(RemoteError):
            # only Mikubill's extension has this route
            return bool(self._once("/controlnet/version"))
        return None

    def _with_progress(self, work: Callable[[], _T]) -> _T:
        with ThreadPoolExecutor(max_workers=1) as pool:
            pending = pool.submit(work)
            try:
                while not pending.done():
                    with suppress(NotYet):
                        return pending.result(timeout=self.interval)
                    self.progress(self.webui.sampling_progress())
            except KeyboardInterrupt:
                # the pool waits for its thread, and the thread for the server
                self.webui.interrupt()
                raise
            return pending.result()

    def _body(self, plan: InpaintPass) -> dict[str, Any]:
        height, width = plan.mask.shape
        sampler, scheduler = self._sampling(plan.sampler, plan.scheduler)
        known = self._once("/sdapi/v1/options")
        overrides: dict[str, Any] = {key: value for key, value in _OVERRIDES.items() if key in known}
        if plan.checkpoint:
            overrides["sd_model_checkpoint"] = self._checkpoint(plan.checkpoint)
        body: dict[str, Any] = {
            "init_images": [_encode_png(plan.picture)],
            "mask": _encode_png(plan.mask),
            "mask_blur": plan.mask_blur,
            "inpainting_fill": plan.inpainting_fill,
            "inpaint_full_res": False,
            "inpainting_mask_invert": 0,
            "resize_mode": 0,
            "denoising_strength": plan.denoising_strength,
            "prompt": plan.prompt,
            "negative_prompt": plan.negative_prompt,
            "seed": plan.seed,
            "steps": plan.steps,
            "cfg_scale": plan.cfg_scale,
            "sampler_name": sampler,
            "width": width,
            "height": height,
            "override_settings": overrides,
            "override_settings_restore_afterwards": True,
            "save_images": False,
        }
        if scheduler:
            body["scheduler"] = scheduler
        if plan.control is not None:
            unit = {**plan.control, "save_detected_map": True}
            body["alwayson_scripts"] = {"controlnet": {"args": [unit]}, **self._control_report_arguments()}
        return body

    def _control_report_arguments(self) -> dict[str, Any]:
        """Arguments for the remote Prodshot's accordion, switched off, that request a report on ControlNet; empty if it
        is not installed or not shown, for a WebUI rejects an unknown script."""
        with suppress(RemoteError, KeyError, TypeError):
            for script in self._once("/sdapi/v1/script-info"):
                if (script["name"], script["is_alwayson"], script["is_img2img"]) == ("prodshot", True, True):
                    return {"prodshot": {"args": [False, {REPORT_CONTROL: True}]}}
        return {}

    def _sampling(self, sampler: str, scheduler: str) -> tuple[str, str]:
        known = [str(item["name"]) for item in self._once("/sdapi/v1/samplers")]
        try:
            schedules = [str(item["label"]) for item in self._once("/sdapi/v1/schedulers")]
        except RemoteError as error:
            if error.status != 404:
                raise
            # where schedulers are part of the samplers' names
            joined = f"{sampler} {scheduler}".strip()
            return (joined if joined in known else _named("sampler", sampler, known)), ""
        return _named("sampler", sampler, known), _named("scheduler", scheduler, schedules) if scheduler else ""

    def _checkpoint(self, name: str) -> str:
        known = self._once("/sdapi/v1/sd-models")
        for item in known:
            if name.lower() in {str(item.get(key, "")).lower() for key in ("title", "model_name", "hash")}:
                return str(item["title"])
        return _named("checkpoint", name, [str(item["title"]) for item in known])

    def _once(self, path: str) -> Any:
        if path not in self._seen:
            self._seen[path] = self.webui.get(path)
        return self._seen[path]


def _reported(reply: Mapping[str, Any], key: str, kind: type[_T]) -> _T | None:
    """What the remote Prodshot says of ControlNet under this key; None where it says nothing of this kind."""
    with suppress(KeyError, TypeError, ValueError):
        told = json.loads(reply["info"])["extra_generation_params"][key]
        return told if isinstance(told, kind) else None
    return None


def _used_models(reply: Mapping[str, Any]) -> UsedModels:
    """What the server says it sampled with; empty where it says nothing that can be read."""
    with suppress(KeyError, TypeError, ValueError, AttributeError):
        told = json.loads(reply["info"])
        names = ("sd_model_name", "sd_model_hash", "extra_generation_params")
        return UsedModels.told(*(told.get(name) for name in names))
    return UsedModels()


def _named(what: str, name: str, known: Sequence[str]) -> str:
    found = next((other for other in known if other.lower() == name.lower()), None)
    if found is None:
        raise EnhanceError(f"the WebUI has no {what} {name!r}; choose one of {', '.join(known)}")
    return found


def _decode(code: str, plan: InpaintPass) -> tuple[npt.NDArray[np.uint8], tuple[str, ...]]:
    height, width = plan.mask.shape
    try:
        answered = Image.open(BytesIO(base64.b64decode(code.rpartition(",")[2])))
        # told by the header, before anything is decoded
        _check_size(answered.size, (width, height))
        image = answered.convert("RGB")
    except EnhanceError:
        raise
    except Exception as error:  # whatever a decoder raises, the answer is no picture
        raise EnhanceError(_NO_PICTURE) from error
    return pass_picture(image, plan)


def _check_size(size: tuple[int, int], wanted: tuple[int, int]) -> None:
    if any(abs(length - asked) > _GRID for length, asked in zip(size, wanted)):
        told, asked_for = ("×".join(map(str, lengths)) for lengths in (size, wanted))
        raise EnhanceError(f"the WebUI answered a picture of another size, {told} instead of {asked_for}")


def _lossy_note(code: str) -> tuple[str, ...]:
    head = base64.b64decode(code.rpartition(",")[2][:16])
    if head.startswith(b"\x89PNG"):
        return ()
    return ("the WebUI sends its pictures as JPEG or WebP: set its file format for images to png for the full quality",)
