"""Captioners: BLIP through transformers, a running WebUI's interrogator, or existing caption files."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lib_prodshot.errors import FieldProblem, PictureError, ProdshotError, RequestError, pip_install_extra
from lib_prodshot.jobs.files.reading import open_regular
from lib_prodshot.training.dataset.captions import read_caption

if TYPE_CHECKING:
    from PIL import Image

    from lib_prodshot.hosts.remote import RemoteWebUI

BLIP_MODEL = "Salesforce/blip-image-captioning-large"
"""The large captioning BLIP, the one sd-scripts' make_captions.py uses, as transformers loads it."""

MIN_TOKENS, MAX_TOKENS, BATCH, BEAMS = 10, 75, 8, 1
"""The seed's values; `--beam_search` there leaves the number of beams at 1."""

UPLOAD_SIDE = 768
"""Longest side in pixels of what is sent to a WebUI; its BLIP scales to 384 anyhow."""

# a word that this model makes up for animals and people ("arafed", "araffe")
_INVENTED_WORDS = re.compile(r"\baraf+\w*\s*", re.IGNORECASE)


class CaptionerError(ProdshotError):
    """A captioner that cannot run here or gave no caption."""


class Captioner(Protocol):
    """Writes captions for photographs."""

    def caption(self, photographs: Sequence[Path]) -> Iterator[tuple[Path, str]]:
        """Each photograph with its caption, as they are done; photographs it has none for are left out.

        Raises `CaptionerError`.
        """

    def unused(self, photographs: Sequence[Path]) -> list[str]:
        """The entries, sorted, that fit none of these photographs, of one that reads them from a file."""
        return []


class BlipCaptioner(Captioner):
    """BLIP (Li et al. 2022, https://arxiv.org/abs/2201.12086) through transformers, loaded at the first caption.

    `model` is a hub name or a folder; `device` a torch device, empty for the best there is.
    """

    def __init__(
        self,
        model: str = BLIP_MODEL,
        device: str = "",
        batch: int = BATCH,
        beams: int = BEAMS,
        lengths: tuple[int, int] = (MIN_TOKENS, MAX_TOKENS),
    ) -> None:
        self.model = model
        self.device = device
        self.batch = batch
        self.beams = beams
        self.lengths = lengths
        self._loaded: tuple[Any, Any] | None = None

    def caption(self, photographs: Sequence[Path]) -> Iterator[tuple[Path, str]]:
        """Each photograph with its caption, a batch at a time. Raises `CaptionerError`, `PictureError`."""
        for start in range(0, len(photographs), self.batch):
            some = photographs[start : start + self.batch]
            yield from zip(some, self._describe([open_upright(path) for path in some]))

    def _describe(self, images: list[Image.Image]) -> list[str]:
        processor, model = self._load()
        import torch

        inputs = processor(images=images, return_tensors="pt").to(model.device, model.dtype)
        with torch.inference_mode():
            tokens = model.generate(
                **inputs, num_beams=self.beams, do_sample=False, min_length=self.lengths[0], max_length=self.lengths[1]
            )
        return [clean(text) for text in processor.batch_decode(tokens, skip_special_tokens=True)]

    def _load(self) -> tuple[Any, Any]:
        if self._loaded is None:
            self._loaded = self._read_model()
        return self._loaded

    def _read_model(self) -> tuple[Any, Any]:
        try:
            import torch
            from transformers import BlipForConditionalGeneration, BlipProcessor
        except ImportError as error:
            advice = f"in Prodshot's folder run {pip_install_extra('blip')}, or use --captioner webui or file"
            raise CaptionerError(f"BLIP needs torch and transformers ({error.name} is missing): {advice}") from error
        device = torch.device(self.device or ("cuda" if torch.cuda.is_available() else "cpu"))
        try:
            processor = BlipProcessor.from_pretrained(self.model)
            model = BlipForConditionalGeneration.from_pretrained(self.model)
        except (OSError, ValueError) as error:
            first = str(error).strip().splitlines()[0]
            raise CaptionerError(f"the BLIP model {self.model} cannot be loaded: {first}") from error
        half = device.type == "cuda"
        return processor, model.to(device, torch.float16 if half else torch.float32).eval()


class WebuiCaptioner(Captioner):
    """The interrogator of a running WebUI (`--api`). Of its answer only the BLIP caption is taken: the phrases that
    CLIP adds after it (artists, styles) are no description of the photograph."""

    def __init__(self, webui: RemoteWebUI) -> None:
        self.webui = webui

    def caption(self, photographs: Sequence[Path]) -> Iterator[tuple[Path, str]]:
        """Each photograph with its caption, one at a time. Raises `CaptionerError`, `PictureError`, `RemoteError`."""
        for path in photographs:
            response = self.webui.post("/sdapi/v1/interrogate", {"image": _encode(path), "model": "clip"})
            yield path, parse_interrogation(str(response.get("caption", "")), self.webui.address, path)


class FileCaptioner(Captioner):
    """Reads captions from a JSON object, a CSV file with the columns file and caption, or a folder of text files.

    Keys are a photograph's file name or its name without extension. They are read at once, so that a source which is
    not there is told before anything is written. Raises `RequestError` for one that cannot be read.
    """

    def __init__(self, source: Path) -> None:
        self.source = source
        self._known = self._read()

    def caption(self, photographs: Sequence[Path]) -> Iterator[tuple[Path, str]]:
        """Each photograph that the file has a caption for."""
        for path in photographs:
            text = self._known.get(path.name, self._known.get(path.stem, ""))
            if text.strip():
                yield path, " ".join(text.split())

    def unused(self, photographs: Sequence[Path]) -> list[str]:
        """The keys that fit none of these photographs, sorted."""
        names = {name for path in photographs for name in (path.name, path.stem)}
        return sorted(str(key) for key in self._known if key not in names)

    def _read(self) -> Mapping[str, str]:
        try:
            if self.source.is_dir():
                return {
                    path.stem: _caption_text(path)
                    for path in sorted(self.source.iterdir())
                    if path.suffix.lower() == ".txt"
                }
            with open_regular(self.source) as file:
                text = file.read().decode("utf-8-sig")
            return _from_csv(text) if self.source.suffix.lower() == ".csv" else _from_json(text)
        except OSError as error:
            raise _captions_error(f"{self.source} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise _captions_error(f"{self.source} is not text in UTF-8; save it so") from error
        except (ValueError, RecursionError, csv.Error) as error:
            raise _captions_error(f"{self.source} holds no captions: {error}") from error


def parse_interrogation(answer: str, who: str, path: Path) -> str:
    """The caption in the answer of a WebUI's interrogator, which adds CLIP's phrases after it. Raises
    `CaptionerError` where there is none."""
    text = answer.partition(",")[0]
    if not text.strip() or "<error>" in text:
        raise CaptionerError(f"{who} has no caption for {path}: look into the WebUI's console")
    return clean(text)


def clean(text: str) -> str:
    """A model's caption as one line without its made-up words and closing dot."""
    return " ".join(_INVENTED_WORDS.sub("", text).split()).strip(" .,")


def open_upright(path: Path) -> Image.Image:
    """A photograph as RGB, turned as a viewer shows it. Raises `PictureError`."""
    from PIL import Image, ImageOps

    from lib_prodshot import pictures

    try:
        with open_regular(path) as file, Image.open(file) as image, pictures.quiet.libtiff():
            if image.mode.startswith("I"):
                # 16 bits, which Pillow's conversion clips to white
                return Image.fromarray(pictures.read(path).seen())
            image.draft("RGB", (UPLOAD_SIDE, UPLOAD_SIDE))
            return ImageOps.exif_transpose(image).convert("RGB")
    except Exception as error:  # decoders raise whatever their format's code raises
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise PictureError(f"{path} cannot be read as a picture: {reason}") from error


def _encode(path: Path) -> str:
    image = open_upright(path)
    image.thumbnail((UPLOAD_SIDE, UPLOAD_SIDE))
    data = io.BytesIO()
    image.save(data, "PNG")
    return base64.b64encode(data.getvalue()).decode()


def _caption_text(path: Path) -> str:
    """All lines of one text file. Raises `RequestError` naming it."""
    caption = read_caption(path)
    if not caption.readable:
        raise _captions_error(f"{path}: {caption.fatal}")
    return f"{caption.text}\n{caption.remaining_lines}"


def _from_json(text: str) -> dict[str, str]:
    captions = json.loads(text)
    if not isinstance(captions, dict) or not all(isinstance(value, str) for value in captions.values()):
        raise ValueError("not an object of file names and captions")
    for caption in captions.values():
        caption.encode("utf-8")  # JSON can hold halves of characters, which no file can
    return captions


def _from_csv(text: str) -> dict[str, str]:
    rows = csv.DictReader(io.StringIO(text))
    if not rows.fieldnames or not {"file", "caption"} <= set(rows.fieldnames):
        raise ValueError("its first line does not name the columns file and caption")
    return {row["file"]: row["caption"] or "" for row in rows}


def _captions_error(message: str) -> RequestError:
    return RequestError([FieldProblem("captions", message, "a JSON object, a CSV file, or a folder of .txt files")])
