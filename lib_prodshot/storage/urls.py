"""URLs of object storage beside paths: what on a command line is a place in a bucket. Standard library only."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from lib_prodshot.errors import FieldProblem, RequestError

PACKAGES = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "memory": "fsspec",
}
"""Schemes of object stores, where an object appears whole or not at all, and the package with which fsspec opens each.
`memory` is fsspec's own store in this process, for tests."""

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://(.*)", re.DOTALL)
_LOCAL = ("file", "local")


@dataclass(frozen=True)
class StorageURL:
    """A place in an object store: its scheme, and bucket and key as `path`, letter by letter (nothing is decoded).

    As text it is never with what stands before an @ in the bucket's place, which may be a password."""

    scheme: str
    path: str

    def __str__(self) -> str:
        bucket, slash, key = self.path.partition("/")
        return f"{self.scheme}://{bucket.rpartition('@')[2]}{slash}{key}"

    def __truediv__(self, name: str) -> StorageURL:
        return StorageURL(self.scheme, f"{self.path.rstrip('/')}/{name}")

    @property
    def name(self) -> str:
        """The last part of the key, '' of a bucket."""
        return self.path.rstrip("/").rpartition("/")[2] if "/" in self.path.rstrip("/") else ""

    @property
    def parent(self) -> StorageURL:
        """The place that holds this one; a bucket's own is itself."""
        bucket, slash, _ = self.path.rstrip("/").rpartition("/")
        return StorageURL(self.scheme, bucket) if slash else self

    def check(self, field: str) -> None:
        """Raise `RequestError` (with this field) where nothing could ever be opened: a scheme that is no object
        store's, no bucket, a user or a password in the URL."""
        if self.scheme not in PACKAGES:
            message = f"{self.scheme}:// is no object storage that is known here"
            raise RequestError([FieldProblem(field, message, ", ".join(f"{name}://" for name in PACKAGES))])
        bucket = self.path.partition("/")[0]
        if "@" in bucket:
            message = f"{self} must be written without user and password: they belong into the environment"
            raise RequestError([FieldProblem(field, message, "such as AWS_PROFILE, or AWS_ACCESS_KEY_ID")])
        if not bucket or self.path.startswith("/"):
            raise RequestError(
                [FieldProblem(field, f"{self} names no bucket", f"such as {self.scheme}://bucket/folder")]
            )


def is_url(text: str) -> bool:
    """Whether a text is a URL and no path: it begins with a scheme and '://'.

    >>> is_url("s3://bucket/in"), is_url("C://pictures"), is_url("photos/a.png")
    (True, False, False)
    """
    return _URL.fullmatch(text) is not None


def place(text: str) -> Path | StorageURL:
    """The path or the place in object storage that a text names; `file://` and `local://` are paths.

    >>> str(place("photos/a.png")), str(place("file:///photos/a.png")), str(place("s3://bucket/in/a b#1.png"))
    ('photos/a.png', '/photos/a.png', 's3://bucket/in/a b#1.png')
    """
    found = _URL.fullmatch(text)
    if found is None:
        return Path(text)
    scheme, path = found[1].lower(), found[2]
    return Path(path) if scheme in _LOCAL else StorageURL(scheme, path)
