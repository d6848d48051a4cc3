"""Lists a dataset folder as sd-scripts does: photographs, captions, and the files that it ignores silently.

Source: `IMAGE_EXTENSIONS`, `glob_images` and `read_caption` in the `library/train_util.py` of sd-scripts v0.10.1.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lib_prodshot.errors import PictureError
from lib_prodshot.jobs.files.reading import entries_of, is_file, is_folder, status

_PLAIN = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
SD_SCRIPTS_SUFFIXES = frozenset(os.path.normcase(suffix) for one in _PLAIN for suffix in (one, one.upper()))
"""Extensions that sd-scripts looks for: all small or all capital letters (any mixture on Windows)."""

PICTURE_SUFFIXES = frozenset(
    {*_PLAIN, ".jpe", ".jfif", ".tif", ".tiff", ".gif", ".heic", ".heif", ".avif", ".jxl", ".jp2", ".psd"}
    | {".dng", ".raw"}
)
"""Extensions of files that somebody may take for training pictures."""

RELATED_SUFFIXES = frozenset((".npz", ".toml", ".json"))

_CAPTIONS = (".txt", ".caption")
"""Extensions that programs give to captions; sd-scripts' own default is .caption, the seed's is .txt."""


@dataclass(frozen=True)
class MisnamedCaption:
    """A caption next to its photograph under a name that is not read; `expected` is the one that is."""

    file: Path
    photograph: Path
    expected: Path

    @property
    def advice(self) -> str:
        """What to do about it."""
        if os.path.lexists(self.expected):
            return f"{self.expected.name} is there too, and is the one"
        same = self.file.stem == self.photograph.stem and self.file.suffix in _CAPTIONS
        other = f", or set caption_extension to {self.file.suffix}" if same else ""
        return f"rename it to {self.expected.name}{other}"


@dataclass(frozen=True)
class Listing:
    """The files of one folder: `photographs` as sd-scripts finds and orders them, pictures that it would `miss`
    and why, `unrelated`, which have no business there, captions `misnamed` a photograph under another name than the one
    that is read, `orphaned_captions`, which are captions of no picture, and folders below that are `unreachable` and
    why."""

    photographs: tuple[Path, ...]
    ignored: tuple[tuple[Path, str], ...]
    unrelated: tuple[Path, ...]
    misnamed: tuple[MisnamedCaption, ...] = ()
    orphaned_captions: tuple[Path, ...] = ()
    unreachable: tuple[tuple[Path, str], ...] = ()


def list_folder(folder: Path, caption_extension: str = ".txt") -> Listing:
    """List a folder. Raises `PictureError` when there is no such folder or it cannot be read."""
    try:
        entries = entries_of(folder)
    except OSError as error:
        raise PictureError(f"{folder} cannot be read as a folder of photographs: {error.strerror}") from error
    photographs: list[Path] = []
    ignored: list[tuple[Path, str]] = []
    unrelated: list[Path] = []
    captions: list[Path] = []
    errors: list[OSError] = []
    endings = {*_CAPTIONS, caption_extension.lower()}
    for path in entries:
        if is_folder(path):
            ignored += [
                (inside, "it is in a folder below, which sd-scripts does not look into")
                for inside in pictures_below(path, errors.append)
            ]
        elif path.name.startswith("."):
            if path.suffix.lower() in PICTURE_SUFFIXES:
                ignored.append((path, "its name begins with a dot"))
        elif os.path.normcase(path.suffix) in SD_SCRIPTS_SUFFIXES:
            photographs.append(path)
        elif path.suffix.lower() in PICTURE_SUFFIXES:
            ignored.append((path, _why_ignored(path)))
        elif path.suffix.lower() in endings:
            captions.append(path)
        elif path.suffix.lower() not in RELATED_SUFFIXES:
            unrelated.append(path)
    # sd-scripts sorts whole paths as text
    photographs.sort(key=str)
    misnamed, orphaned_captions = _sort_captions(
        captions, photographs, [path for path, _ in ignored], caption_extension
    )
    return Listing(
        tuple(photographs),
        tuple(ignored),
        tuple(unrelated),
        tuple(misnamed),
        tuple(orphaned_captions),
        tuple((Path(error.filename), error.strerror or str(error)) for error in errors),
    )


def _sort_captions(
    captions: Sequence[Path], photographs: Sequence[Path], ignored: Sequence[Path], extension: str
) -> tuple[list[MisnamedCaption], list[Path]]:
    """The misnamed captions, and those of no picture at all."""
    read = {_same_name(expected_caption(path, extension)) for path in photographs}
    read |= {_same_name(found) for path in photographs if (found := caption_file(path, extension))}
    owners = {name: path for path in reversed(photographs) for name in _names_of(path, extension)}
    others = {name for path in ignored for name in _names_of(path, extension)}
    misnamed, orphaned_captions = [], []
    for path in captions:
        owner = owners.get(path.stem.lower())
        if _same_name(path) in read:
            continue
        if owner is not None:
            misnamed.append(MisnamedCaption(path, owner, expected_caption(owner, extension)))
        elif path.stem.lower() not in others:
            orphaned_captions.append(path)
    return misnamed, orphaned_captions


def _names_of(photograph: Path, extension: str) -> tuple[str, str, str]:
    """The stems of a photograph's caption, including those where a program or Windows doubled an extension."""
    stem = photograph.stem.lower()
    return stem, photograph.name.lower(), f"{stem}{extension.lower()}"


def _same_name(path: Path) -> str:
    """A path for comparing; where the file system takes .TXT for .txt, so do we."""
    lower = path.with_name(path.name.lower())
    one, other = (status(lower), status(path)) if lower != path else (None, None)
    ignores_case = one is not None and other is not None and os.path.samestat(one, other)
    return str(lower) if ignores_case else os.path.normcase(path)


def expected_caption(photograph: Path, extension: str = ".txt") -> Path:
    """Where a photograph's caption is looked for first, and where it is written."""
    return photograph.with_suffix(extension)


def caption_file(photograph: Path, extension: str = ".txt") -> Path | None:
    """The file that sd-scripts reads a photograph's caption from, or None.

    A name of five or more parts joined by '_' (the folders count too) also falls back to the name without its last
    four parts, which face detectors add.
    """
    base = str(photograph.with_suffix(""))
    parts = base.split("_")
    without_face = "_".join(parts[:-4]) if len(parts) >= 5 else base
    candidates = [Path(one + extension) for one in (base, without_face)]
    return next((path for path in candidates if is_file(path)), None)


def _why_ignored(path: Path) -> str:
    if path.suffix.lower() in _PLAIN:
        return f"sd-scripts finds {path.suffix.lower()} and {path.suffix.upper()}, not {path.suffix}: rename it"
    return f"sd-scripts does not read {path.suffix}: save it as JPEG or PNG"


def pictures_below(folder: Path, on_error: Callable[[OSError], None] | None = None) -> list[Path]:
    """All pictures in a folder and in those below it, sorted; `on_error` is told which cannot be looked into."""
    # not `Path.rglob`, which ends with an error at a path that is too long
    files = (Path(place, name) for place, _, names in os.walk(folder, onerror=on_error) for name in names)
    return sorted(path for path in files if path.suffix.lower() in PICTURE_SUFFIXES)
