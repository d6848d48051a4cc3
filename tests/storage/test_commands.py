"""The commands with URLs where paths are taken: one line for what goes wrong, URLs in all that is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from lib_prodshot.cli import main
from lib_prodshot.finding import registry
from lib_prodshot.finding.finder import Backend
from lib_prodshot.storage.store import Store
from lib_prodshot.storage.urls import StorageURL
from tests.jobs.photographs import make_picture
from tests.jobs.tools import finder
from tests.storage.conftest import download, names_in, upload

PRODUCTS = ["--products", "mug, motorcycle", "--fidelity", "off"]


@pytest.fixture
def inputs(memory: StorageURL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StorageURL:
    backend = Backend("fixed", lambda _: (), lambda _: finder())
    monkeypatch.setattr(registry, "choose", lambda name="auto", models_dir=None: registry.Choice(backend, "for a test"))
    monkeypatch.setattr(registry, "load_finder", lambda name="auto", models_dir=None: finder())
    folder = tmp_path / "photos"
    folder.mkdir()
    make_picture(9, 64).save(folder / "a 1#.png")
    Image.new("RGB", (40, 40), (10, 10, 10)).save(folder / "dark.jpg")
    (folder / "broken.png").write_bytes(b"no picture")
    upload(folder, memory / "in")
    return memory / "in"


def test_enhance(inputs: StorageURL, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = inputs.parent / "out"
    given = [str(inputs / "*"), str(inputs / "gone.png"), str(tmp_path / "photos" / "dark.jpg")]
    for _ in range(2):
        assert main(["enhance", *given[:2], "--out", str(out), *PRODUCTS]) == 1
        said = capsys.readouterr()
        assert f"1 found, 1 skipped, 2 failed; report: {out}/report.jsonl" in said.out
        assert f"there is no object {inputs}/gone.png" in said.err
        assert f"{inputs}/broken.png" in said.err and "prodshot-" not in said.err.replace("prodshot:", "")
    lines = {line["file"]: line for line in map(json.loads, (Store(out).read("report.jsonl") or b"").splitlines())}
    assert set(lines) == {str(inputs / name) for name in ("a 1#.png", "dark.jpg", "broken.png", "gone.png")}
    assert lines[str(inputs / "a 1#.png")]["output"] == str(out / "a 1#.png")
    assert lines[str(inputs / "a 1#.png")]["mask"] == str(out / "a 1#.mask.png")
    assert main(["enhance", str(tmp_path / "photos" / "*.*g"), "--out", str(tmp_path / "local"), *PRODUCTS]) == 1
    there = download(Store(out), tmp_path / "there")
    for name in ("a 1#.png", "a 1#.mask.png", "a 1#.alpha.png", "dark.jpg"):
        assert (there / name).read_bytes() == (tmp_path / "local" / name).read_bytes()


def test_a_users_object_in_the_place_of_a_copy_stays(inputs: StorageURL) -> None:
    out = inputs.parent / "out"
    Store(out).put_bytes(b"mine", "dark.jpg")
    for _ in range(2):
        assert main(["enhance", str(inputs / "dark.jpg"), "--out", str(out), *PRODUCTS]) == 0
        assert Store(out).read("dark.jpg") == b"mine"
        (line,) = map(json.loads, (Store(out).read("report.jsonl") or b"").splitlines())
        assert line["output"] is None
        assert line["notes"][0].startswith(f"not copied: {out / 'dark.jpg'} stands there with other content, and stays")


def test_packshot_into_a_bucket(inputs: StorageURL, capsys: pytest.CaptureFixture[str]) -> None:
    out = inputs.parent / "out"
    options = ["--products", "mug, motorcycle", "--marketplace", "ebay", "--file-names", "{stem} on {marketplace}"]
    main(["packshot", str(inputs / "a 1#.png"), "--out", str(out), *options])
    capsys.readouterr()
    (line,) = map(json.loads, (Store(out).read("report.jsonl") or b"").splitlines())
    assert line["packshots"][0]["output"] == str(out / "a 1# on ebay.jpg")
    assert "a 1# on ebay.jpg" in names_in(Store(out))


def test_detect_and_check(inputs: StorageURL, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [str(inputs / "a 1#.png"), str(inputs / "broken.png"), str(inputs / "gone.png")]
    assert main(["detect", *paths, "--json", "--products", "mug, motorcycle"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["file"] for line in lines] == paths
    assert [line["status"] for line in lines] == ["found", "failed", "failed"]
    assert lines[2]["reason"] == f"there is no object {paths[2]}"
    assert main(["check", *paths, "--json", "--marketplace", "ebay"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["file"] for line in lines] == paths
    assert [line["rules"][0]["rule"] == "readable" for line in lines] == [False, True, True]
    assert all("/prodshot-" not in json.dumps(line) for line in lines)


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("enhance {in} --out {out}", 2, "path: {in} is a folder; for all pictures in it: prodshot batch {in} --out"),
        ("enhance {in}/*.tif --out {out}", 2, "path: no object is called like {in}/*.tif"),
        ("enhance {in}/dark.jpg --out {in}", 2, "out: the output folder {in} is the input folder itself"),
        ("enhance {in}/dark.jpg --out {out} --keep-times", 2, "keep_times: an object store sets the times"),
        ("batch {in} --out s3://me:hunter2@bucket/out", 2, "out: s3://bucket/out must be written without user"),
        ("batch gopher://bucket/in --out {out}", 2, "folder: gopher:// is no object storage"),
        ("enhance {in}/dark.jpg --out file://me:hunter2@host/x", 2, "out: file: must be followed by an absolute path"),
        ("enhance file:dark.jpg --out {out}", 2, "path: file: must be followed by an absolute path"),
        ("batch file://photos --out {out}", 2, "folder: file: must be followed by an absolute path"),
        ("batch {in} --out {in}/", 2, "out: the output folder {in}/ is the input folder itself"),
        ("batch {in}/none --out {out}", 2, "folder: the folder {in}/none does not exist"),
        ("batch {in}/dark.jpg --out {out}", 2, "folder: {in}/dark.jpg is an object; for single pictures use"),
        ("batch {in} --out {out} --only nothing.png", 2, "only: the folder has no picture nothing.png"),
    ],
)
def test_one_line_for_what_goes_wrong(
    inputs: StorageURL,
    line: str,
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.iterdir())
    names = {"in": str(inputs), "out": str(inputs.parent / "out")}
    assert main([*(word.format(**names) for word in line.split()), *PRODUCTS]) == code
    told = capsys.readouterr().err
    assert told.startswith(f"prodshot: {said.format(**names)}") and told.count("\n") == 1
    assert "hunter2" not in told and names_in(Store(inputs.parent / "out")) == set()
    assert {path for path in tmp_path.iterdir() if path.name != "cache"} == before


def test_a_bucket_that_is_not_there(s3: str, inputs: StorageURL, capsys: pytest.CaptureFixture[str]) -> None:
    for command, given in (("batch", "in"), ("enhance", "in/*.png")):
        options = [f"s3://no-such-bucket/{given}", "--out", str(inputs.parent / "out"), *PRODUCTS]
        assert main([command, *options]) == 2
        field = "folder" if command == "batch" else "path"
        assert capsys.readouterr().err == f"prodshot: {field}: there is no bucket s3://no-such-bucket\n"


def test_batch_tells_where_the_report_is(inputs: StorageURL, capsys: pytest.CaptureFixture[str]) -> None:
    out = inputs.parent / "out"
    assert main(["batch", str(inputs), "--out", str(out), *PRODUCTS]) == 1
    said = capsys.readouterr().out
    assert f"report: {out}/report.jsonl (and .csv); contact sheet: {out}/index.html" in said
    assert b"data:image/webp" in (Store(out).read("index.html") or b"")
