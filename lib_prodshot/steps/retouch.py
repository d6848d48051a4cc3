"""The step that corrects the product photographically, and the choice of the engine."""

from __future__ import annotations

from lib_prodshot.schema import setting
from lib_prodshot.steps.enhance import EnhanceStep
from lib_prodshot.steps.interface import StepSettings


class RetouchSettings(StepSettings):
    """Which engine enhances the product, and how far the photographic one goes."""

    engine: str = setting(
        "retouch",
        section="enhance",
        choices=("retouch", "inpaint", "edit"),
        help="How to enhance the product alone: retouch (photographic correction, no diffusion), inpaint (diffusion "
        "by the WebUI's checkpoint, held to the product's shape by ControlNet) or edit (an edit model of the WebUI, by "
        "an instruction).",
        webui_default="inpaint",
    )
    strength: float = setting(
        0.5,
        label="Retouch strength",
        section="enhance",
        span=(0.0, 1.0, 0.05),
        help="How much exposure, white balance, local contrast, clarity and saturation are corrected; 0 is nothing.",
    )
    delta_e_limit: float = setting(
        10.0,
        label="Colour limit",
        section="enhance",
        span=(0.0, 100.0, 0.5),
        unit="ΔE2000",
        help="The product's colour may move this far at most: mean and 95th percentile of ΔE2000 inside the mask.",
    )
    over_limit: str = setting(
        "reduce",
        label="Above the colour limit",
        section="enhance",
        choices=("reduce", "refuse"),
        help="Above the colour limit: reduce the strength until it is kept, or refuse and leave the picture as it was.",
    )


class RetouchStep(EnhanceStep[RetouchSettings]):
    """Exposure, white balance, local contrast, clarity and saturation, within a limit on the colour shift.

    The algorithm is `lib_prodshot.enhancing.retouch`.
    """

    id = "retouch"
    settings = RetouchSettings
    engine = "retouch"
