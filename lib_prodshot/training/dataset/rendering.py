"""Differences in colour between what sd-scripts trains on and what a viewer shows.

sd-scripts v0.10.1 (`load_image` in its `library/train_util.py`) takes the first frame as stored and converts it by
Pillow's `convert("RGB")`: no colour profile is applied, 16-bit grey is clipped instead of scaled, opacity is dropped.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from PIL import Image, ImageCms

from lib_prodshot.jobs.files.reading import open_regular
from lib_prodshot.pictures import blocks, colour, png
from lib_prodshot.pictures.colour import Space
from lib_prodshot.preserve import delta_e_of

if TYPE_CHECKING:
    import numpy.typing as npt

    Rgb = npt.NDArray[np.uint8]

VISIBLE_DIFFERENCE = 1.0
"""ΔE2000 up to which two colours look alike (Mokrzycki and Tatol, 2011, "Colour difference ΔE - a survey")."""

SEVERE_DIFFERENCE = 10.0
"""Mean ΔE2000 from which a photograph trains as another one: as far apart as red and orange of one lightness."""

SAMPLE_SIDE = 128
"""Colours are compared on at most so many pixels of each side, evenly taken."""

_NEGLIGIBLE_SHARE = 0.005
"""Shares of pixels up to this are not reported."""

Level = Literal["error", "warning"]

_SPACES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_INTENT, _FLAGS = 1, 0x2000
"""Relative colorimetric with black point compensation, as image editors convert; numbers of Little CMS."""


@dataclass(frozen=True)
class Difference:
    """One difference between what sd-scripts and a viewer read: a clause, and its level."""

    level: Level
    kind: str
    message: str


@dataclass(frozen=True)
class ColourDescription:
    """The colour space of a file: an ICC `profile`, or else a `space` by numbers; neither: sRGB."""

    name: str = ""
    profile: bytes | None = None
    space: Space | None = None

    @property
    def is_srgb(self) -> bool:
        """Whether colours look the same when they are taken for sRGB."""
        return self.space is None and (self.profile is None or _is_srgb(self.profile))


def describe_colours(image: Image.Image, path: Path) -> ColourDescription:
    """The colour space of an opened file; for a PNG by its first chunk in rank (PNG Third Edition, section 4.3)."""
    profile = image.info.get("icc_profile")
    profile = profile if isinstance(profile, bytes) and profile else None
    exif = image.info.get("exif")
    adobe = blocks.space_by_exif(exif.removeprefix(b"Exif\0\0")) if isinstance(exif, bytes) and not profile else None
    if adobe is not None:
        return ColourDescription("Adobe RGB by EXIF", space=adobe)
    if image.format != "PNG":
        return ColourDescription(_profile_name(profile), profile)
    with open_regular(path) as file:
        chunks = png.read_chunks(file.read())[0]
    cicp, space = png.space_of_chunks(chunks)
    if cicp is None and space is None:
        return ColourDescription(_profile_name(profile), profile)
    return ColourDescription(f"cICP {cicp.describe()}" if cicp else "gAMA and cHRM", space=space)


def differences(image: Image.Image, colours: ColourDescription) -> Iterator[Difference]:
    """Yield all differences of a decoded picture, which may be a reduced one of its own mode; `colours` are those its
    file describes."""
    frames = _frames(image)
    if frames > 1:
        yield Difference("warning", "animated", f"animated: only the first frame of {frames} would be trained on")
    small = _subsampled(image)
    try:
        loaded = _array(small.convert("RGB"))
    except ValueError as error:
        yield Difference("error", "unreadable", f"sd-scripts cannot convert it: {error}")
        return
    if small.mode.startswith("I"):  # 16 bits
        yield _clipping_difference(small, loaded)
        return
    yield from _opacity_differences(small, loaded)
    yield from _colour_differences(small, colours)


def is_plain_srgb(image: Image.Image, colours: ColourDescription) -> bool:
    """Whether by the header alone the samples are opaque grey or RGB in sRGB."""
    plain = image.mode in ("L", "RGB") and "transparency" not in image.info
    return plain and _frames(image) == 1 and colours.is_srgb


def to_srgb(image: Image.Image, colours: ColourDescription) -> Image.Image:
    """Opaque samples (L, RGB, CMYK, 8 bits) as sRGB. A profile that cannot be used, or is one of another kind of
    samples, is left aside, as viewers do."""
    if colours.space is not None:
        return Image.fromarray(colour.from_space(_array(image.convert("RGB")), colours.space))
    if colours.profile is None:
        return image.convert("RGB")
    with suppress(ImageCms.PyCMSError, OSError, ValueError):
        source = ImageCms.ImageCmsProfile(io.BytesIO(colours.profile))
        mode = _SPACES.get(source.profile.xcolor_space, "")
        if mode == image.mode or (mode and "CMYK" not in (mode, image.mode)):
            target = ImageCms.createProfile("sRGB")
            opaque: Any = image.convert(mode)
            converted: Any = ImageCms.profileToProfile(opaque, source, target, _INTENT, "RGB", flags=_FLAGS)  # type: ignore[arg-type]
            converted.info.pop("icc_profile", None)  # Pillow's own, with the time in it
            return cast("Image.Image", converted)
    return image.convert("RGB")


def over_white(colours: Image.Image, opacity: Image.Image | None) -> Image.Image:
    """RGB with its transparent parts over white, as viewers show them."""
    if opacity is None:
        return colours
    return Image.composite(colours, Image.new("RGB", colours.size, "white"), opacity)


def _profile_name(profile: bytes | None) -> str:
    """How a profile calls itself, empty where it cannot be read."""
    if profile is None:
        return ""
    with suppress(ImageCms.PyCMSError, OSError, ValueError):
        return " ".join(ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile))).split())
    return ""


def _clipping_difference(image: Image.Image, loaded: Rgb) -> Difference:
    levels = np.asarray(image).astype(np.float64)
    shown = np.clip(np.rint(levels / 257), 0, 255).astype(np.uint8)
    mean, _ = _delta_e(loaded, np.repeat(shown[..., None], 3, axis=2))
    white = float((levels > 254).mean())
    message = (
        f"sd-scripts clips its 16-bit grey instead of scaling it: {white:.0%} of it would train as plain white "
        f"(ΔE2000 {mean:.1f} on average); save it with 8 bits"
    )
    return Difference("error" if mean > VISIBLE_DIFFERENCE else "warning", "deep", message)


def _opacity_differences(image: Image.Image, loaded: Rgb) -> Iterator[Difference]:
    """Compare the picture without its opacity with the one over white."""
    opacity = _opacity(image)
    if opacity is None:
        return
    clear = np.asarray(opacity) < 255
    shown = _array(over_white(Image.fromarray(loaded), opacity))
    uncovered = (np.abs(loaded.astype(int) - shown) > 2).any(axis=2)
    if uncovered.mean() <= _NEGLIGIBLE_SHARE:
        return
    mean, _ = _delta_e(loaded, shown)
    hidden = _describe_pixels(loaded[uncovered])
    fringe = ", and its soft edges darker, as it looks premultiplied" if _looks_premultiplied(loaded, opacity) else ""
    yield Difference(
        "warning",
        "transparent",
        f"its transparency is dropped: {clear.mean():.0%} of it would train as what lies beneath, {hidden}{fringe} "
        f"(ΔE2000 {mean:.1f} on average against white)",
    )


def _colour_differences(image: Image.Image, colours: ColourDescription) -> Iterator[Difference]:
    base = _opaque(image)
    if colours.is_srgb and base.mode != "CMYK":
        return
    mean, most = _delta_e(_array(base.convert("RGB")), _array(to_srgb(base, colours)))
    cost = f"ΔE2000 {mean:.1f} on average, up to {most:.1f}"
    level: Level = "error" if mean >= SEVERE_DIFFERENCE else "warning"
    if base.mode == "CMYK":
        if colours.profile:
            how = f"without its profile {colours.name!r} ({cost})"
        else:
            how = "by a rule of thumb, as it has no profile"
        yield Difference(level, "cmyk", f"it is CMYK, which sd-scripts converts {how}: save it as sRGB")
    elif not colours.name:
        yield Difference("warning", "profile", "its colour profile cannot be read, so that it trains as sRGB")
    else:
        what = f"its profile {colours.name!r}" if colours.profile else f"what it says of its colours ({colours.name})"
        message = f"sd-scripts ignores {what} and reads it as sRGB ({cost}): convert it to sRGB"
        yield Difference(level, "profile", message)


@lru_cache(maxsize=256)
def _is_srgb(profile: bytes) -> bool:
    """Whether colours all over the cube look alike with the profile and as sRGB."""
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(27, 27, 3)
    with suppress(ImageCms.PyCMSError, OSError, ValueError):
        space = ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile.xcolor_space
        probe = Image.fromarray(cube)
        probe = probe.convert("L") if space == "GRAY" else probe
        shown = to_srgb(probe, ColourDescription(profile=profile))
        return _delta_e(_array(probe.convert("RGB")), _array(shown))[1] <= VISIBLE_DIFFERENCE
    return False


def _delta_e(one: Rgb, other: Rgb) -> tuple[float, float]:
    """Mean and largest ΔE2000 of two pictures of one size, sRGB."""
    shift = delta_e_of(one.reshape(-1, 3), other.reshape(-1, 3))
    return float(shift.mean()), float(shift.max(initial=0))


def _subsampled(image: Image.Image) -> Image.Image:
    """At most `SAMPLE_SIDE` pixels of each side, none of them mixed from others."""
    stride = -(-max(image.size) // SAMPLE_SIDE)
    size = (max(1, image.width // stride), max(1, image.height // stride))
    return image.resize(size, Image.Resampling.NEAREST) if stride > 1 else image


def _opaque(image: Image.Image) -> Image.Image:
    """The samples without opacity, in a mode that a profile can stand for."""
    if image.mode in ("L", "RGB", "CMYK"):
        return image
    return image.convert("L") if image.mode in ("1", "LA", "La") else image.convert("RGB")


def _opacity(image: Image.Image) -> Image.Image | None:
    if "transparency" in image.info and image.mode in ("1", "L", "P", "RGB"):
        with suppress(ValueError):
            return image.convert("RGBA").getchannel("A")
        return None
    bands = image.getbands()
    if "A" in bands:
        return image.getchannel("A") if image.mode != "PA" else image.convert("RGBA").getchannel("A")
    return image.convert("RGBA").getchannel("A") if "a" in bands else None


def _looks_premultiplied(loaded: Rgb, opacity: Image.Image) -> bool:
    """Whether no colour is brighter than its opacity, and some pixels are half transparent."""
    alpha = np.asarray(opacity)
    soft = (alpha > 8) & (alpha < 247)
    return bool(soft.any() and (loaded.max(axis=2) <= alpha.astype(int) + 1).all())


def _describe_pixels(colours: Rgb) -> str:
    """A clause that describes most of the colours."""
    lightness = colours.astype(int)
    if (lightness.max(axis=1) < 16).mean() > 0.5:
        return "mostly black"
    return "mostly white" if (lightness.min(axis=1) > 239).mean() > 0.5 else "which no viewer shows"


def _frames(image: Image.Image) -> int:
    """Frames of an animation; further pictures of a camera (MPO) and pages are none."""
    if image.format in ("MPO", "TIFF"):
        return 1
    try:
        return int(getattr(image, "n_frames", 1))
    except (OSError, ValueError, SyntaxError, EOFError, struct.error):
        return 1


def _array(image: Image.Image) -> Rgb:
    made: npt.NDArray[Any] = np.asarray(image, dtype=np.uint8)
    return made
