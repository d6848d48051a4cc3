"""The WebUI's own upscalers, for packshots whose product is too small for its frame."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from lib_prodshot.errors import EnhanceError, FieldProblem, RequestError

if TYPE_CHECKING:
    from lib_prodshot.hosts.interface import Host
    from lib_prodshot.packshot.upscaling import Upscaler
    from lib_prodshot.request import Request

Rgb = npt.NDArray[np.uint8]
"""H×W×3."""

_NO_MODELS = ("None", "Lanczos", "Nearest")
"""What every WebUI lists among its upscalers and is none."""

_STEP = 8
"""The WebUI makes both sides of what it enlarges multiples of this, and squeezes the picture to it."""


def upscaler_for(host: Host, request: Request) -> Upscaler | None:
    """The host's upscaler that a request's packshots are enlarged by; None where it asks for none. Raises
    `RequestError`."""
    if not request.needs_upscaler:
        return None
    return host.upscaler(request.upscaler)


class HostUpscaler:
    """One of the WebUI's upscalers. Raises `RequestError` (field upscaler) for a name that it does not have."""

    def __init__(self, name: str, listed: Sequence[Any]) -> None:
        models = {str(each.name): each for each in listed if each.name not in _NO_MODELS}
        wanted = name.strip() or next(iter(models), "")
        folded = {known.lower(): known for known in models}
        if wanted.lower() not in folded:
            near = get_close_matches(wanted.lower(), folded, 3, 0.4)
            nearest = f"; nearest: {', '.join(folded[each] for each in near)}" if near else ""
            message = f"this WebUI has no upscaler {wanted!r}{nearest}" if wanted else "this WebUI has no upscaler"
            raise RequestError([FieldProblem("upscaler", message, ", ".join(models) or "enlarge plain")])
        self._data = models[folded[wanted.lower()]]

    @property
    def name(self) -> str:
        """The upscaler's name in the WebUI."""
        return str(self._data.name)

    def enlarge(self, rgb: Rgb, factor: int) -> Rgb:
        """An H×W×3 picture as H·factor × W·factor × 3. Raises `EnhanceError`."""
        height, width = rgb.shape[:2]
        padded = np.pad(rgb, ((0, -height % _STEP), (0, -width % _STEP), (0, 0)), "edge")
        image = Image.fromarray(padded)
        try:
            made = self._data.scaler.upscale(image, factor, self._data.data_path)
        except Exception as error:  # a model that is missing or does not load raises whatever its loader does
            raise EnhanceError(f"the WebUI's upscaler {self.name} failed: {error or type(error).__name__}") from error
        size = (image.width * factor, image.height * factor)
        if made.size == image.size and factor > 1:
            raise EnhanceError(f"the WebUI's upscaler {self.name} did not enlarge the picture; see its console")
        if made.size != size:
            made = made.resize(size, Image.Resampling.LANCZOS)
        return np.asarray(made.convert("RGB"), np.uint8)[: height * factor, : width * factor]
