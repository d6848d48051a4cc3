"""Box-prompted segmentation, shared by the implementations of Segment Anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lib_prodshot.corrections import Prompt
from lib_prodshot.errors import NotFiniteError
from lib_prodshot.finding.interface import Box, Picture, SoftMask
from lib_prodshot.finding.last_picture import LastPicture
from lib_prodshot.finding.models.precision import FULL
from lib_prodshot.finding.models.preprocessing import as_rgb, segmenter_pixels, segmenter_size
from lib_prodshot.finding.models.runtime import ModelHandle, moved

BOXES_AT_ONCE = {"cpu": 1, "gpu": 16}
"""Boxes decoded together. On a CPU singly is the cheapest (16 together: 4.9 s against 3.1 s singly)."""


@dataclass(frozen=True)
class PromptedModel:
    """Adapter for a loaded model: its module, the side of its square input, and functions that run it.

    `encode` takes a tensor 1 × 3 × side × side and gives an embedding; `decode(embedding, boxes, multimask, points)`
    takes boxes n × 4 (x0, y0, x1, y1 in pixels of that picture; None: none) and points (n × k × 2 and their labels
    n × k, 1 included and 0 excluded; None: none) and gives logits (n × masks × height × width, for the whole square)
    and their predicted qualities (n × masks).
    """

    module: Any
    side: int
    encode: Callable[[Any], Any]
    decode: Callable[..., tuple[Any, Any]]
    stretch: bool = False
    """Whether a picture fills the whole square, its proportions changed (SAM 2)."""

    halve: Callable[[Any, Any], Any] | None = None
    """Casts the module to a half-precision dtype for a device; None: it stays float32."""


class BoxSegmenter:
    """`Segmenter` that runs Segment Anything: encodes a picture once, then decodes its boxes.

    With `multimask` the model returns three masks for a box and the one of the highest predicted quality is used;
    without, it returns a single one, as in LangSAM.
    """

    def __init__(
        self, name: str, handle: ModelHandle[PromptedModel], multimask: bool = False, precision: str = FULL
    ) -> None:
        self.name = name
        self.multimask = multimask
        self._handle = handle
        self._precision = precision
        self._last: LastPicture[Any] = LastPicture()

    def with_precision(self, precision: str) -> BoxSegmenter:
        """The same segmenter, computing as the setting `precision` says; both share one model."""
        other = BoxSegmenter(self.name, self._handle, self.multimask, precision)
        other._last = self._last
        return other

    def segment(self, picture: Picture, boxes: Sequence[Box]) -> list[SoftMask]:
        """As `Segmenter.segment`; without boxes the model is not run. Retried once on out-of-memory."""
        if not boxes:
            return []
        picture = as_rgb(picture)

        def attempt(model: PromptedModel, device: Any) -> list[SoftMask]:
            return self._segment(model, device, picture, boxes)

        masks, _ = self._handle.run([attempt, attempt], "segmenter", self._precision)
        return masks

    def segment_points(
        self, picture: Picture, prompts: Sequence[tuple[Box | None, Sequence[Prompt]]]
    ) -> list[SoftMask]:
        """As `PointSegmenter.segment_points`. Retried once on out-of-memory."""
        if not prompts:
            return []
        picture = as_rgb(picture)

        def attempt(model: PromptedModel, device: Any) -> list[SoftMask]:
            return [self._segment_one(model, device, picture, box, points) for box, points in prompts]

        masks, _ = self._handle.run([attempt, attempt], "segmenter", self._precision)
        return masks

    def _segment_one(
        self, model: PromptedModel, device: Any, picture: Picture, box: Box | None, points: Sequence[Prompt]
    ) -> SoftMask:
        import torch

        size, inner, scale = _scaling(picture, model)
        corners = None if box is None else torch.from_numpy(np.array([box.corners], np.float32) * scale).to(device)
        # the models themselves shift points to the middles of their pixels
        places = np.array([[prompt.point for prompt in points]], np.float32) * scale[:2]
        labels = torch.tensor([[int(prompt.includes) for prompt in points]], dtype=torch.int32, device=device)
        given = (torch.from_numpy(places).to(device), labels)
        # a single point is ambiguous: of the three masks that the model then gives, the best is taken (SAM's advice)
        multimask = self.multimask or (box is None and len(points) == 1)
        embedding = self._embedding(model, device, picture)
        logits, qualities = model.decode(embedding, corners, multimask, given)
        best = logits[0, qualities.float()[0].argmax()].float()
        self._refuse_not_finite(best)
        (mask,) = fetched([soft_mask(best, model.side, inner, size)])
        return mask

    def _embedding(self, model: PromptedModel, device: Any, picture: Picture) -> Any:
        known = self._last.recall(picture, self._precision)
        if known is not None:
            return known
        made = model.encode(moved(segmenter_pixels(picture, model.side, model.stretch), device))
        # on a GPU it is quickly made again, and the memory is needed by the checkpoint
        return made if device.type != "cpu" else self._last.keep(picture, made, self._precision)

    def _segment(self, model: PromptedModel, device: Any, picture: Picture, boxes: Sequence[Box]) -> list[SoftMask]:
        import torch

        size, inner, scale = _scaling(picture, model)
        corners = np.array([box.corners for box in boxes], np.float32) * scale
        prompts = moved(torch.from_numpy(corners), device)
        embedding = self._embedding(model, device, picture)
        step = BOXES_AT_ONCE["cpu" if device.type == "cpu" else "gpu"]
        masks: list[SoftMask] = []
        for begin in range(0, len(boxes), step):
            logits, qualities = model.decode(embedding, prompts[begin : begin + step], self.multimask)
            chosen = qualities.float().argmax(dim=1)[:, None, None, None]
            chosen = chosen.expand(-1, 1, *logits.shape[2:])
            best = logits.gather(1, chosen)[:, 0].float()
            self._refuse_not_finite(best)
            masks += fetched([soft_mask(row, model.side, inner, size) for row in best])
        return masks

    def _refuse_not_finite(self, logits: Any) -> None:
        if not bool(logits.isfinite().all()):
            self._last.forget()  # the embedding may be what overflowed
            raise NotFiniteError("the segmenter gave masks that are not finite numbers; its weights may be damaged")

    def offload(self) -> None:
        """Move the model off the GPU; the next call moves it back."""
        self._handle.offload()

    def unload(self) -> None:
        """Free the model's memory; the next call loads it again."""
        self._last.forget()
        self._handle.unload()


def _scaling(
    picture: Picture, model: PromptedModel
) -> tuple[tuple[int, int], tuple[int, int], npt.NDArray[np.float32]]:
    """The picture's height and width, those inside the model's square, and the factors of x0, y0, x1, y1."""
    size = picture.shape[0], picture.shape[1]
    inner = segmenter_size(*size, model.side, model.stretch)
    return size, inner, np.array([inner[1] / size[1], inner[0] / size[0]] * 2, np.float32)


def soft_mask(logits: Any, side: int, inner: tuple[int, int], size: tuple[int, int]) -> Any:
    """Convert logits of the padded square (height × width) to a soft mask, as SAM's `postprocess_masks` does.

    `inner` is the height and width of the picture inside the square of `side`, `size` those of the picture. A logit
    above 0 (SAM's own threshold) becomes 128 or more. Returns a uint8 tensor on the logits' device.
    """
    import torch
    from torch.nn import functional

    whole = functional.interpolate(logits[None, None], (side, side), mode="bilinear", align_corners=False)
    fitted = functional.interpolate(whole[..., : inner[0], : inner[1]], size, mode="bilinear", align_corners=False)
    return fitted[0, 0].sigmoid_().mul_(255).round_().to(torch.uint8)


def fetched(masks: Sequence[Any]) -> list[SoftMask]:
    """uint8 tensors as arrays. From a GPU all are copied before the first is waited for."""
    import torch

    if masks[0].device.type != "cuda":
        return [mask.cpu().numpy() for mask in masks]
    copies = [mask.to("cpu", non_blocking=True) for mask in masks]  # into page-locked memory
    torch.cuda.synchronize(masks[0].device)
    return [copy.numpy().copy() for copy in copies]
