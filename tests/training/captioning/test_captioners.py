"""Where captions come from: BLIP through transformers' real loading, a WebUI's interrogator, files."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lib_prodshot.errors import PictureError, RequestError
from lib_prodshot.training.captioning.captioners import (
    BlipCaptioner,
    CaptionerError,
    FileCaptioner,
    WebuiCaptioner,
    clean,
    open_upright,
)
from tests.training.photographs import make_folder, picture

WORDS = ("a", "bag", "shoe", "cup", "table", "on", "white", "arafed", "with", "of", "the", "red", ".", "wooden")


@pytest.fixture(scope="module")
def blip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BLIP of 0.3 MB, saved and loaded by transformers as the real one is."""
    pytest.importorskip("torch", reason="BLIP is tested where torch and transformers are: under the WebUIs' pins")
    transformers = pytest.importorskip("transformers", reason="BLIP is tested where transformers is")
    import torch

    folder = tmp_path_factory.mktemp("blip")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    tokenizer = transformers.BertTokenizer(str(folder / "vocab.txt"))
    size = {"height": 32, "width": 32}
    transformers.BlipProcessor(transformers.BlipImageProcessor(size=size), tokenizer).save_pretrained(folder)
    shared = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    words = {"vocab_size": len(vocabulary), "bos_token_id": 2, "eos_token_id": 3, "sep_token_id": 3, "pad_token_id": 0}
    config = transformers.BlipConfig(
        text_config={**shared, **words, "encoder_hidden_size": 16, "max_position_embeddings": 128},
        vision_config={**shared, "image_size": 32, "patch_size": 16},
    )
    torch.manual_seed(5)
    model = transformers.BlipForConditionalGeneration(config)
    for parameter in model.parameters():
        parameter.data = torch.randn_like(parameter) * 0.4
    model.save_pretrained(folder)
    return folder


def test_blip_describes_every_photograph(blip: Path, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "photos", count=5, captions=False)
    paths = sorted(folder.glob("*.jpg"))
    captioner = BlipCaptioner(str(blip), device="cpu", batch=2, lengths=(4, 12))
    told = list(captioner.caption(paths))
    assert [path for path, _ in told] == paths
    assert all(set(text.split()) <= set(WORDS) | {"[UNK]"} for _, text in told), told
    assert all(len(text.split()) <= 12 for _, text in told)
    # the same one at a time: a batch changes nothing
    alone = BlipCaptioner(str(blip), device="cpu", batch=1, lengths=(4, 12))
    assert list(alone.caption(paths)) == told


def test_a_model_that_is_not_there_is_an_error_of_one_line(blip: Path, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "photos", count=1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CaptionerError, match="cannot be loaded") as told:
        list(BlipCaptioner(str(tmp_path / "empty"), device="cpu").caption([folder / "1.jpg"]))
    assert "\n" not in str(told.value)


class Interrogator:
    """A WebUI that answers /sdapi/v1/interrogate."""

    address = "http://127.0.0.1:7860"

    def __init__(self, answer: str) -> None:
        self.answer = answer
        self.sent: list[dict[str, Any]] = []

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        assert path == "/sdapi/v1/interrogate"
        self.sent.append(body)
        return {"caption": self.answer}


def test_of_the_webuis_answer_only_the_caption_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "1.jpg"
    picture(1, (3000, 1500)).save(path)
    webui = Interrogator("arafed handbag on a table, a product photo, by Some Painter")
    assert list(WebuiCaptioner(webui).caption([path])) == [(path, "handbag on a table")]  # type: ignore[arg-type]
    assert webui.sent[0]["model"] == "clip"
    with Image.open(io.BytesIO(base64.b64decode(webui.sent[0]["image"]))) as sent:
        assert sent.size == (768, 384)


@pytest.mark.parametrize("answer", ["", "a bag <error>", " , by Some Painter"])
def test_a_webui_without_an_answer_is_an_error(tmp_path: Path, answer: str) -> None:
    folder = make_folder(tmp_path / "photos", count=1)
    with pytest.raises(CaptionerError, match="look into the WebUI's console"):
        list(WebuiCaptioner(Interrogator(answer)).caption([folder / "1.jpg"]))  # type: ignore[arg-type]


def test_files_of_three_kinds(tmp_path: Path) -> None:
    photographs = [tmp_path / name for name in ("1.jpg", "2.jpg", "3.jpg")]
    (tmp_path / "captions.json").write_text(json.dumps({"1.jpg": "a bag", "2": " a\n cup ", "3": ""}))
    (tmp_path / "captions.csv").write_text('file,caption\n1.jpg,"a bag"\n2,a cup\n', encoding="utf-8-sig")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "1.txt").write_text("a bag")
    (tmp_path / "texts" / "2.txt").write_text("a cup\n")
    for name in ("captions.json", "captions.csv", "texts"):
        told = {path.name: text for path, text in FileCaptioner(tmp_path / name).caption(photographs)}
        assert told == {"1.jpg": "a bag", "2.jpg": "a cup"}
        assert FileCaptioner(tmp_path / name).unused(photographs[1:]) == ["1" if name == "texts" else "1.jpg"]


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.json", "[1]"), ("a.json", '{"1": 2}'), ("a.json", "{"), ("a.csv", "name,text\n1,2"), ("a.json", None)],
)
def test_a_file_of_no_known_form_is_refused_by_its_field(tmp_path: Path, name: str, content: str | None) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(RequestError, match="captions"):
        list(FileCaptioner(tmp_path / name).caption([tmp_path / "1.jpg"]))


def test_made_up_words_go() -> None:
    assert clean("arafed handbag  on a araffe table .") == "handbag on a table"


def test_a_photograph_is_opened_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    picture(1, (60, 40)).save(tmp_path / "1.jpg", exif=exif)
    assert open_upright(tmp_path / "1.jpg").size == (40, 60)
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(tmp_path / "2.png")
    assert open_upright(tmp_path / "2.png").mode == "RGB"
    # what the captioner is shown is the photograph, not the white that a plain conversion makes of 16 bits
    Image.fromarray(np.full((8, 8), 0x8080, np.uint16)).save(tmp_path / "4.png")
    assert open_upright(tmp_path / "4.png").getpixel((0, 0)) == (128, 128, 128)
    (tmp_path / "3.jpg").write_text("no")
    with pytest.raises(PictureError, match="3.jpg cannot be read"):
        open_upright(tmp_path / "3.jpg")
