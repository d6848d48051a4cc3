"""What a picture's numbers mean as colours, and how they look in sRGB, which is what finders and people are shown.

Sources: ITU-T H.273 (code points), ITU-R BT.2100 (PQ, HLG), BT.2408 (203 cd/m² for diffuse white), IEC 61966-2-1
(sRGB), Lindbloom "Chromatic Adaptation" (Bradford), Reinhard et al. 2002, equation 4 (highlights).
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

Rgb = npt.NDArray[np.uint8]
"""H×W×3."""

Curve = npt.NDArray[np.float32]
"""256 levels: light for each code value, 1 for diffuse white."""

_D65, _C, _DCI = (0.3127, 0.3290), (0.310, 0.316), (0.314, 0.351)
_BT709 = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
_BT601 = ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070))
_P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))

Primaries = tuple[tuple[tuple[float, float], ...], tuple[float, float]]
"""The xy of red, green and blue, and of white."""

_PRIMARIES: dict[int, Primaries] = {
    1: (_BT709, _D65),
    4: (((0.67, 0.33), (0.21, 0.71), (0.14, 0.08)), _C),
    5: (((0.64, 0.33), (0.29, 0.60), (0.15, 0.06)), _D65),
    6: (_BT601, _D65),
    7: (_BT601, _D65),
    9: (((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)), _D65),
    11: (_P3, _DCI),
    12: (_P3, _D65),
    22: (((0.630, 0.340), (0.295, 0.605), (0.155, 0.077)), _D65),
}
BT709: Primaries = _PRIMARIES[1]
ADOBE_RGB: Primaries = (((0.64, 0.33), (0.21, 0.71), (0.15, 0.06)), _D65)
ADOBE_GAMMA = 563 / 256
"""Adobe RGB (1998) Color Image Encoding, section 4.3.4.2."""

_PQ, _HLG = 16, 18
_GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0, 17: 2.6}
_DIFFUSE_WHITE = 203.0
_ROWS = 256
_RELATIVE: Any = 1
"""ICC's relative colorimetric intent; an enumeration in some versions of Pillow, a number in others."""


@dataclass(frozen=True)
class Cicp:
    """Coding-independent code points (ITU-T H.273): primaries, transfer characteristics, matrix, full range."""

    primaries: int
    transfer: int
    matrix: int = 0
    full_range: bool = True

    @property
    def says_something(self) -> bool:
        """Whether it names a colour space; 2 stands for unspecified."""
        return self.primaries != 2 or self.transfer != 2

    def describe(self) -> str:
        """Such as '12/13/0/1', as a PNG's cICP chunk has it for RGB."""
        return f"{self.primaries}/{self.transfer}/0/1"


@dataclass(frozen=True)
class Space:
    """An RGB space by its primaries and the light of each of 256 code values."""

    primaries: Primaries
    curve: Curve


@lru_cache(maxsize=16)
def space_of(cicp: Cicp) -> Space | None:
    """The space that code points name; None for sRGB itself and for what is not known."""
    primaries = _PRIMARIES.get(cicp.primaries, _PRIMARIES[1])
    if primaries == _PRIMARIES[1] and cicp.transfer not in (*_GAMMAS, _PQ, _HLG):
        return None
    return Space(primaries, _curve(cicp.transfer))


def gamma_space(primaries: Primaries, gamma: float) -> Space:
    """A space by its primaries and a plain power."""
    return Space(primaries, (np.arange(256) / 255).astype(np.float32) ** np.float32(gamma))


def is_like_srgb(primaries: Primaries) -> bool:
    """Whether primaries are sRGB's, but for rounding."""
    return bool(np.allclose([*primaries[0], primaries[1]], [*BT709[0], BT709[1]], atol=0.002))


def is_space(primaries: Primaries) -> bool:
    """Whether primaries span a space at all."""
    flat = np.array([*primaries[0], primaries[1]])
    if flat.min() < 0 or flat[:, 1].min() < 0.001:
        return False
    return abs(float(np.linalg.det(np.column_stack([flat[:3], np.ones(3)])))) > 0.01


def _curve(transfer: int) -> Curve:
    code = np.arange(256) / 255
    if transfer in _GAMMAS:
        light = code ** _GAMMAS[transfer]
    elif transfer == _PQ:
        root = code ** (1 / 78.84375)
        light = (np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (1 / 0.1593017578125)
        light = light * 10000 / _DIFFUSE_WHITE
    elif transfer == _HLG:
        scene = np.where(code <= 0.5, code**2 / 3, (np.exp((code - 0.55991073) / 0.17883277) + 0.28466892) / 12)
        light = scene**1.2 * 1000 / _DIFFUSE_WHITE
    else:
        light = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    return np.asarray(light, dtype=np.float32)


def _to_xyz(primaries: Primaries) -> npt.NDArray[np.float64]:
    """The matrix from linear RGB to XYZ (Lindbloom)."""
    colours = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries[0]]).T
    x, y = primaries[1]
    return np.asarray(colours * np.linalg.solve(colours, np.array([x / y, 1, (1 - x - y) / y])))


def to_srgb_matrix(primaries: Primaries) -> npt.NDArray[np.float64]:
    """The matrix from linear RGB of a space to linear sRGB, white to white by Bradford's transform."""
    bradford = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    whites = [bradford @ _to_xyz(known).sum(axis=1) for known in (primaries, _PRIMARIES[1])]
    adapted = np.linalg.inv(bradford) @ np.diag(whites[1] / whites[0]) @ bradford
    return np.asarray(np.linalg.inv(_to_xyz(_PRIMARIES[1])) @ adapted @ _to_xyz(primaries))


@lru_cache(maxsize=1)
def _encoding() -> npt.NDArray[np.uint8]:
    """sRGB codes of 16384 equal steps of light; finer than half a code everywhere."""
    light = np.arange(16384) / 16383
    code = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.rint(code * 255).astype(np.uint8)


def from_space(rgb: Rgb, space: Space) -> Rgb:
    """H×W×3 code values of a space as sRGB; light beyond diffuse white is drawn in, what lies outside is clipped."""
    matrix = to_srgb_matrix(space.primaries)
    peak = float(space.curve[int(rgb.max(initial=0))])
    shown = np.empty_like(rgb)
    for top in range(0, len(rgb), _ROWS):
        coded = space.curve[rgb[top : top + _ROWS]]
        light: npt.NDArray[Any] = np.asarray(cv2.transform(coded, matrix)).reshape(coded.shape)
        if peak > 1:
            light = np.maximum(light, 0)
            light = light * (1 + light / peak**2) / (1 + light)
        steps = np.clip(light * 16383 + 0.5, 0, 16383).astype(np.uint16)
        shown[top : top + _ROWS] = _encoding()[steps]
    return shown


def from_profile(samples: npt.NDArray[np.uint8], mode: str, icc: bytes) -> Rgb | None:
    """H×W (mode L) or H×W×channels (RGB, CMYK) samples as sRGB by their ICC profile; None where that is sRGB already,
    belongs to another mode or cannot be used."""
    from PIL import ImageCms

    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        if profile.profile.xcolor_space.strip() != {"L": "GRAY"}.get(mode, mode):
            return None
        if mode == "RGB" and "srgb" in (profile.profile.profile_description or "").lower():
            return None
        transform = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), mode, "RGB", _RELATIVE)
        shown = np.empty((*samples.shape[:2], 3), np.uint8)
        # by strips: Pillow's pictures have four bytes a pixel, and two of them would stand beside ours
        for top in range(0, len(shown), _ROWS):
            rows = samples[top : top + _ROWS]
            image = Image.fromarray(rows, mode) if mode == "CMYK" else Image.fromarray(rows)
            shown[top : top + _ROWS] = np.asarray(ImageCms.applyTransform(image, transform))
    except Exception:  # a broken profile is no reason to refuse the pixels: they are shown as they are
        return None
    return shown
