"""Places on the command line that may be paths or URLs of object storage."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from lib_prodshot.commands.console import say
from lib_prodshot.commands.paths import input_folder, refuse_output
from lib_prodshot.errors import FieldProblem, RequestError
from lib_prodshot.storage.urls import StorageURL

if TYPE_CHECKING:
    from lib_prodshot.jobs.folder.folders import LocalFolders

OUT_HELP = "folder for the results and the report, or a URL such as s3://bucket/out"


def job_folders(inputs: Path | StorageURL, out: Path | StorageURL, keep_times: bool) -> LocalFolders:
    """The folders of a job. Raises `RequestError` for what can be no folder, and as `StoredFolders` does."""
    if not isinstance(inputs, StorageURL):
        inputs = input_folder(inputs)
    if not isinstance(out, StorageURL):
        refuse_output(out, [inputs] if isinstance(inputs, Path) else [])
    if isinstance(inputs, Path) and isinstance(out, Path):
        from lib_prodshot.jobs.folder.folders import LocalFolders

        return LocalFolders(inputs, out)
    from lib_prodshot.jobs.stored.folders import StoredFolders

    _check(inputs, "folder")
    _check(out, "out")
    if keep_times and isinstance(out, StorageURL):
        raise RequestError([FieldProblem("keep_times", "an object store sets the times of its objects itself")])
    return StoredFolders(inputs, out, spool_for(inputs, out), say)


def spool_for(*places: Path | StorageURL) -> Path:
    """This machine's folder for what is on its way to and from these places, in the user's cache. Other users cannot
    look into it."""
    from lib_prodshot.weights import cache_folder

    names = "\n".join(str(one.absolute() if isinstance(one, Path) else one) for one in places)
    spool = cache_folder().parent / "spool" / hashlib.sha256(names.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    spool.mkdir(mode=0o700, parents=True, exist_ok=True)
    return spool


def _check(place: Path | StorageURL, field: str) -> None:
    if isinstance(place, StorageURL):
        place.check(field)
