"""Makes the models that sd-scripts builds small: their widths and depths, and nothing else of it.

Imported by the trainer's Python, after sd-scripts' checkout stands first among its paths. The text encoders of SDXL
keep their widths, 768 and 1280, for those are fixed in the U-Net's inputs.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

VOCABULARY = 520
TEXT = {"num_hidden_layers": 2, "vocab_size": VOCABULARY}
NARROW_TEXT = {
    **TEXT,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 2,
    "projection_dim": 32,
    # the last tokens of the tests' tokenizer, by which the pooled output is taken
    "bos_token_id": VOCABULARY - 8,
    "eos_token_id": VOCABULARY - 7,
}


def shrink(family: str) -> None:
    """Rebind the sizes of a family's models."""
    {"sd15": _shrink_sd15, "sdxl": _shrink_sdxl, "flux": _shrink_flux}[family]()


def _shrink_sd15() -> None:
    from library import original_unet

    original_unet.BLOCK_OUT_CHANNELS = (32, 64, 128, 128)
    original_unet.TIMESTEP_INPUT_DIM = 32
    original_unet.TIME_EMBED_DIM = 128


def _shrink_sdxl() -> None:
    from library import model_util, sdxl_model_util, sdxl_original_unet

    sdxl_original_unet.MODEL_CHANNELS = 32
    sdxl_original_unet.TIME_EMBED_DIM = 128
    model_util.VAE_PARAMS_CH = 32
    whole = sdxl_model_util.CLIPTextConfig

    def config(**told: Any) -> Any:
        # the eleventh layer of the first encoder is asked for by its number
        layers = 11 if told["hidden_size"] == 768 else 2
        return whole(**{**told, **TEXT, "intermediate_size": 64, "num_hidden_layers": layers})

    sdxl_model_util.CLIPTextConfig = config


def _shrink_flux() -> None:
    from library import flux_models, flux_utils

    for name, known in flux_models.configs.items():
        sizes = {"hidden_size": 32, "num_heads": 2, "axes_dim": [4, 6, 6], "vec_in_dim": 32, "context_in_dim": 32}
        params = replace(known.params, **sizes, depth=2, depth_single_blocks=2)
        flux_models.configs[name] = replace(known, params=params, ae_params=replace(known.ae_params, ch=32))
    flux_utils.CLIPConfig = _with(flux_utils.CLIPConfig, NARROW_TEXT)
    t5 = {"d_model": 32, "d_ff": 64, "d_kv": 16, "num_heads": 2, "num_layers": 2, "vocab_size": VOCABULARY}
    flux_utils.T5Config = _with(flux_utils.T5Config, t5)


def _with(config: Callable[..., Any], changes: dict[str, Any]) -> Callable[..., Any]:
    """A maker of configurations with some values changed."""
    return lambda **told: config(**{**told, **changes})
