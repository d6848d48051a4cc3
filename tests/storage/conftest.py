"""One S3 server of this machine for all tests, and buckets of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from lib_prodshot.jobs.stored import claim
from lib_prodshot.storage.store import Store, _file_system
from lib_prodshot.storage.urls import StorageURL

_NUMBERS = count()


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """The address of a server that speaks S3, which s3fs finds in this process and in those that it starts."""
    server = pytest.importorskip("moto.server", reason="object storage is tested with moto's S3 server")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = server.ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "nobody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-of-nobody")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_MAX_ATTEMPTS", "1")
        patch.setenv("AWS_CONFIG_FILE", "/none")
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/none")
        _file_system.cache_clear()
        yield f"http://{host}:{port}"
    _file_system.cache_clear()
    running.stop()


@pytest.fixture
def bucket(s3: str) -> StorageURL:
    """A bucket of its own."""
    name = f"bucket-{next(_NUMBERS)}"
    _file_system("s3").call_s3("create_bucket", Bucket=name)
    return StorageURL("s3", name)


def keys_of(bucket: StorageURL) -> Any:
    """The server's own table of a bucket's objects, by key: looked into without a request."""
    from moto.core import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends

    return s3_backends[DEFAULT_ACCOUNT_ID]["aws"].get_bucket(bucket.path).keys


@pytest.fixture
def memory() -> StorageURL:
    """A bucket in this process."""
    pytest.importorskip("fsspec")
    return StorageURL("memory", f"bucket-{next(_NUMBERS)}")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is on its way stands in the test's own folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def no_settling(monkeypatch: pytest.MonkeyPatch) -> None:
    """A memory store and a server beside us need no second between two writes."""
    monkeypatch.setattr(claim, "SETTLING", 0.0)


def upload(folder: Path, to: StorageURL) -> Store:
    """The files of a folder as objects."""
    store = Store(to)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            store.put(path, path.relative_to(folder).as_posix())
    return store


def download(store: Store, to: Path) -> Path:
    """The objects as files of a folder."""
    for name in names_in(store):
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        store.fetch(name, to / name)
    return to


def names_in(store: Store) -> set[str]:
    return {name for name, _ in store.list()}
