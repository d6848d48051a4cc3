"""One place in an object store: its objects listed, fetched, put and removed, every error of a store as one sentence.

What fails on the way (a connection that breaks, a store that asks to slow down) is tried again with growing pauses by
the store's own package before it is an error here: for s3 by s3fs and botocore (AWS_MAX_ATTEMPTS, AWS_RETRY_MODE).
"""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from lib_prodshot.errors import ProdshotError, this_python
from lib_prodshot.storage.urls import PACKAGES, StorageURL

CONTENT_TYPES = {
    ".apng": "image/apng",
    ".avif": "image/avif",
    ".heic": "image/heic",
    ".heif": "image/heif",
    ".jp2": "image/jp2",
    ".jsonl": "application/x-ndjson",
    ".webp": "image/webp",
}
"""Content types that Python's own table lacks in some version of it."""

EXTRA = ("fsspec", "s3fs")
"""What the extra 'storage' of pyproject.toml brings."""

_TYPE_OPTIONS = {"s3": "ContentType", "gs": "content_type"}
"""What each package calls the content type; the others guess it from the name."""

_NO_CREDENTIALS = ("NoCredentialsError", "PartialCredentialsError", "TokenRetrievalError", "DefaultCredentialsError")
_UNREACHABLE = (
    "HTTPClientError",
    "ConnectionError",
    "ClientConnectionError",
    "TimeoutError",
    "FSTimeoutError",
    "gaierror",
)
"""Names of error classes, or of what they derive from: the packages need not be loaded to tell them."""


class StorageError(ProdshotError):
    """Something that an object store refused or does not have; the message names the place and never a credential."""


class NoBucket(StorageError):
    """A bucket that is not there."""


@dataclass(frozen=True)
class StoredObject:
    """An object in a store: its place, size in bytes, time of its last change (nanoseconds since 1970, None where the
    store does not say) and a `version` that is another one when its content is."""

    url: StorageURL
    size: int
    modified: int | None
    version: str


class Store:
    """The objects beneath one URL; their names are what follows the URL, without the slash between. Thread-safe.

    Raises `StorageError` when a package is missing; nothing is asked of the store yet.
    """

    def __init__(self, url: StorageURL) -> None:
        self.url = StorageURL(url.scheme, url.path.rstrip("/"))
        self.files = _file_system(url.scheme)
        self.root = str(self.files._strip_protocol(f"{url.scheme}://{self.url.path}"))

    def list(self, recursive: bool = True) -> Iterator[tuple[str, StoredObject]]:
        """Yield names and objects, in no order; with `recursive` false only those
        without a further slash. What stands for a folder (an empty object whose name ends with a slash) is left out.
        """
        with _errors(self.url):
            for info in self._infos(recursive):
                name = str(info["name"])[len(self.root) :].removeprefix("/")
                if info["type"] == "file" and name and not (name.endswith("/") and not info["size"]):
                    yield name, self._object(name, info)

    def _infos(self, recursive: bool) -> Iterable[dict[str, Any]]:
        if recursive:
            return cast("Iterable[dict[str, Any]]", self.files.find(self.root, detail=True).values())
        try:
            return cast("Iterable[dict[str, Any]]", self.files.ls(self.root, detail=True))
        except FileNotFoundError as error:
            if _is_about_bucket(error):
                raise
            return ()

    def find(self, name: str = "") -> StoredObject | None:
        """The object of this name; None where there is none."""
        with _errors(self.url / name if name else self.url):
            try:
                info = self.files.info(self._key(name))
            except FileNotFoundError as error:
                if _is_about_bucket(error):
                    raise
                return None
            return self._object(name, info) if info["type"] == "file" else None

    def fetch(self, name: str, to: Path) -> None:
        """Copy an object to a file, whole or not at all."""
        part = to.with_name(f".prodshot-{hashlib.sha256(to.name.encode()).hexdigest()[:16]}.part")
        try:
            with _errors(self.url / name if name else self.url):
                self.files.get_file(self._key(name), str(part))
                part.replace(to)
        finally:
            part.unlink(missing_ok=True)

    def read(self, name: str) -> bytes | None:
        """The bytes of an object; None where there is none."""
        with _errors(self.url / name):
            try:
                return bytes(self.files.cat_file(self._key(name)))
            except FileNotFoundError as error:
                if _is_about_bucket(error):
                    raise
                return None

    def put(self, file: Path, name: str) -> None:
        """Copy a file to an object, with the content type of the name."""
        with _errors(self.url / name):
            self.files.put_file(str(file), self._key(name), **_typed(self.url.scheme, name))

    def put_bytes(self, data: bytes, name: str) -> None:
        """Write bytes to an object."""
        with _errors(self.url / name):
            self.files.pipe_file(self._key(name), data)

    def remove(self, name: str) -> None:
        """Remove an object; none of that name is no error."""
        with _errors(self.url / name):
            try:
                self.files.rm_file(self._key(name))
            except FileNotFoundError as error:
                if _is_about_bucket(error):
                    raise

    def _key(self, name: str) -> str:
        # never by `find`'s or `get`'s patterns: a key may hold * and [
        return f"{self.root}/{name}" if name else self.root

    def _object(self, name: str, info: dict[str, Any]) -> StoredObject:
        modified = _first(info, "LastModified", "updated", "last_modified", "created")
        if isinstance(modified, str):
            modified = datetime.fromisoformat(modified.replace("Z", "+00:00"))
        tag = _first(info, "ETag", "etag", "md5Hash", "content_md5")
        url = self.url / name if name else self.url
        time = round(modified.timestamp() * 1e9) if isinstance(modified, datetime) else None
        return StoredObject(url, int(info["size"]), time, str(tag or f"{info['size']} {time}").strip('"'))


def _first(info: dict[str, Any], *keys: str) -> Any:
    """What a store calls one thing or the other."""
    return next((info[key] for key in keys if info.get(key)), None)


def matching(url: StorageURL) -> list[StorageURL]:
    """The objects that a URL with * ? [ ] in its key means, as a shell would; hidden ones only where it names a dot."""
    store = Store(url)
    with _errors(url):
        names = [name for name, info in store.files.glob(store.root, detail=True).items() if info["type"] == "file"]
    found = [StorageURL(url.scheme, name.lstrip("/")) for name in names]
    if any(part.startswith(".") for part in url.path.split("/")):
        return found
    return [one for one in found if not any(part.startswith(".") for part in one.path.split("/"))]


def content_type(name: str) -> str:
    """The content type of a file by its name.

    >>> content_type("a.png"), content_type("report.jsonl"), content_type("notes")
    ('image/png', 'application/x-ndjson', 'application/octet-stream')
    """
    suffix = Path(name).suffix.lower()
    return CONTENT_TYPES.get(suffix) or mimetypes.guess_type(f"a{suffix}")[0] or "application/octet-stream"


def _typed(scheme: str, name: str) -> dict[str, str]:
    option = _TYPE_OPTIONS.get(scheme)
    return {option: content_type(name)} if option else {}


@lru_cache
def _file_system(scheme: str) -> Any:
    """fsspec's file system, once for a process; a listing is never answered from an older one."""
    try:
        import fsspec

        return fsspec.get_filesystem_class(scheme)(use_listings_cache=False, skip_instance_cache=True)
    except ImportError as error:
        package = PACKAGES[scheme]
        pip = f"{this_python()} -m pip install"
        advice = f"in Prodshot's folder run {pip} '.[storage]'" if package in EXTRA else f"run {pip} {package}"
        raise StorageError(f"{scheme}:// needs the package {package}, which is not installed: {advice}") from error


@contextmanager
def _errors(url: StorageURL) -> Iterator[None]:
    """Turn whatever a store's package raises into a `StorageError`."""
    try:
        yield
    except (ProdshotError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise (NoBucket if _is_about_bucket(error) else StorageError)(_sentence(error, url)) from error
    except Exception as error:  # botocore, aiohttp and google's clients share no base class
        raise StorageError(_sentence(error, url)) from error


def _sentence(error: Exception, url: StorageURL) -> str:
    """What went wrong. Of the error itself only an operating system's or a store's own words are told, for the rest may
    hold addresses that are signed with a credential."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if kinds & {*_NO_CREDENTIALS}:
        how = " (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE)" if url.scheme == "s3" else ""
        return f"there are no credentials for {url}: give them in the environment, as the store's own tools want{how}"
    if isinstance(error, FileNotFoundError):
        bucket = StorageURL(url.scheme, url.path.partition("/")[0])
        return f"there is no bucket {bucket}" if _is_about_bucket(error) else f"there is no object {url}"
    if isinstance(error, PermissionError):
        return f"access to {url} is denied: {_words(error)}"
    if kinds & {*_UNREACHABLE}:
        return f"{url} cannot be reached: the store does not answer ({type(error).__name__})"
    return f"{url} cannot be used: {_words(error)}"


def _words(error: Exception) -> str:
    text = (error.strerror or "") if isinstance(error, OSError) else ""
    return " ".join((text or type(error).__name__).split()).rstrip(".")[:200]


def _is_about_bucket(error: FileNotFoundError) -> bool:
    return "bucket does not exist" in str(error).lower()
