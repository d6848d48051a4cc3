"""Test-only: lets each host load the tiny models of `tests/webui/tiny.py`: SD1's structure at other widths."""

import inspect
import json
import os
import sys
from contextlib import suppress
from pathlib import Path

from modules import script_callbacks

WIDTHS = {"context_dim": 64, "model_channels": 32}
HEADS = {"num_heads": 1, "num_head_channels": -1}
TEXT = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "projection_dim": 64,
}
VAE = {
    "double_z": True,
    "z_channels": 4,
    "resolution": 256,
    "in_channels": 3,
    "out_ch": 3,
    "ch": 32,
    "ch_mult": [1, 2, 4, 4],
    "num_res_blocks": 1,
    "attn_resolutions": [],
    "dropout": 0.0,
}


KLEIN_WIDTH = 128
KLEIN_HEAD = 32
KLEIN_TEXT = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 28,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}
"""Klein takes what layers 9, 18 and 27 of its text encoder give."""


def fit_a1111(*_):
    """sd-webui-controlnet hard-codes the width of SD1's UNet for the ControlNets it builds."""
    guess = sys.modules.get("scripts.controlnet_model_guess")
    if guess is not None:
        guess.controlnet_default_config.update(model_channels=32, num_heads=1)


def fit_forge():
    """Forge recognises a checkpoint by its widths, and builds it from a folder of Hugging Face configs."""
    from backend.nn import vae
    from huggingface_guess import model_list

    add_tiny_kind(model_list)
    # drawn from the global generator; its mean makes equal requests equal pictures
    vae.DiagonalGaussianDistribution.sample = lambda self: self.mean


def fit_neo():
    """neo has that package twice (its ControlNet asks the other), and an engine takes a checkpoint of no subclass."""
    import huggingface_guess
    from backend.diffusion_engine import sd15
    from modules_forge.packages.huggingface_guess import model_list

    sd15.StableDiffusion.matched_guesses.append(huggingface_guess.model_list.models[0])
    if model_list is not huggingface_guess.model_list:
        add_tiny_kind(model_list)


def fit_klein():
    """neo tells Klein by its widths, and an edit model by its folder of configurations, whose name says klein."""
    config = os.environ.get("PRODSHOT_TINY_KLEIN", "")
    if not config:
        return
    import huggingface_guess
    from backend.diffusion_engine import flux2
    from backend.nn.llm import llama

    model_list = huggingface_guess.model_list

    class TinyKlein(model_list.Flux2K4B):
        huggingface_repo = config

    TinyKlein.unet_config = dict(model_list.Flux2K4B.unet_config, hidden_size=KLEIN_WIDTH)
    model_list.models.insert(0, TinyKlein)
    flux2.Flux2.matched_guesses.append(TinyKlein)
    text = llama.Qwen3_4BConfig(**KLEIN_TEXT)
    text.head_dim = KLEIN_HEAD

    class TinyQwen(llama.BaseLlama, llama.nn.Module):
        def __init__(self, _told):
            super().__init__()
            self.num_layers = text.num_hidden_layers
            self.model = llama.Llama2_(text)

    llama.Qwen3_4B = TinyQwen


def add_tiny_kind(model_list):
    """Let a host's list of checkpoints know the tiny one."""

    class TinySD15(model_list.SD15):
        huggingface_repo = os.environ["PRODSHOT_TINY_CONFIG"]

    TinySD15.unet_config = dict(model_list.SD15.unet_config, **WIDTHS)
    TinySD15.unet_extra_config = HEADS
    model_list.models.insert(0, TinySD15)


def fit_reforge():
    """reForge and classic recognise a checkpoint by its widths; text encoder and VAE have to be told theirs."""
    from ldm_patched.modules import sd1_clip, supported_models, supported_models_base
    from modules_forge import forge_loader

    text = {**json.loads(Path(sd1_clip.__file__).with_name("sd1_clip_config.json").read_text()), **TEXT}
    file = Path(os.environ["PRODSHOT_TINY_CONFIG"], "text.json")
    file.write_text(json.dumps(text))

    class TinyClip(sd1_clip.SDClipModel):
        def __init__(self, device="cpu", dtype=None, **more):
            # reForge's arguments that classic does not have
            more = {"model_options": {}, "return_projected_pooled": False, **more}
            known = inspect.signature(sd1_clip.SDClipModel.__init__).parameters
            more = {name: value for name, value in more.items() if name in known}
            super().__init__(device=device, dtype=dtype, textmodel_json_config=str(file), **more)

    class TinyText(sd1_clip.SD1ClipModel):
        def __init__(self, device="cpu", dtype=None, **more):
            super().__init__(device=device, dtype=dtype, clip_model=TinyClip, **more)

    class TinySD15(supported_models.SD15):
        def clip_target(self, state_dict=None):
            return supported_models_base.ClipTarget(sd1_clip.SD1Tokenizer, TinyText)

    TinySD15.unet_config = dict(supported_models.SD15.unet_config, **WIDTHS)
    TinySD15.unet_extra_config = HEADS
    supported_models.models.insert(0, TinySD15)
    real = forge_loader.VAE

    def tiny_vae(sd=None, **more):
        first = (sd or {}).get("encoder.conv_in.weight")
        tiny = first is not None and first.shape[0] == VAE["ch"]
        return real(sd=sd, config={"params": {"embed_dim": 4, "ddconfig": VAE}} if tiny else None, **more)

    forge_loader.VAE = tiny_vae


for fit in (fit_forge, fit_neo, fit_klein, fit_reforge):
    with suppress(ImportError):
        fit()
script_callbacks.on_before_ui(fit_a1111)
