"""URLs of object storage beside paths: what on a command line is a place in a bucket. Standard library only."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from lib_prodshot.errors import FieldProblem, RequestError

PACKAGES = {
    "s3": "s3fs",
    "gs": "gcsfs",
    "az": "adlfs",
    "memory": "fsspec",
}
"""Schemes of object stores, where an object appears whole or not at all, and the package with which fsspec opens each.
`memory` is fsspec's own store in this process, for tests."""

ALIASES = {"s3a": "s3", "gcs": "gs"}
"""Other names of a scheme: the same place is never to be taken for two."""

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://(.*)", re.DOTALL)
_LOCAL = re.compile(r"(file|local):(?://)?(.*)", re.DOTALL | re.IGNORECASE)
_USER = re.compile(r"(?!arn:)[^/:]*:.*@|[^/]*@", re.DOTALL)
"""User and password before the bucket. A secret key of S3 may hold slashes; of what names a bucket only an ARN has
colons."""


@dataclass(frozen=True)
class StorageURL:
    """A place in an object store: its scheme, and bucket and key as `path`, letter by letter (nothing is decoded).

    As text it is never with user and password, should they stand there."""

    scheme: str
    path: str

    def __str__(self) -> str:
        user = _USER.match(self.path)
        return f"{self.scheme}://{self.path[user.end() if user else 0 :]}"

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
        if self.scheme in ("file", "local"):
            message = f"{self.scheme}: must be followed by an absolute path of this machine"
            raise RequestError([FieldProblem(field, message, f"such as {self.scheme}:///photos, or the path alone")])
        if self.scheme not in PACKAGES:
            message = f"{self.scheme}:// is no object storage that is known here"
            raise RequestError([FieldProblem(field, message, ", ".join(f"{name}://" for name in PACKAGES))])
        if _USER.match(self.path):
            message = f"{self} must be written without user and password: they belong into the environment"
            raise RequestError([FieldProblem(field, message, "such as AWS_PROFILE, or AWS_ACCESS_KEY_ID")])
        if not self.path or self.path.startswith("/"):
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
    """The path or the place in object storage that a text names; `file:///` and `local:///` are paths. What is no
    place at all (`file://host/x`) is refused by `StorageURL.check`.

    >>> str(place("photos/a.png")), str(place("file:///photos/a.png")), str(place("s3://bucket/in/a b#1.png"))
    ('photos/a.png', '/photos/a.png', 's3://bucket/in/a b#1.png')
    """
    if local := _LOCAL.fullmatch(text):
        is_absolute = text.startswith("///", len(local[1]) + 1)
        return Path(local[2]) if is_absolute else StorageURL(local[1].lower(), local[2])
    found = _URL.fullmatch(text)
    if found is None:
        return Path(text)
    scheme = found[1].lower()
    return StorageURL(ALIASES.get(scheme, scheme), found[2])
