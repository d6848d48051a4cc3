"""XMP packets are changed property by property: nothing else moves, and nothing in them is expanded."""

from __future__ import annotations

import io
import struct

import pytest
from PIL import Image

from lib_prodshot import provenance
from lib_prodshot.pictures import blocks, jpeg, png, xmp
from lib_prodshot.pictures.embedding import file_with_xmp, jpeg_segments

DC = "http://purl.org/dc/elements/1.1/"
HEAD = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
)
TAIL = "</rdf:RDF></x:xmpmeta>\n" + " " * 60 + '\n<?xpacket end="w"?>'
NESTED = (
    "<dc:relation><rdf:Description><e:DigitalSourceType>an ingredient's</e:DigitalSourceType></rdf:Description>"
    "</dc:relation>"
)
FULL = (
    f'{HEAD}<rdf:Description rdf:about="uuid:1" xmlns:dc="{DC}" xmlns:e="{provenance.NAMESPACE}"\n'
    ' e:DigitalSourceType = "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"'
    " xmlns:exif='http://ns.adobe.com/exif/1.0/' exif:GPSLatitude='5,1N'><!-- kept > -->"
    f"<dc:creator><rdf:Seq><rdf:li>Ann Müller</rdf:li></rdf:Seq></dc:creator>{NESTED}"
    f'</rdf:Description><rdf:Description rdf:about="uuid:1" xmlns:o="{DC}"><o:rights/></rdf:Description>{TAIL}'
).encode()
ONLY_SOURCE = {provenance.SOURCE_TYPE: provenance.address(provenance.COMPOSITE)}


def test_one_property_changes_and_every_other_byte_stays() -> None:
    changed = xmp.edited(FULL, ONLY_SOURCE)
    assert xmp.values(changed)[provenance.SOURCE_TYPE] == ONLY_SOURCE[provenance.SOURCE_TYPE]
    before = b'\n e:DigitalSourceType = "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"'
    after = f"<e:DigitalSourceType>{ONLY_SOURCE[provenance.SOURCE_TYPE]}</e:DigitalSourceType>".encode()
    assert changed.count(after) == 1 and FULL.count(before) == 1
    assert changed.replace(after, b"") == FULL.replace(before, b"")


def test_the_same_again_changes_nothing() -> None:
    for packet in (FULL, xmp.made({(DC, "title"): "x"}), f"{HEAD}{TAIL}".encode()):
        once = xmp.edited(packet, ONLY_SOURCE)
        assert xmp.edited(once, ONLY_SOURCE) == once
        assert xmp.values(once) == {**xmp.values(packet), **ONLY_SOURCE}


def test_a_prefix_that_means_something_else_is_left_alone() -> None:
    packet = f'{HEAD}<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="urn:x" Iptc4xmpExt:a="1"/>{TAIL}'.encode()
    told = xmp.values(xmp.edited(packet, ONLY_SOURCE))
    assert told == {("urn:x", "a"): "1", **ONLY_SOURCE}


def test_a_packshot_keeps_whose_picture_it_is_and_not_where_it_was_taken() -> None:
    told = xmp.values(xmp.edited(FULL, ONLY_SOURCE, xmp.says_rights))
    assert told == {(DC, "creator"): "Ann Müller", (DC, "rights"): "", **ONLY_SOURCE}


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (b'<!DOCTYPE a [<!ENTITY b "c">]>' + FULL[FULL.index(b"<x:") :], "document type"),
        (FULL[: len(FULL) // 2], "it is no XML"),
        (b"", "it is no XML"),
        (b"<a/>", "it holds no RDF"),
        (FULL.decode().encode("utf-16"), "it is"),
    ],
)
def test_what_cannot_be_read_is_refused(packet: bytes, reason: str) -> None:
    with pytest.raises(xmp.XmpError, match=reason):
        xmp.edited(packet, ONLY_SOURCE)


def test_text_that_xml_cannot_hold_does_not_break_the_packet() -> None:
    told = xmp.values(xmp.made({provenance.PROMPT: 'a <b> & "c"\x00\x0b\ud83d 鞋 ]]>'}))
    assert told[provenance.PROMPT] == 'a <b> & "c" 鞋 ]]>'


def test_a_long_packet_goes_into_extended_xmp_and_comes_back(tmp_path: object) -> None:
    long = xmp.edited(FULL, {(DC, "description"): "word " * 40_000})
    first, *more = jpeg_segments(long)
    assert len(more) == 4 and all(len(body) <= 65533 for body in (first, *more))
    told = xmp.values(first[len(jpeg.XMP_HEADER) :])
    assert told[DC, "creator"] == "Ann Müller" and told[provenance.SOURCE_TYPE].endswith("digitalCapture")
    file = io.BytesIO()
    Image.new("RGB", (9, 9)).save(file, "JPEG")
    read = jpeg.read(file_with_xmp(file.getvalue(), long) or b"")
    assert read.xmp is not None and read.extended_xmp is not None
    joined = blocks.joined_xmp(read.xmp, read.extended_xmp)
    assert joined is not None and xmp.values(joined) == xmp.values(long)


def test_padding_alone_makes_no_extended_xmp() -> None:
    padded = FULL.replace(b"\n<?xpacket end", b" " * 70_000 + b"\n<?xpacket end")
    (only,) = jpeg_segments(padded)
    assert xmp.values(only[len(jpeg.XMP_HEADER) :]) == xmp.values(FULL)


@pytest.mark.parametrize(
    ("kind", "mode", "options"),
    [
        ("JPEG", "RGB", {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0", "comment": b"a comment", "dpi": (72, 72)}),
        ("PNG", "RGBA", {}),
        ("WEBP", "RGB", {}),
        ("WEBP", "RGBA", {"lossless": True}),
        ("WEBP", "RGB", {"lossless": True, "icc_profile": b"profile"}),
    ],
)
def test_a_file_that_others_wrote_gets_xmp_and_keeps_the_rest(kind: str, mode: str, options: dict[str, object]) -> None:
    file = io.BytesIO()
    Image.linear_gradient("L").resize((33, 21)).convert(mode).save(file, kind, **options)
    plain = file.getvalue()
    once = file_with_xmp(plain, xmp.made(ONLY_SOURCE))
    assert once is not None
    twice = file_with_xmp(once, FULL)
    assert twice is not None and FULL in twice and once != twice
    assert twice.count(b"adobe:ns:meta/") == 1, "the earlier packet is replaced"
    with Image.open(io.BytesIO(plain)) as before, Image.open(io.BytesIO(twice)) as after:
        assert (before.mode, before.size, before.tobytes()) == (after.mode, after.size, after.tobytes())
        kept = {key: value for key, value in after.info.items() if key not in ("xmp", "XML:com.adobe.xmp")}
        assert kept == before.info
    if kind == "JPEG":
        segment = jpeg.XMP_HEADER + FULL
        assert twice.replace(b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment, b"") == plain


def test_formats_without_a_place_are_told_apart() -> None:
    assert file_with_xmp(b"BM" + bytes(60), FULL) is None


def test_every_way_in_which_a_png_holds_xmp_is_read_and_replaced() -> None:
    import zlib

    digits = b"\nxmp\n%8d\n%s\n" % (len(FULL), FULL.hex().encode())
    ways = {
        "plain": (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + FULL),
        "packed": (b"iTXt", b"XML:com.adobe.xmp\0\1\0en\0\0" + zlib.compress(FULL)),
        "raw profile": (b"zTXt", b"Raw profile type xmp\0\0" + zlib.compress(digits)),
    }
    for chunk in ways.values():
        chunks = [(b"tEXt", b"Title\0a"), chunk, (b"pHYs", bytes(9))]
        assert png.xmp_of(chunks) == FULL
        changed = png.with_xmp(chunks, b"new")
        assert changed == (chunks[0], (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0new"), chunks[2])
    damaged = (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0no zlib")
    assert png.xmp_of([damaged]) == b"", "there is one, though it cannot be read"
