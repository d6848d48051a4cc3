"""Enlarging a product by a model: the WebUI's upscalers, or a file of weights that `spandrel` reads.

What a model draws is no longer the photograph: notes and report name it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from lib_prodshot.errors import EnhanceError, FieldProblem, RequestError, pip_install
from lib_prodshot.packshot.arrays import Rgb
from lib_prodshot.packshot.framing import Framed
from lib_prodshot.packshot.placement import Placement

PLAIN = "cubic interpolation"
"""What enlarges where no model does."""

MAX_FACTOR = 4
"""A model enlarges so many times at most; cubic interpolation does the rest."""

_TILE, _OVERLAP = 256, 16
"""Pixels of a tile's side that goes through the model at once, and of its border that is thrown away."""


class Upscaler(Protocol):
    """Enlarges pictures by a model. `name` is what notes and report call it."""

    @property
    def name(self) -> str:
        """The upscaler's or the file's name."""

    def enlarge(self, rgb: Rgb, factor: int) -> Rgb:
        """An H×W×3 picture as H·factor × W·factor × 3. Raises `EnhanceError`."""


def enlarged(framed: Framed, upscaler: Upscaler) -> Framed:
    """The same frame, its product enlarged by the model and then resampled to the frame's scale."""
    cut, placement = framed.cutout, framed.placement
    factor = min(MAX_FACTOR, math.ceil(placement.scale))
    height, width = cut.shares.shape
    # alpha and the edge's colours have nothing that a model could know better
    plain = Placement(width * factor, height * factor, float(factor)).placed_cutout(cut)
    picture = upscaler.enlarge(np.ascontiguousarray(cut.picture), factor)
    if picture.shape != plain.picture.shape:
        raise EnhanceError(f"the upscaler {upscaler.name} gave {picture.shape} for {plain.picture.shape}")
    larger = replace(plain, picture=picture)
    scaled = replace(placement, scale=placement.scale / factor, factor=factor, enlarged_by=upscaler.name)
    return replace(framed, cutout=larger, placement=scaled)


class ModelFile:
    """A file of weights (ESRGAN, SwinIR and others that `spandrel` knows), loaded when it is first used."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def name(self) -> str:
        """The file's name."""
        return self._path.stem

    def enlarge(self, rgb: Rgb, factor: int) -> Rgb:
        """See `Upscaler`. A model that enlarges less goes over the picture again."""
        height, width = rgb.shape[:2]
        result = rgb
        while result.shape[0] < height * factor:
            result = self._once(result)
        if result.shape[0] == height * factor:
            return result
        return np.asarray(cv2.resize(result, (width * factor, height * factor), interpolation=cv2.INTER_AREA))

    @cached_property
    def _model(self) -> Any:
        spandrel = _spandrel()
        try:
            model = spandrel.ModelLoader().load_from_file(str(self._path))
        except Exception as error:  # whatever a file that is no model does to its readers
            raise EnhanceError(f"{self._path.name} is no upscaling model that spandrel can read: {error}") from error
        if not isinstance(model, spandrel.ImageModelDescriptor) or model.input_channels != 3 or model.scale < 2:
            raise EnhanceError(f"{self._path.name} is a model for something else; take one that enlarges RGB pictures")
        return model.eval()

    def _once(self, rgb: Rgb) -> Rgb:
        """The picture once through the model, tile by tile, so that its memory does not grow with the picture."""
        scale = int(self._model.scale)
        padded = np.pad(rgb, ((_OVERLAP, _OVERLAP), (_OVERLAP, _OVERLAP), (0, 0)), "edge")
        result = np.empty((rgb.shape[0] * scale, rgb.shape[1] * scale, 3), np.uint8)
        cut = _OVERLAP * scale
        for top, left in _corners(rgb.shape[0], rgb.shape[1]):
            tile = padded[top : top + _TILE + 2 * _OVERLAP, left : left + _TILE + 2 * _OVERLAP]
            inner = self._run(tile)[cut:-cut, cut:-cut]
            y, x = top * scale, left * scale
            result[y : y + inner.shape[0], x : x + inner.shape[1]] = inner
        return result

    def _run(self, tile: Rgb) -> Rgb:
        import torch

        with _inference(torch):
            given = torch.from_numpy(np.ascontiguousarray(tile)).permute(2, 0, 1)[None].float() / 255
            made = self._model(given)[0].clamp(0, 1).mul(255).round().byte().permute(1, 2, 0)
        return np.asarray(made.numpy())


def _inference(torch: Any) -> AbstractContextManager[None]:
    context: AbstractContextManager[None] = torch.inference_mode()
    return context


def _corners(height: int, width: int) -> Iterator[tuple[int, int]]:
    for top in range(0, height, _TILE):
        for left in range(0, width, _TILE):
            yield top, left


def _spandrel() -> Any:
    try:
        import spandrel
    except ImportError as error:
        message = f"spandrel is not installed: {pip_install('spandrel')}, or set enlarge to plain"
        raise RequestError([FieldProblem("enlarge", message)]) from error
    return spandrel


def model_file(text: str) -> ModelFile:
    """The upscaler that a path names. Raises `RequestError` (field upscaler) for no file, (field enlarge) without
    spandrel."""
    path = Path(text.strip()).expanduser()
    if not text.strip() or not path.is_file():
        what = f"there is no file {path}" if text.strip() else "enlarging by a model needs one"
        raise RequestError([FieldProblem("upscaler", what, "a file of weights that spandrel reads")])
    _spandrel()
    return ModelFile(path)
