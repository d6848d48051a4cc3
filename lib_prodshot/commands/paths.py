"""Paths on the command line: patterns that the shell left as they are, and folders where files are meant."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from lib_prodshot.errors import FieldProblem, RequestError, as_typed
from lib_prodshot.jobs.files.names import READABLE

PATHS_HELP = "picture files, or patterns such as 'in/*.jpg'"

_PATTERN = re.compile(r"[*?\[]")


def picture_files(given: Sequence[Path], instead: str) -> list[Path]:
    """The files that `given` names, each once, in the order given.

    Patterns ('in/*.jpg', 'in/**/*.png', '?', '[ab]') are expanded as by a shell where none did (cmd.exe, PowerShell),
    in natural order, without hidden files. A file that is really called like a pattern is that file. One that is not
    there stays: it is a picture that fails. `instead` is the command for a whole folder, with FOLDER for its name.

    Raises `RequestError` (field path): a folder, a pattern that fits no file.
    """
    files: dict[str, Path] = {}
    for path in (found for one in given for found in _expanded(one)):
        if _is_folder(path):
            command = instead.replace("FOLDER", f'"{path}"' if " " in str(path) else str(path))
            raise _problem(f"{path} is a folder; for all pictures in it: {command}")
        files.setdefault(os.path.normcase(os.path.normpath(path.absolute())), path)
    return list(files.values())


def input_folder(folder: Path, field: str = "folder", instead: str = "") -> Path:
    """The folder, which must be there; `instead` is said of a file (by default, what works on files).

    Raises `RequestError`.
    """
    if _is_folder(folder):
        return folder
    if why := _why_unreachable(folder):
        raise _problem(f"the folder {folder} cannot be looked into: {why}", field)
    if os.path.lexists(folder):
        raise _problem(f"{folder} is a file; {instead or _for_files()}", field)
    if _PATTERN.search(str(folder)):
        raise _problem(f"{folder} is a pattern for files; name their folder, or use `{as_typed('enhance')}`", field)
    raise _problem(f"the folder {folder} does not exist", field)


def _for_files() -> str:
    return f"for single files use `{as_typed('enhance')}`"


def run_folder(folder: Path) -> Path:
    """The folder of a training run, which must be there. Raises `RequestError`."""
    return input_folder(folder, "run", "name the run's folder: output_dir/output_name")


def folders_of(files: Iterable[Path]) -> list[Path]:
    """The folders that the files are in; of a link its own and that of the file."""
    places = (place for file in files for place in (file.parent, Path(os.path.realpath(file)).parent))
    return list(dict.fromkeys(places))


def refuse_output(out: Path, inputs: Iterable[Path], field: str = "out") -> None:
    """Before anything is written: `out` must be no folder of `inputs` (folders), no file may stand in its way, and a
    new folder is not called like a picture: who writes `--out clean.png` means a file. Raises `RequestError`."""
    standing = next(place for place in (out, *out.absolute().parents) if os.path.lexists(place))
    if not _is_folder(standing):
        raise _problem(f"the output folder {out} cannot be made: {standing} is a file", field)
    if standing != out and out.suffix.lower() in READABLE:
        raise _problem(f"results go into a folder, and {out.name} is the name of a picture; name a folder", field)
    own = next((folder for folder in inputs if _is_same(folder, out)), None)
    if own is not None:
        raise _problem(f"the output folder {out} is the input folder itself; choose another", field)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that is too long is no folder's
        return False


def _why_unreachable(path: Path) -> str:
    """What the system says of a path that may be there and cannot be reached, else ''."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _is_same(folder: Path, other: Path) -> bool:
    try:
        return folder.samefile(other)
    except OSError:
        return os.path.realpath(folder) == os.path.realpath(other)


def _expanded(path: Path) -> list[Path]:
    if os.path.lexists(path) or not _PATTERN.search(str(path)):
        return [path]
    matches = sorted(_matches(path), key=natural_order)
    files = [match for match in matches if not _is_folder(match)]
    if matches and not files:
        return matches[:1]
    if not files:
        raise _problem(f"no file is called like {path}")
    return files


def _matches(path: Path) -> Iterator[Path]:
    """What fits the pattern. The part before the first folder that is not there under that very name is taken as it is,
    for folders may be called 'photos [2]'."""
    begun = Path(path.anchor)
    parts = path.parts[1:] if path.anchor else path.parts
    while parts and os.path.lexists(begun / parts[0]):
        begun, parts = begun / parts[0], parts[1:]
    # '**' is a part of its own for pathlib, and as the last one means folders only
    pattern = [part if part == "**" else re.sub(r"\*+", "*", part) for part in parts]
    pattern += ["*"] if pattern[-1] == "**" else []
    shows_hidden = any(part.startswith(".") for part in pattern)
    for match in begun.glob("/".join(pattern)):
        names = match.relative_to(begun).parts
        if shows_hidden or not any(name.startswith(".") for name in names):
            yield match


def natural_order(path: Path) -> tuple[object, ...]:
    """A key that sorts 2.jpg before 10.jpg, folder by folder."""
    return [[*map(_piece, re.split(r"(\d+)", name.casefold()))] for name in path.parts], str(path)


def _piece(text: str) -> tuple[bool, int, str]:
    return (False, int(text), "") if text.isdecimal() else (True, 0, text)


def _problem(message: str, field: str = "path") -> RequestError:
    return RequestError([FieldProblem(field, message)])
