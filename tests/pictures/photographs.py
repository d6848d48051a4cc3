"""Pictures in every mode and format, made from one real photograph; and changes to them."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from lib_prodshot.pictures import LoadedPicture, png

SKIMAGE = Path(pytest.importorskip("skimage").__file__).parent / "data"


def coffee(size: tuple[int, int] = (61, 47)) -> Image.Image:
    """A real photograph, W×H, odd on purpose."""
    with Image.open(SKIMAGE / "coffee.png") as image:
        return image.convert("RGB").resize(size, Image.Resampling.BICUBIC)


def with_alpha(image: Image.Image) -> Image.Image:
    ramp = Image.linear_gradient("L").resize(image.size)
    image = image.convert("RGBA") if image.mode == "RGB" else image.convert("LA")
    image.putalpha(ramp)
    return image


def deep(image: Image.Image) -> np.ndarray:
    """The picture with 16 bits per sample, all of them in use."""
    levels = np.asarray(image).astype(np.uint16) * 251
    return levels + np.random.default_rng(3).integers(0, 255, levels.shape, dtype=np.uint16)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def deep_png(samples: np.ndarray) -> bytes:
    file = io.BytesIO()
    png.write_deep(file, samples, ())
    return file.getvalue()


def by_opencv(suffix: str, samples: np.ndarray) -> bytes:
    """A second encoder, so that our own reading is not judged by our own writing."""
    order = samples[..., ::-1] if samples.ndim == 3 and samples.shape[2] == 3 else samples
    order = samples[..., [2, 1, 0, 3]] if samples.ndim == 3 and samples.shape[2] == 4 else order
    return cv2.imencode(suffix, order)[1].tobytes()


def palette_image(colours: int = 200, **options: object) -> Image.Image:
    return coffee().quantize(colours, **options)


def grey_ramp() -> Image.Image:
    """All greys, and large enough for Pillow's GIF writer to leave the palette in order."""
    return Image.fromarray(np.tile(np.arange(256, dtype=np.uint8), (520, 2)))


def cases() -> dict[str, tuple[bytes, str, str, str]]:
    """name: file bytes, suffix of the input, mode, suffix of the output."""
    rgb, grey = coffee(), coffee().convert("L")
    rgba, la = with_alpha(rgb), with_alpha(grey)
    cmyk, bilevel, indexed = rgb.convert("CMYK"), rgb.convert("1"), palette_image()
    deep_alpha = np.dstack([deep(rgb), deep(grey)])
    return {
        "png-rgb": (encoded(rgb, "PNG"), ".png", "RGB", ".png"),
        "png-rgba": (encoded(rgba, "PNG"), ".png", "RGBA", ".png"),
        "png-l": (encoded(grey, "PNG"), ".png", "L", ".png"),
        "png-la": (encoded(la, "PNG"), ".png", "LA", ".png"),
        "png-p": (encoded(indexed, "PNG"), ".png", "P", ".png"),
        "png-p-4-bits": (encoded(palette_image(12), "PNG"), ".png", "P", ".png"),
        "png-p-one-clear": (encoded(indexed, "PNG", transparency=7), ".png", "P", ".png"),
        "png-p-alphas": (encoded(indexed, "PNG", transparency=bytes([0, 128, 255] * 66)), ".png", "P", ".png"),
        "png-1": (encoded(bilevel, "PNG"), ".png", "1", ".png"),
        "png-key-rgb": (encoded(rgb, "PNG", transparency=rgb.getpixel((30, 20))), ".png", "RGB", ".png"),
        "png-key-l": (encoded(grey, "PNG", transparency=grey.getpixel((30, 20))), ".png", "L", ".png"),
        "png-l-16": (by_opencv(".png", deep(grey)), ".png", "I;16", ".png"),
        "png-la-16": (deep_png(deep_alpha[..., 2:]), ".png", "LA;16", ".png"),
        "png-rgb-16": (by_opencv(".png", deep(rgb)), ".png", "RGB;16", ".png"),
        "png-rgba-16": (by_opencv(".png", deep_alpha), ".png", "RGBA;16", ".png"),
        "jpeg-rgb": (encoded(rgb, "JPEG"), ".jpg", "RGB", ".png"),
        "jpeg-l": (encoded(grey, "JPEG"), ".jpg", "L", ".png"),
        "jpeg-cmyk": (encoded(cmyk, "JPEG"), ".jpg", "CMYK", ".tif"),
        "webp-lossless": (encoded(rgb, "WEBP", lossless=True), ".webp", "RGB", ".webp"),
        "webp-lossless-rgba": (encoded(rgba, "WEBP", lossless=True, exact=True), ".webp", "RGBA", ".webp"),
        "webp-lossy": (encoded(rgb, "WEBP"), ".webp", "RGB", ".png"),
        "tiff-rgb": (encoded(rgb, "TIFF"), ".tiff", "RGB", ".tiff"),
        "tiff-rgb-lzw": (encoded(rgb, "TIFF", compression="tiff_lzw"), ".tif", "RGB", ".tif"),
        "tiff-rgba": (encoded(rgba, "TIFF"), ".tif", "RGBA", ".tif"),
        "tiff-l": (encoded(grey, "TIFF", compression="tiff_deflate"), ".tif", "L", ".tif"),
        "tiff-la": (encoded(la, "TIFF"), ".tif", "LA", ".tif"),
        "tiff-p": (encoded(indexed, "TIFF"), ".tif", "P", ".tif"),
        "tiff-1": (encoded(bilevel, "TIFF"), ".tif", "1", ".tif"),
        "tiff-1-group4": (encoded(bilevel, "TIFF", compression="group4"), ".tif", "1", ".tif"),
        "tiff-cmyk": (encoded(cmyk, "TIFF"), ".tif", "CMYK", ".tif"),
        "tiff-l-16": (by_opencv(".tiff", deep(grey)), ".tif", "I;16", ".tif"),
        "tiff-rgb-16": (by_opencv(".tiff", deep(rgb)), ".tif", "RGB;16", ".tif"),
        "bmp-rgb": (encoded(rgb, "BMP"), ".bmp", "RGB", ".bmp"),
        "bmp-l": (encoded(grey, "BMP"), ".bmp", "L", ".bmp"),
        "bmp-p": (encoded(indexed, "BMP"), ".bmp", "P", ".bmp"),
        "bmp-1": (encoded(bilevel, "BMP"), ".bmp", "1", ".bmp"),
        "ppm": (encoded(rgb, "PPM"), ".ppm", "RGB", ".ppm"),
        "pgm": (encoded(grey, "PPM"), ".pgm", "L", ".pgm"),
        "pbm": (encoded(bilevel, "PPM"), ".pbm", "1", ".pbm"),
        "pgm-16": (by_opencv(".pgm", deep(grey)), ".pgm", "I;16", ".pgm"),
        "ppm-16": (by_opencv(".ppm", deep(rgb)), ".ppm", "RGB;16", ".ppm"),
        "tga-rgb": (encoded(rgb, "TGA"), ".tga", "RGB", ".tga"),
        "tga-rle": (encoded(rgb, "TGA", compression="tga_rle"), ".tga", "RGB", ".tga"),
        "tga-rgba": (encoded(rgba, "TGA"), ".tga", "RGBA", ".tga"),
        "tga-p": (encoded(indexed, "TGA"), ".tga", "P", ".tga"),
        "gif": (encoded(indexed, "GIF"), ".gif", "P", ".png"),
        "gif-grey-clear": (encoded(grey_ramp(), "GIF", transparency=99), ".gif", "L", ".png"),
        "gif-clear": (encoded(indexed, "GIF", transparency=7), ".gif", "P", ".png"),
    }


CASES = cases()


def changed_inside(picture: LoadedPicture) -> tuple[np.ndarray, np.ndarray]:
    """New colours everywhere, and a feathered mask that lets them through in the middle only."""
    height, width = picture.size
    alpha = np.zeros((height, width), np.uint8)
    alpha[height // 4 : height * 3 // 4 + 1, width // 4 : width * 3 // 4 + 1] = 255
    alpha[height // 4] //= 2
    return cv2.bitwise_not(picture.rgb), alpha
