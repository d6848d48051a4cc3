"""What every engine's result says of how it was made, in every format, by ExifTool's reading."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from skimage import data

from lib_prodshot import pipeline, provenance
from lib_prodshot.enhancing import NoEngine, load_enhancer
from lib_prodshot.enhancing.inpaint import InpaintEnhancer
from lib_prodshot.errors import OutputError
from lib_prodshot.inpainting import InpaintPass, PassResult, UsedModels
from lib_prodshot.jobs.processor import PictureProcessor
from lib_prodshot.markets.checking import check_file
from lib_prodshot.markets.rules import chosen
from lib_prodshot.outcome import CSV_COLUMNS, Outcome, csv_cells
from lib_prodshot.packshot import shop
from lib_prodshot.pictures import LoadedPicture, embedding, xmp
from lib_prodshot.pictures.loaded import Metadata
from lib_prodshot.provenance import COMPOSITE, ENHANCED, TRAINED, Model, Painted
from lib_prodshot.request import Request
from tests.enhancing.test_inpaint import Recorder
from tests.exiftool import told_by_exiftool
from tests.finders import fixed_finder

CAPTURE = "digitalCapture"
OWN = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:exif="http://ns.adobe.com/exif/1.0/"'
    ' exif:GPSLatitude="5,1N"{}><dc:creator><rdf:Seq><rdf:li>Ann Müller</rdf:li></rdf:Seq></dc:creator>'
    "<dc:rights><rdf:Alt><rdf:li xml:lang='x-default'>© Ann</rdf:li></rdf:Alt></dc:rights>"
    "</rdf:Description></rdf:RDF></x:xmpmeta>"
)
WITHOUT_TYPE = OWN.format("").encode()
SAYS = ' xmlns:e="{}" e:DigitalSourceType="{}{}"'


def own_xmp(kind: str) -> bytes:
    return OWN.format(SAYS.format(provenance.NAMESPACE, provenance.VOCABULARY, kind)).encode()


class Diffusion(Recorder):
    """Paints, and tells with what."""

    def missing_loras(self, names: Any) -> frozenset[str]:
        return frozenset()

    def inpaint(self, plan: InpaintPass) -> PassResult:
        return PassResult(plan.picture // 2, used=UsedModels("v1-5", "6ce0161689", {"bags": "1a2b3c4d5e"}))


FINDER = replace(fixed_finder(), weights=(Model("finder", "lite-coco", "9f6c4ad221"),))


@pytest.fixture(scope="module")
def photograph() -> Image.Image:
    return Image.fromarray(data.astronaut()).crop((100, 0, 260, 160))


def saved(picture: Image.Image, path: Path, packet: bytes | None) -> Path:
    """A file of the format that the suffix tells, with this packet."""
    options: dict[str, Any] = {}
    if path.suffix == ".png" and packet:
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", packet.decode())
    if path.suffix == ".tif" and packet:
        options["tiffinfo"] = {700: packet}
    if path.suffix == ".webp":
        options = {"lossless": True, **({"xmp": packet} if packet else {})}
    file = io.BytesIO()
    picture.save(file, {".tif": "TIFF", ".jpg": "JPEG"}.get(path.suffix, path.suffix[1:].upper()), **options)
    data = file.getvalue()
    path.write_bytes(embedding.file_with_xmp(data, packet) or data if packet and path.suffix == ".jpg" else data)
    return path


def process(source: Path, engine: str, **settings: Any) -> Outcome:
    asked = {"products": "car", "prompt": "[class] <lora:bags:0.8>", **settings}
    if engine == "packshot":
        request, enhancer = Request(make="packshot", edges="hard", **asked), NoEngine()
    else:
        request = Request(engine=engine, **asked)
        enhancer = InpaintEnhancer(Diffusion()) if engine == "inpaint" else load_enhancer(engine)
    folder = source.parent / "out"
    folder.mkdir(exist_ok=True)
    stem = f"{source.stem}-{engine}-{source.suffix[1:]}-{settings.get('format', '')}{settings.get('provenance', '')}"
    outcome = PictureProcessor(request, FINDER, enhancer).process(source, folder, stem)
    assert outcome.status == "found", outcome.verdict
    return outcome


def packet_of(path: Path) -> bytes:
    from lib_prodshot import pictures

    packet = embedding.xmp_of(pictures.read(path))
    assert packet is not None
    return packet


def exiftool(*paths: Path) -> list[dict[str, Any]]:
    return told_by_exiftool(("-G1", "-XMP:all", "-Warning", "-Error"), *paths)


def test_exiftool_reads_every_format_of_every_engine(tmp_path: Path, photograph: Image.Image) -> None:
    expected: dict[Path, tuple[str, bool, bool]] = {}
    for suffix in ("jpg", "png", "webp", "tif"):
        source = saved(photograph, tmp_path / f"in.{suffix}", WITHOUT_TYPE)
        for engine, kind in (("retouch", ENHANCED), ("inpaint", COMPOSITE)):
            expected[Path(process(source, engine).output_file)] = kind, engine == "inpaint", True
    source = saved(photograph, tmp_path / "typed.png", own_xmp(CAPTURE))
    expected[Path(process(source, "retouch").output_file)] = CAPTURE, False, True
    for form in ("jpeg", "png", "webp", "tiff"):
        expected[Path(process(source, "packshot", format=form).output_file)] = CAPTURE, False, False
    for told, (path, (kind, is_painted, has_place)) in zip(exiftool(*expected), expected.items(), strict=True):
        assert told.get("XMP-iptcExt:DigitalSourceType") == provenance.address(kind), path
        assert (told["XMP-dc:Creator"], told["XMP-dc:Rights"]) == ("Ann Müller", "© Ann"), path
        assert ("XMP-exif:GPSLatitude" in told) == has_place, path
        system, version = (told.get(f"XMP-iptcExt:{name}") for name in ("AISystemUsed", "AISystemVersionUsed"))
        assert (system is not None) == (version is not None) == is_painted, path
        if is_painted:
            assert system == "checkpoint v1-5, LoRA bags, finder lite-coco"
            assert str(version).startswith("v1-5 6ce0161689, bags 1a2b3c4d5e, lite-coco 9f6c4ad221, prodshot ")
        assert not {"ExifTool:Warning", "ExifTool:Error"} & set(told), told
        assert "XMP-iptcExt:AIPromptInformation" not in told


@pytest.mark.parametrize(
    ("before", "painted", "plain", "kind"),
    [
        ("", (), False, ENHANCED),
        (CAPTURE, (), True, CAPTURE),
        (TRAINED, (), False, TRAINED),
        (COMPOSITE, (), False, COMPOSITE),
        (COMPOSITE, (), True, TRAINED),
        ("", (Painted(),), False, COMPOSITE),
        (CAPTURE, (Painted(),), False, COMPOSITE),
        (CAPTURE, (Painted(),), True, TRAINED),
        (TRAINED, (Painted(),), False, TRAINED),
        ("", (Painted(is_whole=True), Painted()), False, TRAINED),
    ],
)
def test_the_value_by_what_really_ran(before: str, painted: tuple[Painted, ...], plain: bool, kind: str) -> None:
    assert provenance.source_type(before, painted, plain) == kind


def test_what_a_file_tells_of_other_systems_stays_in_front() -> None:
    paint = (Painted((Model("checkpoint", "a", "1"),), ("p",)),)
    before = {provenance.SYSTEM: "Elsewhere 3", provenance.SOURCE_TYPE: provenance.address(COMPOSITE)}
    once = provenance.statements(before, COMPOSITE, paint, (), prompts=True)
    assert once[provenance.SYSTEM] == "Elsewhere 3; checkpoint a" and once[provenance.PROMPT] == "p"
    assert provenance.SOURCE_TYPE not in once
    assert provenance.statements({**before, **once}, COMPOSITE, paint, (), prompts=True) == {}


def test_a_retouch_that_has_nothing_to_add_leaves_the_packet_byte_by_byte(
    tmp_path: Path, photograph: Image.Image
) -> None:
    for suffix in ("png", "tif", "webp", "jpg"):
        source = saved(photograph, tmp_path / f"a.{suffix}", own_xmp(CAPTURE))
        assert packet_of(Path(process(source, "retouch").output_file)) == own_xmp(CAPTURE)


def test_off_changes_nothing_and_the_prompt_is_told_only_where_asked(tmp_path: Path, photograph: Image.Image) -> None:
    source = saved(photograph, tmp_path / "a.png", WITHOUT_TYPE)
    off = process(source, "inpaint", provenance="off")
    assert packet_of(Path(off.output_file)) == WITHOUT_TYPE and off.digital_source_type == ""
    assert off.to_json()["digital_source_type"] is None
    told = process(source, "inpaint", provenance="plain", provenance_prompt=True)
    values = xmp.values(packet_of(Path(told.output_file)))
    assert values[provenance.PROMPT] == "car <lora:bags:0.8>"
    assert values[provenance.SOURCE_TYPE] == provenance.address(TRAINED)
    assert csv_cells(told.to_json())[CSV_COLUMNS.index("digital_source_type")] == TRAINED


def test_a_skipped_picture_keeps_its_very_bytes(tmp_path: Path, photograph: Image.Image) -> None:
    source = saved(photograph, tmp_path / "a.jpg", WITHOUT_TYPE)
    (tmp_path / "out").mkdir()
    finder = fixed_finder(score=0.1)
    outcome = PictureProcessor(Request(products="car"), finder, load_enhancer("retouch")).process(
        source, tmp_path / "out", "a"
    )
    assert outcome.status == "skipped" and outcome.digital_source_type == ""
    assert Path(outcome.output_file).read_bytes() == source.read_bytes()


def test_broken_xmp_is_kept_and_said(tmp_path: Path, photograph: Image.Image) -> None:
    broken = WITHOUT_TYPE[:-20]
    source = saved(photograph, tmp_path / "a.png", broken)
    outcome = process(source, "retouch")
    assert packet_of(Path(outcome.output_file)) == broken
    assert outcome.digital_source_type == "" and any("its XMP was kept as it is" in note for note in outcome.notes)
    made = process(source, "packshot", format="jpeg")
    assert any("its XMP was not carried over" in note for note in made.notes)
    assert xmp.values(packet_of(Path(made.output_file))) == {provenance.SOURCE_TYPE: provenance.address(ENHANCED)}


def test_a_format_without_a_place_is_said(tmp_path: Path, photograph: Image.Image) -> None:
    outcome = process(saved(photograph, tmp_path / "a.bmp", None), "retouch")
    assert outcome.digital_source_type == ENHANCED
    assert any("a BMP file has no place for XMP" in note for note in outcome.notes)


def test_same_bytes_again(tmp_path: Path, photograph: Image.Image) -> None:
    source = saved(photograph, tmp_path / "a.tif", WITHOUT_TYPE)
    first = Path(process(source, "inpaint").output_file).read_bytes()
    assert Path(process(source, "inpaint").output_file).read_bytes() == first


def test_google_gets_the_plain_value_and_is_told_why(tmp_path: Path, photograph: Image.Image) -> None:
    source = saved(photograph, tmp_path / "a.png", own_xmp(COMPOSITE))
    outcome = process(source, "packshot", marketplace="google,amazon", size="300x300")
    kinds = {made.marketplace: made.digital_source_type for made in outcome.packshots}
    assert kinds == {"google": TRAINED, "amazon": COMPOSITE}
    assert [note for note in outcome.notes if note.startswith(f"google: it says {TRAINED}, not {COMPOSITE}")]
    for made in outcome.packshots:
        told = xmp.values(packet_of(Path(made.file)))
        assert told[provenance.SOURCE_TYPE] == provenance.address(kinds[made.marketplace])
    cell = csv_cells(outcome.to_json())[CSV_COLUMNS.index("digital_source_type")]
    assert cell == f"google {TRAINED} | amazon {COMPOSITE}"
    assert json.loads(json.dumps(outcome.to_json()))["packshots"][0]["digital_source_type"] == TRAINED


@pytest.mark.parametrize(
    ("kind", "measured", "status"),
    [
        (COMPOSITE, COMPOSITE, "warning"),
        (TRAINED, TRAINED, "pass"),
        (CAPTURE, "no AI", "pass"),
        (None, None, "not checked"),
        ("infotext", "missing", "warning"),
    ],
)
def test_the_checker_reads_it(
    tmp_path: Path, photograph: Image.Image, kind: str | None, measured: str | None, status: str
) -> None:
    path = tmp_path / "a.png"
    if kind == "infotext":
        texts = PngImagePlugin.PngInfo()
        texts.add_text("parameters", "a bag\nSteps: 4, Sampler: Euler")
        photograph.save(path, pnginfo=texts)
    else:
        saved(photograph, path, own_xmp(kind) if kind else None)
    (answer,) = (rule for rule in check_file(path, chosen("google")[0]).rules if rule.rule == "ai_label")
    assert (answer.measured, answer.status) == (measured, status)
    assert answer.fix or status == "pass"


def test_a_generated_picture_is_all_made_by_the_model() -> None:
    rgb = np.random.default_rng(3).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    paint = Painted((Model("checkpoint", "v1-5", "6ce0161689"),), ("a bag",), is_whole=True)
    outcome = pipeline.run(
        LoadedPicture.from_rgb(rgb), Request(products="car"), FINDER, load_enhancer("retouch"), painted=(paint,)
    )
    assert outcome.digital_source_type == TRAINED and outcome.result is not None
    told = xmp.values(embedding.xmp_of(outcome.result.source) or b"")
    assert told[provenance.SYSTEM] == "checkpoint v1-5, finder lite-coco"


def test_rights_that_no_jpeg_can_hold_are_an_error_in_words(tmp_path: Path, photograph: Image.Image) -> None:
    huge = xmp.edited(own_xmp(CAPTURE), {("http://ns.adobe.com/xap/1.0/rights/", "UsageTerms"): "word " * 20_000})
    source = saved(photograph, tmp_path / "a.png", huge)
    made = process(source, "packshot", format="png").packshots[0]
    assert made.result is not None and made.result.source.metadata != Metadata()
    made.format = "jpeg"
    with pytest.raises(OutputError, match="XMP cannot be written"):
        shop.write(made, tmp_path / "b.jpg")
