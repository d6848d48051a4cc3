"""A file and more for every row of `formats.TABLE`, by encoders that are not ours, with the samples they hold."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

from tests.pictures.photographs import coffee, deep, encoded, palette_image

SHARED = Path(__file__).parents[3] / "shared" / "cases"

RGB = np.asarray(coffee())
GREY = np.asarray(coffee().convert("L"))
ALPHA = np.asarray(Image.linear_gradient("L").resize(coffee().size)).copy()
ALPHA[:5] = 0
ALPHA[-20:] = 255
RGB16, GREY16, ALPHA16 = deep(coffee()), deep(coffee().convert("L")), ALPHA.astype(np.uint16) * 257
INK = np.asarray(coffee().convert("CMYK")) // 2 + np.uint8(9)
SELECTION = np.roll(GREY, 9, axis=1)


@dataclass(frozen=True)
class Made:
    """A file, and the samples that a result of it holds outside its mask, as the result's format stores them."""

    data: bytes
    suffix: str
    truth: np.ndarray | None = None


def premultiplied(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    top = np.iinfo(colour.dtype).max
    opacity = alpha if colour.ndim == 2 else alpha[..., None]
    return (colour.astype(np.uint32) * opacity // top).astype(colour.dtype)


def tiff(samples: np.ndarray, photometric: str, **options: object) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, samples, photometric=photometric, metadata=None, **options)
    return file.getvalue()


def patched(data: bytes, **values: int) -> bytes:
    """Other values for tags of a TIFF, by their names in tifffile."""
    file = io.BytesIO(data)
    with tifffile.TiffFile(file, mode="r+b") as opened:
        for name, value in values.items():
            opened.pages[0].tags[name].overwrite(value)
        file.seek(0)
        return file.read()


def stack(*channels: np.ndarray) -> np.ndarray:
    return np.dstack(channels)


def tiffs() -> Iterator[tuple[str, Made]]:
    bilevel = GREY > 100
    palette = np.asarray(palette_image())
    colour_map = (np.random.default_rng(1).integers(0, 65536, (3, 256))).astype(np.uint16)
    plain: dict[str, tuple[np.ndarray, str, dict[str, object]]] = {
        "grey 1": (bilevel, "minisblack", {}),
        "grey 1, min-is-white": (bilevel, "miniswhite", {}),
        "palette 8": (palette, "palette", {"colormap": colour_map}),
        "CMYK 8": (INK, "separated", {}),
        "CMYK 8 + channels": (stack(INK, ALPHA), "separated", {"extrasamples": ["unassalpha"]}),
    }
    for bits, grey, rgb, alpha in ((8, GREY, RGB, ALPHA), (16, GREY16, RGB16, ALPHA16)):
        more = SELECTION.astype(grey.dtype) * (257 if bits == 16 else 1)
        plain |= {
            f"grey {bits}": (grey, "minisblack", {}),
            f"grey {bits}, min-is-white": (grey, "miniswhite", {}),
            f"RGB {bits}": (rgb, "rgb", {}),
        }
        flat = {"planarconfig": "contig"}
        for name, channels, extra in (
            ("alpha", (grey, alpha), [2]),
            ("alpha + channels", (grey, alpha, more), [2, 0]),
            ("channels", (grey, more), [0]),
        ):
            kind = f"grey {bits}, min-is-white + {name}"
            plain[kind] = (stack(*channels), "miniswhite", {"extrasamples": extra, **flat})
        for space, colour, photometric in (("grey", grey, "minisblack"), ("RGB", rgb, "rgb")):
            clear = premultiplied(colour, alpha)
            plain |= {
                f"{space} {bits} + channels": (stack(colour, more), photometric, {"extrasamples": [0], **flat}),
                f"{space} {bits} + alpha": (stack(colour, alpha), photometric, {"extrasamples": [2], **flat}),
                f"{space} {bits} + premultiplied alpha": (
                    stack(clear, alpha),
                    photometric,
                    {"extrasamples": [1], **flat},
                ),
                f"{space} {bits} + alpha + channels": (
                    stack(colour, alpha, more),
                    photometric,
                    {"extrasamples": [2, 0], **flat},
                ),
                f"{space} {bits} + premultiplied alpha + channels": (
                    stack(clear, alpha, more),
                    photometric,
                    {"extrasamples": [1, 0], **flat},
                ),
            }
    for kind, (samples, photometric, options) in plain.items():
        yield kind, Made(tiff(samples, photometric, **options), ".tif", samples)
        for layout in layouts(samples, kind):
            yield kind, Made(tiff(samples, photometric, **{**options, **layout}), ".tif", samples)
    yield "grey 1", Made(encoded(Image.fromarray(bilevel), "TIFF", compression="group4"), ".tif", bilevel)
    for bits in (2, 4):
        few = GREY >> (8 - bits)
        top = (1 << bits) - 1
        wide = (few.astype(np.uint16) * 255 // top).astype(np.uint8)
        yield f"grey {bits}", Made(tiff(few, "minisblack", bitspersample=bits), ".tif", wide)
        yield f"grey {bits}, min-is-white", Made(tiff(few, "miniswhite", bitspersample=bits), ".tif", wide)
        table = np.arange(3 << bits, dtype=np.uint16).reshape(3, -1) * 900
        yield f"palette {bits}", Made(with_colour_map(few, table, bitspersample=bits), ".tif", few)
    two = np.array([[257, 65535], [0, 514], [771, 0]], np.uint16)
    yield "palette 1", Made(with_colour_map(bilevel, two), ".tif", bilevel.astype(np.uint8))
    jpeg = encoded(coffee(), "TIFF", compression="jpeg", quality=95)
    yield "JPEG", Made(jpeg, ".tif", tifffile.imread(io.BytesIO(jpeg)))
    yield "JPEG, other", Made(patched(tiff(GREY, "minisblack", compression="jpeg"), BitsPerSample=12), ".tif")
    rgb, grey = tiff(RGB, "rgb"), tiff(GREY, "minisblack")
    refused = {
        "signed": tiff(GREY16.astype(np.int16), "minisblack"),
        "float": tiff(GREY.astype(np.float32), "minisblack"),
        "complex": tiff(GREY.astype(np.complex64), "minisblack"),
        "untyped": tiff(GREY.astype(np.int8), "minisblack"),
        "32 bits": tiff(GREY.astype(np.uint32), "minisblack"),
        "odd bits": tiff(GREY16 >> 4, "minisblack", bitspersample=12),
        "CMYK 16": tiff(INK.astype(np.uint16) * 257, "separated"),
        "CMYK 8 + premultiplied alpha": tiff(stack(INK, ALPHA), "separated", extrasamples=["assocalpha"]),
        "grey, min-is-white + premultiplied alpha": tiff(
            stack(GREY, ALPHA), "miniswhite", extrasamples=[1], planarconfig="contig"
        ),
        "palette + channels": patched(
            tiff(
                stack(GREY, ALPHA),
                "minisblack",
                extrasamples=[2],
                planarconfig="contig",
                extratags=[(320, 3, 768, [0] * 768, True)],
            ),
            PhotometricInterpretation=3,
        ),
        "palette 16": tiff(GREY16, "palette", colormap=np.zeros((3, 65536), np.uint16)),
        "Lab": tiff(RGB, "cielab"),
        "LogLuv": patched(rgb, PhotometricInterpretation=32845),
        "YCbCr": patched(rgb, PhotometricInterpretation=6),
        "transparency mask": patched(grey, PhotometricInterpretation=4),
        "camera raw": patched(grey, PhotometricInterpretation=32803),
        "colour space unknown": patched(grey, PhotometricInterpretation=99),
        "packing unknown": patched(grey, Compression=34712),
    }
    refused["untyped"] = patched(refused["untyped"], SampleFormat=4)
    yield from ((kind, Made(data, ".tif")) for kind, data in refused.items())


def with_colour_map(indices: np.ndarray, table: np.ndarray, **options: object) -> bytes:
    """A palette of fewer than 8 bits, which tifffile does not write: a grey TIFF with a colour map put beside it."""
    tag = (320, 3, table.size, table.ravel().tolist(), True)
    grey = tiff(indices, "minisblack", extratags=[tag], **options)
    return patched(grey, PhotometricInterpretation=3)


def layouts(samples: np.ndarray, kind: str) -> Iterator[dict[str, object]]:
    """Other ways in which the same samples lie in a TIFF."""
    yield {"byteorder": ">"}
    yield {"bigtiff": True}
    yield {"byteorder": ">", "bigtiff": True, "compression": "zlib"}
    if kind.startswith("grey 1,") or kind == "grey 1":
        return
    yield {"compression": "lzw", "rowsperstrip": 7}
    yield {"compression": "packbits", "rowsperstrip": 5}
    yield {"tile": (16, 32)}
    if not kind.startswith("palette"):
        yield {"compression": "lzw", "predictor": True, "byteorder": ">"}
        yield {"compression": "zlib", "predictor": True, "tile": (32, 16)}


def pngs() -> Iterator[tuple[str, Made]]:
    for name, bits in (("8", 8), ("16", 16)):
        grey, rgb, alpha = (GREY, RGB, ALPHA) if bits == 8 else (GREY16, RGB16, ALPHA16)
        for kind, samples in {
            f"grey {name}": grey,
            f"grey {name} + alpha": stack(grey, alpha),
            f"RGB {name}": rgb,
            f"RGB {name} + alpha": stack(rgb, alpha),
        }.items():
            yield kind, Made(imagecodecs.png_encode(samples), ".png", samples)
    bilevel = Image.fromarray(GREY > 100)
    yield "grey 1", Made(encoded(bilevel, "PNG"), ".png", (GREY > 100).astype(np.uint8) * np.uint8(255))
    for bits in (1, 2, 4, 8):
        few = coffee().quantize(1 << bits)
        data = encoded(few, "PNG", bits=bits)
        yield f"palette {bits}", Made(data, ".png", np.asarray(few.convert("RGB")))
    for bits in (2, 4):
        few = GREY >> (8 - bits)
        wide = (few.astype(np.uint16) * 255 // ((1 << bits) - 1)).astype(np.uint8)
        yield f"grey {bits}", Made(small_png(few, bits), ".png", wide)


def small_png(levels: np.ndarray, bits: int) -> bytes:
    """Grey with 2 or 4 bits, which none of the libraries writes."""
    import zlib

    height, width = levels.shape
    share = 8 // bits
    padded = np.pad(levels, ((0, 0), (0, -width % share))).reshape(height, -1, share)
    packed = sum(padded[..., place] << (8 - bits * (place + 1)) for place in range(share)).astype(np.uint8)
    rows = np.pad(packed, ((0, 0), (1, 0))).tobytes()
    parts = [
        (b"IHDR", struct.pack(">2I5B", width, height, bits, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    chunks = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def jpegs() -> Iterator[tuple[str, Made]]:
    for kind, image in (
        ("grey 8", coffee().convert("L")),
        ("colour 8", coffee()),
        ("CMYK 8", coffee().convert("CMYK")),
    ):
        data = encoded(image, "JPEG", quality=90)
        with Image.open(io.BytesIO(data)) as opened:
            yield kind, Made(data, ".jpg", np.asarray(opened))
    yield "12 bits", Made(imagecodecs.jpeg8_encode(GREY16 >> 4, bitspersample=12), ".jpg")
    yield "lossless process", Made(imagecodecs.ljpeg_encode(GREY), ".jpg")
    yield "JPEG-LS", Made(imagecodecs.jpegls_encode(GREY), ".jpg")
    whole = bytearray(encoded(coffee(), "JPEG"))
    place = whole.index(b"\xff\xc0")
    whole[place + 9] = 2
    yield "other channels", Made(bytes(whole), ".jpg")
    whole[place + 9], whole[place + 4] = 3, 10
    yield "other bits", Made(bytes(whole), ".jpg")


def jpeg2000s() -> Iterator[tuple[str, Made]]:
    for space, alpha in (("grey", False), ("RGB", False), ("RGB", True), ("grey", True)):
        name = " + alpha" if alpha else ""
        for bits in (8, 12, 16):
            parts = [GREY16 if space == "grey" else RGB16, *([ALPHA16] if alpha else [])]
            levels = (stack(*parts) if len(parts) > 1 else parts[0]) >> (16 - bits)
            samples = levels.astype(np.uint8) if bits == 8 else levels
            file = imagecodecs.jpeg2k_encode(samples, level=0, reversible=True, bitspersample=bits, codecformat="jp2")
            top = (1 << bits) - 1
            truth = samples if bits == 8 else ((samples.astype(np.uint32) * 65535 + top // 2) // top).astype(np.uint16)
            kind = f"{space} {'9 to 15' if bits == 12 else bits}{name}"
            yield kind, Made(file, ".jp2", truth)
    rgb = imagecodecs.jpeg2k_encode(RGB, level=0, reversible=True, codecformat="jp2", mct=False)
    place = rgb.index(b"\xff\x4f\xff\x51")
    signed = bytearray(rgb)
    signed[place + 42] |= 0x80
    yield "signed", Made(bytes(signed), ".jp2")
    odd = bytearray(rgb)
    odd[place + 42] = 5
    yield "other", Made(bytes(odd), ".jp2")
    colr = rgb.index(b"colr")
    other = bytearray(rgb)
    other[colr + 7 : colr + 11] = struct.pack(">I", 18)
    with Image.open(io.BytesIO(bytes(other))) as image:
        yield "YCC", Made(bytes(other), ".jp2", np.asarray(image.convert("RGB")))
    header = rgb.index(b"jp2h") - 4
    (length,) = struct.unpack(">I", rgb[header : header + 4])
    pclr = struct.pack(">I4s", 8, b"pclr")
    yield (
        "palette",
        Made(
            rgb[:header]
            + struct.pack(">I", length + 8)
            + rgb[header + 4 : header + length]
            + pclr
            + rgb[header + length :],
            ".jp2",
        ),
    )


def avifs() -> Iterator[tuple[str, Made]]:
    for bits in (8, 10, 12):
        for space, samples in (("colour", RGB16), ("grey", GREY16)):
            levels = (samples >> (16 - bits)).astype(np.uint8 if bits == 8 else np.uint16)
            data = imagecodecs.avif_encode(
                levels, level=100, speed=8, bitspersample=bits, pixelformat="400" if space == "grey" else "444"
            )
            held = imagecodecs.avif_decode(data).astype(np.uint32)
            top = (1 << bits) - 1
            truth = held.astype(np.uint8) if bits == 8 else ((held * 65535 + top // 2) // top).astype(np.uint16)
            yield f"{space} {bits}", Made(data, ".avif", truth)


def heifs() -> Iterator[tuple[str, Made]]:
    import pillow_heif

    for bits in (8, 10, 12):
        levels = RGB if bits == 8 else RGB16
        mode = "RGB" if bits == 8 else "RGB;16"
        made = pillow_heif.from_bytes(mode, (RGB.shape[1], RGB.shape[0]), levels.tobytes())
        file = io.BytesIO()
        former = pillow_heif.options.SAVE_HDR_TO_12_BIT
        pillow_heif.options.SAVE_HDR_TO_12_BIT = bits == 12
        made.save(file, quality=90)
        pillow_heif.options.SAVE_HDR_TO_12_BIT = former
        yield f"colour {bits}", Made(file.getvalue(), ".heic")


def others() -> Iterator[tuple[str, str, Made]]:
    rgba = stack(RGB, ALPHA)
    webp = {"lossless": RGB, "lossless + alpha": rgba}
    for kind, samples in webp.items():
        data = encoded(Image.fromarray(samples), "WEBP", lossless=True, exact=True)
        yield "WEBP", kind, Made(data, ".webp", samples)
    for kind, samples in (("lossy", RGB), ("lossy + alpha", rgba)):
        data = encoded(Image.fromarray(samples), "WEBP", quality=90)
        yield "WEBP", kind, Made(data, ".webp", imagecodecs.webp_decode(data))
    gif = encoded(palette_image(), "GIF")
    yield "GIF", "palette", Made(gif, ".gif", np.asarray(palette_image().convert("RGB")))
    ramp = np.tile(np.arange(256, dtype=np.uint8), (520, 2))
    yield "GIF", "grey", Made(encoded(Image.fromarray(ramp), "GIF"), ".gif", ramp)
    yield from (("BMP", kind, made) for kind, made in bmps())
    yield from (("PPM", kind, made) for kind, made in ppms())
    for kind, samples in {
        "grey 8": GREY,
        "grey 8 + alpha": stack(GREY, ALPHA),
        "RGB 24": RGB,
        "RGB 32 + alpha": rgba,
    }.items():
        for packing in ({}, {"compression": "tga_rle"}):
            yield "TGA", kind, Made(encoded(Image.fromarray(samples), "TGA", **packing), ".tga", samples)
    indexed = palette_image()
    yield "TGA", "palette 8", Made(encoded(indexed, "TGA"), ".tga", np.asarray(indexed.convert("RGB")))
    five = RGB >> 3
    words = (five[..., 0].astype(np.uint16) << 10) | (five[..., 1].astype(np.uint16) << 5) | five[..., 2]
    head = struct.pack("<3B2HB4H2B", 0, 0, 2, 0, 0, 0, 0, 0, RGB.shape[1], RGB.shape[0], 16, 0x20)
    data = head + words.astype("<u2").tobytes()
    with Image.open(io.BytesIO(data), formats=["TGA"]) as image:
        yield "TGA", "RGB 16", Made(data, ".tga", np.asarray(image.convert("RGB")))
    head = struct.pack("<3B2HB4H2B", 0, 1, 1, 0, 256, 32, 0, 0, RGB.shape[1], RGB.shape[0], 8, 0x20)
    table = np.random.default_rng(4).integers(0, 256, (256, 4), dtype=np.uint8)
    index = np.asarray(indexed)
    yield (
        "TGA",
        "palette + alpha",
        Made(head + table.tobytes() + index.tobytes(), ".tga", table[index][..., [2, 1, 0, 3]]),
    )
    head = struct.pack("<3B2HB4H2B", 0, 0, 2, 0, 0, 0, 0, 0, RGB.shape[1], RGB.shape[0], 16, 0x21)
    yield "TGA", "RGB 16 + alpha", Made(head + words.astype("<u2").tobytes(), ".tga")
    head = struct.pack("<3B2HB4H2B", 0, 0, 2, 0, 0, 0, 0, 0, RGB.shape[1], RGB.shape[0], 32, 0x20)
    yield "TGA", "RGB 32", Made(head + rgba[..., [2, 1, 0, 3]].tobytes(), ".tga", rgba)


def bmps() -> Iterator[tuple[str, Made]]:
    bilevel = Image.fromarray(GREY > 100)
    yield "grey 1", Made(encoded(bilevel, "BMP"), ".bmp", (GREY > 100).astype(np.uint8) * np.uint8(255))
    indexed = palette_image()
    yield "palette 8", Made(encoded(indexed, "BMP"), ".bmp", np.asarray(indexed.convert("RGB")))
    yield "RGB 24", Made(encoded(coffee(), "BMP"), ".bmp", RGB)
    height, width = GREY.shape
    for bits in (1, 2, 4):
        table = np.random.default_rng(bits).integers(1, 255, (1 << bits, 4), dtype=np.uint8)
        index = GREY >> (8 - bits)
        share = 8 // bits
        padded = np.pad(index, ((0, 0), (0, -width % (4 * share)))).reshape(height, -1, share)
        rows = sum(padded[..., place] << (8 - bits * (place + 1)) for place in range(share)).astype(np.uint8)
        truth = table[index][..., [2, 1, 0]]
        if bits != 2:  # a depth of Windows CE that Pillow refuses
            yield f"palette {bits}", Made(bmp(rows[::-1].tobytes(), bits, 0, table.tobytes()), ".bmp", truth)
        else:
            yield "other", Made(bmp(rows[::-1].tobytes(), bits, 0, table.tobytes()), ".bmp")
    table = np.random.default_rng(8).integers(0, 256, (256, 4), dtype=np.uint8)
    runs = b"".join(b"".join(bytes((1, level)) for level in row) + b"\0\0" for row in GREY[::-1]) + b"\0\1"
    yield "palette 8, run-length", Made(bmp(runs, 8, 1, table.tobytes()), ".bmp", table[GREY][..., [2, 1, 0]])
    few = GREY >> 4
    runs = b"".join(b"".join(bytes((1, level << 4)) for level in row) + b"\0\0" for row in few[::-1]) + b"\0\1"
    yield "palette 4, run-length", Made(bmp(runs, 4, 2, table[:16].tobytes()), ".bmp", table[few][..., [2, 1, 0]])
    red, green, blue = (RGB[..., channel].astype(np.uint16) for channel in range(3))
    words = np.pad(red >> 3 << 11 | green >> 2 << 5 | blue >> 3, ((0, 0), (0, width % 2)))
    masks = struct.pack("<3I", 0xF800, 0x7E0, 0x1F)
    for rows, packing, extra in (
        (words, 3, masks),
        (np.pad(red >> 3 << 10 | green >> 3 << 5 | blue >> 3, ((0, 0), (0, width % 2))), 0, b""),
    ):
        data = bmp(rows[::-1].astype("<u2").tobytes(), 16, packing, extra)
        with Image.open(io.BytesIO(data)) as image:
            yield "RGB 16", Made(data, ".bmp", np.asarray(image.convert("RGB")))
    four = stack(RGB[..., ::-1], ALPHA)
    yield "RGB 32", Made(bmp(four[::-1].tobytes(), 32, 0, b""), ".bmp", RGB)
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    head = (
        struct.pack("<IiiHHIIiiII", 108, width, height, 1, 32, 3, four.size, 0, 0, 0, 0) + masks + b"BGRs" + bytes(48)
    )
    data = b"BM" + struct.pack("<IHHI", 14 + 108 + four.size, 0, 0, 14 + 108) + head + four[::-1].tobytes()
    yield "RGB 32 + alpha", Made(data, ".bmp", stack(RGB, ALPHA))


def bmp(rows: bytes, bits: int, packing: int, behind: bytes) -> bytes:
    """A BMP with a BITMAPINFOHEADER; `behind` it stand masks or a palette of 4 bytes each."""
    height, width = GREY.shape
    colours = len(behind) // 4 if bits <= 8 else 0
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, packing, len(rows), 0, 0, colours, 0)
    start = 14 + len(head) + len(behind)
    return b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start) + head + behind + rows


def ppms() -> Iterator[tuple[str, Made]]:
    yield "grey 1", Made(encoded(Image.fromarray(GREY > 100), "PPM"), ".pbm", GREY > 100)
    for space, eight, deeper in (("grey", GREY, GREY16), ("RGB", RGB, RGB16)):
        yield f"{space} 8", Made(ppm(eight, 255), ".ppm", eight)
        yield f"{space} 8", Made(ppm(eight, 255, text=True), ".ppm", eight)
        yield f"{space} 16", Made(ppm(deeper, 65535), ".ppm", deeper)
        few, many = eight >> 2, deeper >> 4
        wide = ((few.astype(np.uint32) * 255 + 31) // 63).astype(np.uint8)
        wider = ((many.astype(np.uint32) * 65535 + 2047) // 4095).astype(np.uint16)
        yield f"{space} below 8", Made(ppm(few, 63), ".ppm", wide)
        yield f"{space} 9 to 15", Made(ppm(many, 4095), ".ppm", wider)
        yield f"{space} 9 to 15", Made(ppm(many, 4095, text=True), ".ppm", wider)
    yield "float", Made(b"PF\n1 1\n-1.0\n" + bytes(12), ".ppm")
    yield "other", Made(b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 3\nMAXVAL 255\nENDHDR\n" + bytes(3), ".ppm")


def ppm(samples: np.ndarray, maximum: int, text: bool = False) -> bytes:
    colour = samples.ndim == 3
    digit = (3 if colour else 2) + (0 if text else 3)
    head = f"P{digit}\n{samples.shape[1]} {samples.shape[0]}\n{maximum}\n".encode()
    if text:
        return head + "\n".join(map(str, samples.ravel())).encode()
    return head + (samples.astype(">u2") if maximum > 255 else samples.astype(np.uint8)).tobytes()


@cache
def made() -> dict[tuple[str, str], list[Made]]:
    """All files, by format and kind."""
    files: dict[tuple[str, str], list[Made]] = {}
    makers: dict[str, Callable[[], Iterator[tuple[str, Made]]]] = {
        "TIFF": tiffs,
        "PNG": pngs,
        "JPEG": jpegs,
        "JPEG2000": jpeg2000s,
        "AVIF": avifs,
        "HEIF": heifs,
    }
    for form, maker in makers.items():
        for kind, file in maker():
            files.setdefault((form, kind), []).append(file)
    for form, kind, file in others():
        files.setdefault((form, kind), []).append(file)
    return files
