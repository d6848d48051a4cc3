"""Presets: settings under a name, one JSON file each, to be saved, loaded and passed on. Strict like every request."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_prodshot.errors import FieldProblem, OutputError, RequestError
from lib_prodshot.request import Request

FORMAT = 1
MAX_BYTES = 64 * 1024

_NO_PRESET = "this is not a preset of Prodshot: "

_NAME = re.compile(r"[^\W_][\w .,()+-]{0,59}", re.UNICODE)
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}
"""Names that Windows gives to devices, with any extension."""


@dataclass(frozen=True)
class Preset:
    """A name and the request it stands for."""

    name: str
    request: Request

    def to_text(self) -> str:
        """The preset as the JSON that files hold and people pass on; every setting is written out."""
        content = {"prodshot_preset": FORMAT, "name": self.name, "settings": self.request.to_dict()}
        return json.dumps(content, ensure_ascii=False, indent=2) + "\n"


def from_text(text: str) -> Preset:
    """Read a preset's JSON. Settings that it does not hold stand at their defaults.

    Raises `RequestError`: no JSON, not a preset, another format, a name that cannot be a file's, or settings that
    the schema refuses (each named).
    """
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise _problem(f"it is larger than {MAX_BYTES // 1024} KB")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _problem("it is not JSON") from error
    if not isinstance(content, dict) or "prodshot_preset" not in content:
        raise _problem("it has no 'prodshot_preset' in it")
    if content["prodshot_preset"] != FORMAT:
        raise _problem(f"its format {content['prodshot_preset']!r} is not {FORMAT}, the one known here")
    unknown = [str(key) for key in content if key not in ("prodshot_preset", "name", "settings")]
    if unknown:
        raise _problem(f"{unknown[0]!r} does not belong into a preset", "prodshot_preset, name, settings")
    stored = content.get("settings")
    if not isinstance(stored, dict):
        raise _problem("its 'settings' are not a table of names and values")
    return Preset(check_name(content.get("name")), Request(**stored))


def check_name(name: object) -> str:
    """The name, trimmed. Raises `RequestError` unless it can be a file's name on every system."""
    text = name.strip() if isinstance(name, str) else ""
    if not _NAME.fullmatch(text) or text.endswith(".") or text.split(".")[0].strip().lower() in _RESERVED:
        message = "the preset's name must be 1 to 60 letters, digits, spaces or . , ( ) + - _ and begin with a letter"
        raise RequestError([FieldProblem("name", f"{message} or digit")])
    return text


def _problem(message: str, allowed: str = "") -> RequestError:
    return RequestError([FieldProblem("preset", f"{_NO_PRESET}{message}", allowed)])


@dataclass(frozen=True)
class ShippedPreset:
    """A preset that comes with Prodshot, and the LoRA without which it is not offered."""

    preset: Preset
    lora: str


SHIPPED = (
    # the seed author's template and sampling, from his published repository PSRahul/product_photo_with_lora_sd
    ShippedPreset(
        Preset(
            "ppzocketv2 (seed)",
            Request(
                engine="inpaint",
                prompt="ppzocketv2, [class], stylish, studio photography, product photography, ultra realistic, "
                "<lora:ppzocketv2-10:1>",
                resolution=512,
                steps=20,
                cfg_scale=7.0,
                sampler="DPM++ 2M",
                scheduler="Karras",
            ),
        ),
        "ppzocketv2-10",
    ),
)


@dataclass(frozen=True)
class PresetStore:
    """The folder in which presets lie, `NAME.json` each, and the `shipped` ones that are offered beside them; a file of
    the same name goes before a shipped one."""

    folder: Path
    shipped: tuple[Preset, ...] = ()

    def names(self) -> list[str]:
        """What there is, sorted; files with names that are not presets' are passed by. The shipped ones alone for a
        folder that cannot be read: `trouble` says so."""
        try:
            stems = [path.stem for path in self.folder.iterdir() if path.suffix == ".json" and not path.is_dir()]
        except OSError:
            stems = []
        known = {*(stem for stem in stems if _is_name(stem)), *(preset.name for preset in self.shipped)}
        return sorted(known, key=str.casefold)

    def trouble(self) -> str:
        """Why the presets that there may be cannot be listed; empty when they can, or when there is no folder yet."""
        try:
            next(self.folder.iterdir(), None)
        except FileNotFoundError:
            return ""
        except OSError as error:
            return f"the presets in {self.folder} cannot be read: {(error.strerror or str(error)).lower()}"
        return ""

    def load(self, name: str) -> Preset:
        """Raises `RequestError` when there is no such preset, or when its file cannot be read as one, which stays."""
        path = self._path(name)
        if not os.path.lexists(path):
            return self._shipped(name)
        try:
            text = path.read_text(encoding="utf-8") if path.stat().st_size <= MAX_BYTES else " " * (MAX_BYTES + 1)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise RequestError([FieldProblem("preset", f"the preset {name!r} cannot be read: {reason}")]) from error
        except UnicodeDecodeError as error:
            raise _problem(f"{path.name} is not UTF-8 (byte {error.start})") from error
        return from_text(text)

    def save(self, name: str, values: Mapping[str, Any]) -> Preset:
        """Write `values` under `name`, in place of a former preset of that name. A file of that name that cannot be
        read as a preset stays as it is.

        Raises `RequestError` (name or values), `OutputError` when the folder cannot be written, or when what is there
        is to be kept.
        """
        preset = Preset(check_name(name), Request(**values))
        self._refuse_foreign(preset.name)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            _write(self._path(preset.name), preset.to_text())
        except OSError as error:
            raise OutputError(f"the preset could not be written: {error.strerror}") from error
        return preset

    def delete(self, name: str) -> None:
        """Remove a preset; one that is not there counts as removed. Raises `RequestError` (a shipped one among them),
        `OutputError`."""
        path = self._path(name)
        if not os.path.lexists(path) and any(preset.name == check_name(name) for preset in self.shipped):
            raise RequestError([FieldProblem("preset", f"{name!r} comes with Prodshot and cannot be deleted")])
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"the preset could not be removed: {error.strerror}") from error

    def _shipped(self, name: str) -> Preset:
        found = next((preset for preset in self.shipped if preset.name == check_name(name)), None)
        if found is None:
            raise RequestError([FieldProblem("preset", f"there is no preset {name!r}")])
        return found

    def _refuse_foreign(self, name: str) -> None:
        path = self._path(name)
        if not os.path.lexists(path):
            return
        try:
            self.load(name)
        except RequestError as error:
            reason = error.problems[0].message.removeprefix(_NO_PRESET)
            advice = "save under another name, or delete it first"
            raise OutputError(
                f"{path.name} is there, stays as it is, and is no preset known here: {reason}; {advice}"
            ) from error

    def _path(self, name: str) -> Path:
        return self.folder / f"{check_name(name)}.json"


def _is_name(stem: str) -> bool:
    try:
        return check_name(stem) == stem
    except RequestError:
        return False


def _write(path: Path, text: str) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".prodshot-", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
