"""Which epoch of a run is best: what is seen on drawn pictures, copies, the rule, going on, the files."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from lib_prodshot.bootstrap import ROOT
from lib_prodshot.cli import main
from lib_prodshot.errors import RequestError
from lib_prodshot.finding import registry
from lib_prodshot.finding.finder import Backend
from lib_prodshot.finding.lite.vocabulary import categories_of_all
from lib_prodshot.hosts.remote import RemoteWebUI
from lib_prodshot.training.comparing import job as job_module
from lib_prodshot.training.comparing.job import CompareJob
from lib_prodshot.training.comparing.likeness import Likeness
from lib_prodshot.training.comparing.page import GRID, PAGE, REPORT
from lib_prodshot.training.comparing.recommending import EpochScore, Seen, recommend
from lib_prodshot.training.comparing.samples import RemoteMaker
from lib_prodshot.training.errors import ComparisonError, PublishError
from lib_prodshot.training.trainer import results
from lib_prodshot.training.trainer.ledger import LEDGER, RECIPE
from tests.training.comparing.drawn import bag, ground, make_run, red_finder

WHAT = {"products": "bag"}


def copy_of(number: int) -> Image.Image:
    """A mirrored part of a photograph, as large as the other samples and a little brighter."""
    part = bag(number).transpose(Image.Transpose.FLIP_LEFT_RIGHT).crop((10, 6, 182, 150)).resize((192, 160))
    return part.point(lambda value: min(255, value + 8))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five epochs: no product, another bag, the bag, the bag again, one with a copy. Only read, but for `compare`."""
    return make_run(
        tmp_path_factory.mktemp("compared"),
        {
            1: [ground(50), ground(51), ground(52)],
            2: [bag(60, (230, 120, 60), round_one=True), bag(61, (230, 120, 60), round_one=True), ground(63)],
            3: [bag(70), bag(71), bag(72)],
            4: [bag(80), bag(81), bag(82)],
            5: [bag(90), bag(91), copy_of(2)],
        },
    )


def compare(run: Path, progress: Callable[[int, int, str], None] = lambda *_: None, **settings: Any) -> dict[str, Any]:
    return CompareJob(run, {**WHAT, **settings}).compare(red_finder(), progress).to_json()


def test_the_epoch_with_the_product_is_recommended_and_the_copy_named(run: Path) -> None:
    told = compare(run)
    assert (told["photographs"], told["photographs_with_product"], len(told["pictures"])) == (6, 6, 15)
    epochs = {one["epoch"]: one for one in told["epochs"]}
    assert [one["found"] for one in told["epochs"]] == [0, 2, 3, 3, 3]
    assert epochs[1]["problem"] == "none of its pictures shows the product"
    assert epochs[5]["copies"] == ["2.png"] and not epochs[3]["copies"] + epochs[4]["copies"]
    copied = [one for one in told["pictures"] if one["copy_of"]]
    assert [(one["epoch"], one["prompt"], one["copy_of"]) for one in copied] == [(5, 2, "2.png")]
    # another bag of another colour is further from the photographs, in both
    assert epochs[2]["colour"] > 10 > 2 > epochs[3]["colour"] and epochs[2]["shape"] > 2 * epochs[3]["shape"]
    assert told["recommended"] == 3 and "3 of its 3 pictures" in told["reason"]


def test_what_is_written_holds_all_and_loads_nothing(run: Path) -> None:
    told = compare(run)
    folder = run / "compare"
    assert json.loads((folder / REPORT).read_text(encoding="utf-8")) == told
    page = Page((folder / PAGE).read_text(encoding="utf-8"))
    assert len(page.pictures) == 15 and all(source.startswith("data:image/webp") for source in page.pictures)
    assert all((folder / link).resolve().is_file() for link in page.links) and len(page.links) == 15
    text = page.text()
    assert "Take epoch 3:" in text and "copy of 2.png" in text and "{{" not in text
    with Image.open(folder / GRID) as grid:
        assert grid.width > 3 * 192 and grid.height > 5 * 160


def test_it_goes_on_where_it_was_and_looks_only_at_what_is_new(run: Path, tmp_path: Path) -> None:
    folder = make_run(tmp_path, {1: [bag(70)], 2: [bag(71)]})
    finder = red_finder()

    def interrupt(done: int, total: int, what: str) -> None:
        assert total == 8
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        CompareJob(folder, WHAT).compare(finder, interrupt)
    assert finder.detector.calls == 5 and not (folder / "compare" / PAGE).exists()
    # half a line, as of a process that was killed
    with (folder / "compare" / "looks.jsonl").open("a") as file:
        file.write('{"key": "half')
    first = CompareJob(folder, WHAT).compare(finder).to_json()
    assert finder.detector.calls == 8
    assert CompareJob(folder, WHAT).compare(finder).to_json() == first and finder.detector.calls == 8
    ground(1).save(folder / "output" / "sample" / "bag_e000002_00_20260101000000_0.png")
    again = CompareJob(folder, WHAT).compare(finder).to_json()
    assert finder.detector.calls == 9 and [one["found"] for one in again["epochs"]] == [1, 0]
    # what is looked for is another thing: nothing kept counts
    CompareJob(folder, {"products": "handbag"}).compare(finder)
    assert finder.detector.calls == 17


def test_what_cannot_be_compared_says_what_to_do(tmp_path: Path) -> None:
    bare = make_run(tmp_path / "bare", {1: [], 2: []}, sample_prompts=[])
    with pytest.raises(ComparisonError, match=r"no sample pictures: have a WebUI make .* or set sample_prompts"):
        CompareJob(bare, WHAT).prepare()
    with pytest.raises(PublishError, match="no folder of a training run"):
        CompareJob(tmp_path, WHAT)
    with pytest.raises(RequestError, match="prompt: unknown setting; did you mean prompts"):
        CompareJob(bare, {**WHAT, "prompt": "bag"})
    with pytest.raises(RequestError, match="products"):
        CompareJob(bare, {"products": ""})
    blind = make_run(tmp_path / "blind", {1: [bag(70)]})
    for path in (tmp_path / "blind" / "photos").iterdir():
        ground(int(path.stem)).save(path)
    with pytest.raises(ComparisonError, match="sees no bag on any of the 6 photographs"):
        CompareJob(blind, WHAT).compare(red_finder())


def test_a_damaged_picture_is_a_note_and_an_epoch_without_a_lora_is_out(tmp_path: Path) -> None:
    run = make_run(tmp_path, {1: [bag(70), bag(71)], 2: [bag(72), bag(73)]})
    sample = run / "output" / "sample" / "bag_e000002_01_20260101000000_1.png"
    sample.write_bytes(sample.read_bytes()[:40])
    (run / "output" / "bag-000001.safetensors").unlink()
    told = compare(run)
    assert [(one["pictures"], one["problem"]) for one in told["epochs"]] == [(2, "its LoRA is gone"), (1, "")]
    assert told["recommended"] == 2 and sample.name in told["notes"][0]


def test_a_dead_link_is_a_note_and_no_preview(tmp_path: Path) -> None:
    run = make_run(tmp_path, {1: [bag(70), bag(71)]})
    sample = run / "output" / "sample" / "bag_e000001_02_20260101000000_2.png"
    # one to itself cannot be resolved either
    sample.symlink_to(sample.name)
    first = run / "output" / "sample" / "bag_e000001_00_20990101000000_0.png"
    first.symlink_to("nowhere.png")
    told = compare(run)
    assert told["recommended"] == 1 and told["epochs"][0]["pictures"] == 2
    assert [note.split(":")[0] for note in told["notes"]] == [f"{sample.name} was not looked at"]
    assert results.sample_of(run / "output", 1) == first.with_name("bag_e000001_00_20260101000000_0.png")


def test_what_is_no_run_says_which_folder_is_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path, {1: []})

    def said(*words: str) -> str:
        assert main(["train", "compare", *words]) in (1, 2)
        return capsys.readouterr().err

    for action in ("compare", "publish"):
        assert main(["train", action, str(run / RECIPE)]) == 2
        assert "is a file; name the run's folder: output_dir/output_name" in capsys.readouterr().err
    assert f"it holds runs, name one of them: {run}\n" in said(str(run.parent))
    assert "holds runs" not in said(str(run / "output"))
    for damage in ("[]", '{"version": 1}', "{", (run / LEDGER).read_text().replace('"epochs": 1', '"epochs": "one"')):
        (run / LEDGER).write_text(damage)
        words = said(str(run))
        assert "it is damaged, or not one that Prodshot wrote; put it back as it was, or train anew (prodshot" in words
        assert "indices" not in words and "Expecting" not in words and words.count("\n") == 1


@pytest.mark.parametrize(("asked", "weights"), [("auto", "lite"), ("lite", "lite")])
def test_a_missing_finder_is_one_sentence(
    asked: str, weights: str, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = Backend("lite", lambda _: ["A long list of files is missing."], lambda _: red_finder())
    monkeypatch.setattr(registry, "backends", lambda: (missing,))
    assert main(["train", "compare", str(run), "--products", "bag", "--finder", asked]) != 0
    said = capsys.readouterr().err
    assert f"here yet: fetch one (prodshot weights fetch {weights}); prodshot doctor says what is missing\n" in said
    assert "long list" not in said and said.count("\n") == 1


def test_an_unknown_product_names_the_nearest_and_no_setting_that_is_not_there(run: Path) -> None:
    finder = red_finder()
    finder.detector.refuse_unknown = categories_of_all  # type: ignore[attr-defined]
    with pytest.raises(RequestError) as caught:
        CompareJob(run, {"products": "handbga"}).compare(finder)
    assert "the lite finder does not know 'handbga' (nearest known names: " in str(caught.value)
    assert "name other products, or use the langsam finder" in str(caught.value) and "unknown'" not in str(caught.value)


def scored(
    epoch: int, *differences: float, missing: int = 0, copy: str = "", lora: str = "bag.safetensors"
) -> EpochScore:
    """An epoch of so many pictures with these differences, and `missing` ones without the product."""
    pictures = [Seen(True, 0.8, Likeness(1.0, 0.1, value), copy) for value in differences]
    return EpochScore.of(epoch, lora, None, pictures + [Seen(False, 0.1)] * missing)


@pytest.mark.parametrize(
    ("epochs", "taken"),
    [
        # found most often counts before likeness
        ([scored(1, 1.0, missing=1), scored(2, 1.4, 1.4)], 2),
        # the nearest, where it is nearer for sure
        ([scored(1, 1.5, 1.5), scored(2, 1.0, 1.02)], 2),
        # the earliest within the noise of the nearest
        ([scored(1, 1.9, 1.9), scored(2, 1.2, 1.3), scored(3, 1.0, 1.3), scored(4, 1.3, 1.2)], 2),
        ([scored(1, 1.1, 1.1, copy="a.jpg"), scored(2, 1.6, 1.6)], 2),
        ([scored(1, 1.1, 1.1, lora=""), scored(2, 1.6, 1.6)], 2),
        ([scored(1, missing=2), scored(2, 1.1, copy="a.jpg")], 0),
    ],
)
def test_the_rule(epochs: list[EpochScore], taken: int) -> None:
    assert recommend(epochs).epoch == taken


def test_without_any_epoch_the_reason_says_what_to_do() -> None:
    assert "train longer" in recommend([scored(1, missing=2), scored(2, missing=2)]).reason
    assert "train fewer epochs" in recommend([scored(1, 1.0, copy="a.jpg")]).reason
    copying = [scored(epoch, 1.0, copy="a.jpg") for epoch in (3, 4)]
    reason = recommend([scored(1, missing=2), scored(2, 1.0, lora=""), *copying]).reason
    assert "; 1: none of its pictures shows the product (train longer, " in reason
    assert "; 2: its LoRA is gone (put it back, or train it once more); " in reason
    assert "; 3, 4: a picture of it is a copy of a.jpg (train fewer epochs " in reason
    # advice that would not help: its LoRA is gone as well
    assert "put it back" in recommend([scored(1, missing=1, lora="")]).reason


class Server:
    """A WebUI that knows these LoRAs and draws a bag from epoch 2 on; it fails at its `fails_at`-th picture."""

    def __init__(self, *loras: str, fails_at: int = 0) -> None:
        self.loras, self.fails_at = loras, fails_at
        self.bodies: list[dict[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/sdapi/v1/loras":
            return httpx.Response(200, json=[{"name": name, "alias": "bag", "path": "x"} for name in self.loras])
        assert request.url.path == "/sdapi/v1/txt2img"
        body = json.loads(request.content)
        if len(self.bodies) + 1 == self.fails_at:
            return httpx.Response(500, json={"error": "OutOfMemoryError"})
        self.bodies.append(body)
        number = len(self.bodies)
        picture = ground(number) if "bag-01" in body["prompt"] else bag(100 + number)
        written = io.BytesIO()
        picture.save(written, "PNG")
        return httpx.Response(200, json={"images": [base64.b64encode(written.getvalue()).decode()]})

    def job(self, run: Path, **settings: Any) -> CompareJob:
        webui = RemoteWebUI("127.0.0.1:9", transport=httpx.MockTransport(self), sleep=lambda _: None)
        return CompareJob(run, {**WHAT, **settings}, RemoteMaker(webui), "the WebUI")


def test_a_webui_makes_the_pictures_of_published_epochs_and_only_what_is_missing(tmp_path: Path) -> None:
    run = make_run(tmp_path, {1: [], 2: [], 3: []}, sample_prompts=["bag on a table --w 256 --h 320 --d 7 --n ugly"])
    server = Server("bag-01", "bag-02", "else", fails_at=4)
    with pytest.raises(Exception, match="OutOfMemoryError"):
        server.job(run).compare(red_finder())
    assert len(server.bodies) == 3
    server.fails_at = 0
    told = server.job(run).compare(red_finder()).to_json()
    assert len(server.bodies) == 4
    assert {(one["prompt"], one["seed"]) for one in server.bodies} == {
        (f"bag on a table, <lora:bag-0{epoch}:1>", seed) for epoch in (1, 2) for seed in (7, 8)
    }
    first = server.bodies[0]
    assert (first["width"], first["height"], first["steps"], first["negative_prompt"]) == (256, 320, 20, "ugly")
    assert [one["found"] for one in told["epochs"]] == [0, 2] and told["recommended"] == 2
    assert told["notes"] == ["the WebUI does not have epoch 3: publish all of them"]
    server.job(run).compare(red_finder())
    assert len(server.bodies) == 4
    server.job(run, steps=5).compare(red_finder())
    assert [one["steps"] for one in server.bodies[4:]] == [5, 5, 5, 5]


def test_a_webui_without_the_loras_makes_nothing(tmp_path: Path) -> None:
    run = make_run(tmp_path, {1: [bag(70)]})
    server = Server("another-01")
    with pytest.raises(ComparisonError, match="no LoRA bag-01 .* publish them first"):
        server.job(run).compare(red_finder())
    assert not server.bodies
    server.loras = ("other-01",)
    server.job(run, name="other", prompts="a\n\nb").prepare()


def test_the_documented_examples(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every `prodshot train compare` of docs/training.md, with our run in place of theirs."""
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    examples = re.findall(r"^prodshot (train compare .*)$", text, re.M)
    assert len(examples) >= 3
    monkeypatch.setattr(registry, "load_finder", lambda *_: red_finder())
    server = Server(*(f"ppzocketv2-0{epoch}" for epoch in range(1, 6)))
    real = RemoteWebUI.__init__
    monkeypatch.setattr(
        RemoteWebUI, "__init__", lambda self, address: real(self, address, transport=httpx.MockTransport(server))
    )
    # the pictures that a WebUI makes do not get into the folder of the other tests
    monkeypatch.setattr(job_module, "FOLDER", "documented")
    for example in examples:
        words = [word.strip('"') for word in re.findall(r'"[^"]*"|\S+', example)]
        words = [str(run) if word == "prodshot-training/ppzocketv2" else word for word in words]
        words += ["--name", "ppzocketv2"] if "--webui" in words else []
        assert main(words) == 0, example
        said = capsys.readouterr().out
        assert json.loads(said)["recommended"] if "--json" in words else re.search(r"take epoch \d", said), said


def test_no_recommendation_is_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(registry, "load_finder", lambda *_: red_finder())
    run = make_run(tmp_path, {1: [ground(1)]})
    assert main(["train", "compare", str(run), "--products", "bag"]) == 1
    assert "no epoch can be recommended: no picture shows the product" in capsys.readouterr().out
    assert main(["train", "compare", str(run), "--products", "bag", "--seed", "x"]) == 2
    assert "seed: 'x' is not a whole number" in capsys.readouterr().err


class Page(HTMLParser):
    """What a page shows: its pictures, links and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.pictures: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "img":
            self.pictures.append(values["src"] or "")
        if tag == "a":
            self.links.append(values["href"] or "")
        assert not {"script", "link"} & {tag}

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def text(self) -> str:
        return " ".join(" ".join(self.words).split())
