"""What the WebUI writes and sends says how it was made."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from lib_prodshot import pictures, provenance
from lib_prodshot.hosts.generation import hooks, saved_files
from lib_prodshot.hosts.generation.attributes import XMP_TEXT
from lib_prodshot.pictures import embedding, xmp
from lib_prodshot.provenance import COMPOSITE, ENHANCED, TRAINED
from tests.hosts.conftest import Double, noise_picture

pytestmark = pytest.mark.any_host

PRODUCTS = {"products": "handbag", "engine": "inpaint"}


@pytest.fixture(autouse=True)
def listening(webui: Double) -> None:
    webui.script_callbacks.on_image_saved(hooks.image_saved)


def told(path: Path) -> dict[Any, str]:
    packet = embedding.xmp_of(pictures.read(path))
    return {} if packet is None else xmp.values(packet)


def files(webui: Double) -> list[Path]:
    return sorted((webui.folder / "out").iterdir())


@pytest.mark.parametrize("form", ["png", "jpg", "webp"])
def test_a_generated_picture_says_so_in_every_file_format(webui: Double, form: str) -> None:
    webui.shared.opts.data["samples_format"] = form
    looked = webui.generate(accordion=[True, PRODUCTS])
    (path,) = files(webui)
    values = told(path)
    assert values[provenance.SOURCE_TYPE] == provenance.address(TRAINED)
    assert values[provenance.SYSTEM].startswith("checkpoint tiny-sd15")
    assert "5f4cf4601d" in values[provenance.VERSION] and provenance.PROMPT not in values
    # what the WebUI sends and shows it writes from the picture's texts, and Pillow must take this one for iTXt
    text = looked.images[0].info[XMP_TEXT]
    written = PngImagePlugin.PngInfo()
    written.add_text(XMP_TEXT, text)
    assert [kind for kind, *_ in written.chunks] == [b"iTXt"]


def test_img2img_by_the_script_keeps_the_input_s_creator(webui: Double) -> None:
    picture = noise_picture()
    packet = xmp.made({("http://purl.org/dc/elements/1.1/", "source"): "studio 4"})
    picture.info[XMP_TEXT] = packet.decode()
    webui.run_script(PRODUCTS, init_images=[picture])
    (path,) = files(webui)
    values = told(path)
    assert values[provenance.SOURCE_TYPE] == provenance.address(COMPOSITE)
    assert values["http://purl.org/dc/elements/1.1/", "source"] == "studio 4"


def test_a_retouch_is_no_generation(webui: Double) -> None:
    webui.run_script({**PRODUCTS, "engine": "retouch"}, init_images=[noise_picture()])
    assert told(files(webui)[0]) == {provenance.SOURCE_TYPE: provenance.address(ENHANCED)}


def test_skipped_switched_off_and_other_pictures_are_left_alone(webui: Double) -> None:
    webui.generate()
    webui.generate(accordion=[True, {**PRODUCTS, "provenance": "off"}])
    webui.detector.score = 0.1
    webui.generate(accordion=[True, PRODUCTS])
    assert [told(path) for path in files(webui)] == [{}] * 3
    # a picture that came with XMP, saved by anybody
    other = noise_picture()
    other.info[XMP_TEXT] = xmp.made({provenance.SOURCE_TYPE: "x"}).decode()
    path = webui.folder / "other.png"
    other.save(path)
    before = path.read_bytes()
    hooks.image_saved(SimpleNamespace(image=other, filename=str(path)))
    assert path.read_bytes() == before


def test_a_name_that_was_taken(webui: Double, tmp_path: Path) -> None:
    """With 'Add number suffix' the WebUI tells the name without the number: another picture's."""
    webui.shared.opts.data["save_images_replace_action"] = "Add number suffix"
    picture = noise_picture()
    picture.info = saved_files.with_packet({}, xmp.made({provenance.SOURCE_TYPE: provenance.address(TRAINED)}))
    for name in ("a.png", "a-1.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    before = (tmp_path / "a.png").read_bytes()
    hooks.image_saved(SimpleNamespace(image=picture, filename=str(tmp_path / "a.png")))
    assert (tmp_path / "a.png").read_bytes() == before
    assert told(tmp_path / "a-1.png")[provenance.SOURCE_TYPE] == provenance.address(TRAINED)


def test_a_file_that_cannot_be_changed_stays_and_is_said(
    webui: Double, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = noise_picture()
    picture.info = saved_files.with_packet({}, xmp.made({provenance.SOURCE_TYPE: "x"}))
    bitmap = tmp_path / "a.bmp"
    picture.save(bitmap)
    before = bitmap.read_bytes()
    hooks.image_saved(SimpleNamespace(image=picture, filename=str(bitmap)))
    hooks.image_saved(SimpleNamespace(image=picture, filename=str(tmp_path / "gone.png")))
    printed = capsys.readouterr().out
    assert "bmp files are written without XMP" in printed and "could not be written into" in printed
    assert bitmap.read_bytes() == before
