"""Places in object storage: URLs, listing, errors as sentences, and files that only grow."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import pytest

from lib_prodshot.errors import RequestError
from lib_prodshot.jobs.stored import mirror
from lib_prodshot.jobs.stored.mirror import Mirror
from lib_prodshot.storage.store import StorageError, Store, _file_system
from lib_prodshot.storage.urls import StorageURL, place
from tests.storage.conftest import keys_of, names_in


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("s3://me:hunter2@bucket/in", "without user and password"),
        ("s3://me:with/hunter2/in@bucket/in", "without user and password"),
        ("file://me:hunter2@host/x", "file: must be followed by an absolute path"),
        ("FILE://me:with/hunter2@host/x", "file: must be followed by an absolute path"),
        ("file://relative/a.png", "file: must be followed by an absolute path"),
        ("file:relative", "file: must be followed by an absolute path"),
        ("file:/a.png", "file: must be followed by an absolute path"),
        ("local://host/x", "local: must be followed by an absolute path"),
        ("https://bucket/in", "https:// is no object storage"),
        ("ftp://me:hunter2@host/in", "ftp:// is no object storage"),
        ("s3://", "names no bucket"),
        ("s3:///in", "names no bucket"),
    ],
)
def test_a_url_that_nothing_can_be_opened_by(text: str, said: str) -> None:
    url = place(text)
    assert isinstance(url, StorageURL)
    with pytest.raises(RequestError, match=said) as refused:
        url.check("out")
    assert "hunter2" not in f"{refused.value} {url}" and refused.value.problems[0].field == "out"


def test_what_a_url_names() -> None:
    assert place("file:///photos/a b#1.png") == Path("/photos/a b#1.png") == place("FILE:///photos/a b#1.png")
    assert place("./file:a.png") == Path("file:a.png")
    access_point = "s3://arn:aws:s3:eu-west-1:1:accesspoint/shop/a@b.png"
    for text in (access_point, "s3://bucket/a:b@c.png", "memory://bucket/@"):
        url = place(text)
        assert isinstance(url, StorageURL) and str(url) == text
        url.check("out")
    assert place("s3a://bucket/in") == place("s3://bucket/in") and place("gcs://b/in") == place("gs://b/in")


def test_every_page_of_a_listing_counts(bucket: StorageURL, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four pages of S3, put into the server directly."""
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "10")
    keys = keys_of(bucket)
    Store(bucket).put_bytes(b"", "in2/other.png")
    kept = keys["in2/other.png"]
    for number in range(31):
        another = copy.copy(kept)
        another.name = f"in/{number:05d}.png"
        keys[another.name] = another
    assert names_in(Store(bucket / "in")) == {f"{number:05d}.png" for number in range(31)}


def test_what_is_not_there_is_told(bucket: StorageURL, tmp_path: Path) -> None:
    assert names_in(Store(bucket / "nothing")) == set() and [*Store(bucket / "nothing").list(recursive=False)] == []
    assert Store(bucket).find("x") is None and Store(bucket).read("x") is None
    Store(bucket).remove("x")
    with pytest.raises(StorageError, match=rf"^there is no object {bucket}/x$"):
        Store(bucket).fetch("x", tmp_path / "x")
    assert not [*tmp_path.glob("*.part")]
    gone = Store(StorageURL("s3", "no-such-bucket") / "in")
    for ask in (lambda: [*gone.list()], lambda: gone.put_bytes(b"", "x"), lambda: gone.read("x")):
        with pytest.raises(StorageError, match="^there is no bucket s3://no-such-bucket$"):
            ask()


def test_no_credentials_and_no_answer(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = StorageURL("s3", "bucket") / "in"
    with monkeypatch.context() as patch:
        patch.delenv("AWS_ACCESS_KEY_ID")
        patch.delenv("AWS_SECRET_ACCESS_KEY")
        _file_system.cache_clear()
        with pytest.raises(StorageError, match="there are no credentials for s3://bucket/in") as refused:
            [*Store(store).list()]
        assert "AWS_PROFILE" in str(refused.value)
        patch.setenv("AWS_ACCESS_KEY_ID", "nobody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-of-nobody")
        patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        _file_system.cache_clear()
        with pytest.raises(StorageError, match="cannot be reached: the store does not answer") as refused:
            [*Store(store).list()]
        assert "secret" not in str(refused.value)
    _file_system.cache_clear()


@pytest.mark.parametrize(
    "error", [PermissionError(13, "Access Denied"), OSError(5, "Internal Error"), KeyError("AKIA7")]
)
def test_whatever_a_store_raises_is_one_sentence(
    memory: StorageURL, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cat_file(key: str) -> Any:
        raise error

    monkeypatch.setattr(_file_system("memory"), "cat_file", cat_file)
    with pytest.raises(StorageError) as refused:
        Store(memory).read("a.png")
    assert f"{memory}/a.png" in str(refused.value) and "AKIA7" not in str(refused.value)
    assert str(refused.value).endswith(
        {13: "is denied: Access Denied", 5: ": Internal Error"}.get(getattr(error, "errno", 0), ": KeyError")
    )


@pytest.mark.parametrize(
    ("scheme", "package", "advice"),
    [("s3", "s3fs", r"'\.\[storage\]'"), ("memory", "fsspec", r"'\.\[storage\]'"), ("gs", "gcsfs", "gcsfs")],
)
def test_a_missing_package_is_named(scheme: str, package: str, advice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(f"Install {package} to access {name}")

    fsspec = pytest.importorskip("fsspec")
    monkeypatch.setattr(fsspec, "get_filesystem_class", missing)
    if package == "fsspec":
        monkeypatch.setitem(sys.modules, "fsspec", None)
    _file_system.cache_clear()
    with pytest.raises(StorageError, match=rf"{scheme}:// needs the package {package}, .*pip install {advice}$"):
        Store(StorageURL(scheme, "bucket"))
    _file_system.cache_clear()


# --- files that only grow ---------------------------------------------------------------------------------------------


def restored(store: Store, folder: Path) -> bytes | None:
    (folder / ".prodshot").mkdir(parents=True, exist_ok=True)
    Mirror(folder, store, ["report.jsonl"]).restore(names_in(store))
    return (folder / "report.jsonl").read_bytes() if (folder / "report.jsonl").exists() else None


def test_what_is_added_is_all_that_is_sent(memory: StorageURL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, file = Store(memory), tmp_path / "report.jsonl"
    sent = []
    monkeypatch.setattr(store, "put_bytes", lambda data, name: (sent.append(data), Store.put_bytes(store, data, name)))
    mirrored = Mirror(tmp_path, store, ["report.jsonl"])
    assert restored(store, tmp_path / "none") is None
    for number in range(3):
        with file.open("ab") as grown:
            grown.write(b"line %d\n" % number)
        mirrored.send_all()
        mirrored.send_all()
        assert restored(store, tmp_path / f"after-{number}") == file.read_bytes()
    assert sent == [b"line 0\n", b"line 1\n", b"line 2\n"]
    again = tmp_path / "after-2"
    resumed = Mirror(again, store, ["report.jsonl"])
    resumed.restore(names_in(store))


@pytest.mark.parametrize("text", [b"other 0\nother 1\n", b"line 1\n", b"x" * 5000])
def test_a_file_written_anew_is_sent_whole(memory: StorageURL, tmp_path: Path, text: bytes) -> None:
    store, file = Store(memory), tmp_path / "report.jsonl"
    file.write_bytes(b"line 0\nline 1\n")
    mirrored = Mirror(tmp_path, store, ["report.jsonl"])
    mirrored.send_all()
    fresh = tmp_path / "fresh"
    fresh.write_bytes(text)
    fresh.replace(file)
    mirrored.send_all()
    assert restored(store, tmp_path / "there") == text and names_in(store) == {"report.jsonl"}
    file.unlink()
    mirrored.send_all()
    assert names_in(store) == set()


def test_many_parts_become_one_and_stale_ones_fit_nowhere(
    memory: StorageURL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "MAX_PARTS", 4)
    store, file = Store(memory), tmp_path / "report.jsonl"
    mirrored = Mirror(tmp_path, store, ["report.jsonl"])
    most = 0
    for number in range(23):
        with file.open("ab") as grown:
            grown.write(b"line %d\n" % number)
        mirrored.send_all()
        most = max(most, len(names_in(store)))
        if number == 3:
            stale = {name: store.read(name) for name in names_in(store)}
    assert most <= 4 + 23 // 5 and restored(store, tmp_path / "there") == file.read_bytes()
    for name, data in stale.items():
        if name not in names_in(store):
            store.put_bytes(data or b"", name)
    assert restored(store, tmp_path / "again") == file.read_bytes()
    mirrored.send("report.jsonl", whole=True)
    assert restored(store, tmp_path / "whole") == file.read_bytes()
