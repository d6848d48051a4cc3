"""What sd-scripts finds in a folder of photographs, and what it passes over without a word.

Source: `IMAGE_EXTENSIONS`, `glob_images` and `read_caption` in the `library/train_util.py` of sd-scripts v0.10.1.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from lib_prodshot.errors import PictureError

_PLAIN = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
FOUND_SUFFIXES = frozenset(os.path.normcase(suffix) for one in _PLAIN for suffix in (one, one.upper()))
"""Extensions that sd-scripts looks for: all small or all capital letters (any mixture on Windows)."""

PICTURE_SUFFIXES = frozenset(
    (
        *_PLAIN,
        ".jpe",
        ".jfif",
        ".tif",
        ".tiff",
        ".gif",
        ".heic",
        ".heif",
        ".avif",
        ".jxl",
        ".jp2",
        ".psd",
        ".dng",
        ".raw",
    )
)
"""Extensions of files that somebody may take for training pictures."""

NOT_STRAY = frozenset((".txt", ".caption", ".npz", ".toml", ".json"))


@dataclass(frozen=True)
class Listing:
    """The files of one folder: `photographs` as sd-scripts finds and orders them, pictures that it would `miss`
    and why, and `strays`, which have no business there."""

    photographs: tuple[Path, ...]
    missed: tuple[tuple[Path, str], ...]
    strays: tuple[Path, ...]


def list_folder(folder: Path, caption_extension: str = ".txt") -> Listing:
    """List a folder. Raises `PictureError` when there is no such folder or it cannot be read."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise PictureError(f"{folder} cannot be read as a folder of photographs: {error.strerror}") from error
    photographs: list[Path] = []
    missed: list[tuple[Path, str]] = []
    strays: list[Path] = []
    for path in entries:
        if path.is_dir():
            missed += [
                (inside, "it is in a folder below, which sd-scripts does not look into")
                for inside in _pictures_in(path)
            ]
        elif path.name.startswith("."):
            if path.suffix.lower() in PICTURE_SUFFIXES:
                missed.append((path, "its name begins with a dot"))
        elif os.path.normcase(path.suffix) in FOUND_SUFFIXES:
            photographs.append(path)
        elif path.suffix.lower() in PICTURE_SUFFIXES:
            missed.append((path, _why_missed(path)))
        elif path.suffix.lower() not in NOT_STRAY and path.suffix != caption_extension:
            strays.append(path)
    # sd-scripts sorts whole paths as text
    return Listing(tuple(sorted(photographs, key=str)), tuple(missed), tuple(strays))


def caption_file(photograph: Path, extension: str = ".txt") -> Path | None:
    """The file that sd-scripts reads a photograph's caption from, or None.

    A name of five or more parts joined by '_' (the folders count too) also falls back to the name without its last
    four parts, which face detectors add.
    """
    base = str(photograph.with_suffix(""))
    parts = base.split("_")
    without_face = "_".join(parts[:-4]) if len(parts) >= 5 else base
    candidates = [Path(one + extension) for one in (base, without_face)]
    return next((path for path in candidates if path.is_file()), None)


def _why_missed(path: Path) -> str:
    if path.suffix.lower() in _PLAIN:
        return f"sd-scripts finds {path.suffix.lower()} and {path.suffix.upper()}, not {path.suffix}: rename it"
    return f"sd-scripts does not read {path.suffix}: save it as JPEG or PNG"


def _pictures_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES)
