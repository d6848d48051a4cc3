"""What is installed in the WebUI: checkpoints and their families, LoRA files, samplers and schedulers."""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Collection
from importlib import import_module
from pathlib import Path
from typing import Any

from lib_prodshot.errors import EnhanceError
from lib_prodshot.inpainting import Family

_HEADER_LIMIT = 100_000_000
"""The safetensors format's own limit for a header, in bytes."""

_MARKS: tuple[tuple[str, Family], ...] = (
    # tensors that only checkpoints of one family have, as the WebUI's modules/sd_models_config.py tells them apart
    ("conditioner.embedders.1.model.transformer.resblocks", "sdxl"),
    ("conditioner.embedders.0.model.transformer.resblocks", "sdxl"),
    ("cond_stage_model.model.transformer.resblocks", "sd2"),
    ("cond_stage_model.transformer.text_model", "sd15"),
    ("cond_stage_model.transformer.embeddings", "sd15"),
)


def missing_loras(names: Collection[str]) -> frozenset[str]:
    """Which of these names no LoRA file answers to, by file name or alias; the folder is read again before one counts
    as missing. Without the built-in Lora extension all are missing, for nobody would read their tags."""
    networks = sys.modules.get("networks")
    if networks is None or not hasattr(networks, "available_networks"):
        return frozenset(names)
    if _not_among(networks, names):
        networks.list_available_networks()
    return _not_among(networks, names)


def has_lora(name: str) -> bool:
    """Whether a LoRA file answers to this name, by the list as it stands; the folder is not read again."""
    networks = sys.modules.get("networks")
    return networks is not None and hasattr(networks, "available_networks") and not _not_among(networks, [name])


def _not_among(networks: Any, names: Collection[str]) -> frozenset[str]:
    files, aliases = networks.available_networks, getattr(networks, "available_network_aliases", {})
    forbidden = getattr(networks, "forbidden_network_aliases", {})
    known = (name for name in names if name in files or (name in aliases and name.lower() not in forbidden))
    return frozenset(names) - frozenset(known)


def checkpoints() -> tuple[str, ...]:
    """The checkpoints as the WebUI's drop-down names them."""
    return tuple(info.title for info in import_module("modules.sd_models").checkpoints_list.values())


def checkpoint(name: str) -> Any:
    """The WebUI's record of a checkpoint, found by title, file name or hash. Raises `EnhanceError` for an unknown
    one."""
    info = import_module("modules.sd_models").get_closet_checkpoint_match(name)
    if info is None:
        raise EnhanceError(f"there is no checkpoint {name!r}; the WebUI's list has its name")
    return info


def family(name: str) -> Family:
    """The family of a checkpoint; the empty name is the one in use. Told by the loaded model, else by its file."""
    models = import_module("modules.sd_models")
    if name:
        info = models.get_closet_checkpoint_match(name)
    elif (loaded := _family_of_model(models.model_data.sd_model)) != "other":
        return loaded
    else:
        info = _to_be_loaded(models)
    return "other" if info is None else family_of_file(Path(info.filename))


def in_use() -> Any:
    """The record of the checkpoint that is loaded, or will be; None where there is none."""
    models = import_module("modules.sd_models")
    return getattr(models.model_data.sd_model, "sd_checkpoint_info", None) or _to_be_loaded(models)


def _to_be_loaded(models: Any) -> Any:
    """The record of the checkpoint that the WebUI will load: while it starts, and while it has unloaded the one in
    use. It takes its first where its settings name none, as at a new owner's first start, or one that is gone."""
    chosen = str(import_module("modules.shared").opts.data.get("sd_model_checkpoint") or "")
    info = models.get_closet_checkpoint_match(chosen) if chosen else None
    return info or next(iter(models.checkpoints_list.values()), None)


def _family_of_model(model: Any) -> Family:
    if getattr(model, "is_sdxl", False):
        return "sdxl"
    if getattr(model, "is_sd2", False):
        return "sd2"
    return "sd15" if getattr(model, "is_sd1", False) else "other"


def family_of_file(path: Path) -> Family:
    """The family of a .safetensors checkpoint by the names in its header; 'other' for what cannot be told."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            names = json.loads(file.read(length)) if length <= _HEADER_LIMIT else {}
    except (OSError, ValueError, RecursionError, struct.error):
        return "other"
    for mark, found in _MARKS if isinstance(names, dict) else ():
        if any(name.startswith(mark) for name in names):
            return found
    return "other"


def samplers() -> tuple[str, ...]:
    """The samplers as the WebUI names them."""
    return tuple(sampler.name for sampler in import_module("modules.sd_samplers").all_samplers)


def schedulers() -> tuple[str, ...]:
    """The schedulers as the WebUI names them; none on hosts where they are part of the samplers' names."""
    try:
        known = import_module("modules.sd_schedulers").schedulers
    except ImportError:
        return ()
    return tuple(scheduler.label for scheduler in known)


def sampling(sampler: str, scheduler: str) -> tuple[str, str]:
    """Sampler and scheduler in this host's names: 'DPM++ 2M Karras' comes apart where schedulers are of their own,
    and is put together where they are not. Raises `EnhanceError` for one that is not there."""
    known, schedules = samplers(), schedulers()
    if not schedules:
        joined = f"{sampler} {scheduler}".strip()
        return (joined if joined in known else _known("sampler", sampler, known)), ""
    for schedule in schedules:
        if sampler not in known and sampler.lower().endswith(" " + schedule.lower()):
            sampler, scheduler = sampler[: -len(schedule) - 1], schedule
    return _known("sampler", sampler, known), _known("scheduler", scheduler, schedules) if scheduler else ""


def _known(what: str, name: str, known: Collection[str]) -> str:
    found = next((other for other in known if other.lower() == name.lower()), None)
    if found is None:
        raise EnhanceError(f"there is no {what} {name!r}; choose one of {', '.join(known)}")
    return found
