"""Make a tiny random Flux.2 Klein for neo; run by neo's own Python, with neo's own classes.

    python tiny_klein.py NEO_DIR OUT_DIR

Its transformer has one head and one block of each sort, its VAE and text encoder a fraction of their widths; tokenizer
and configuration are those that neo brings. `harness/scripts/zz_prodshot_tiny.py` tells neo's loader the widths.
"""

import json
import shutil
import sys
from pathlib import Path

WIDTH = 128
"""Of the transformer: one head, for its position embedding has four axes of 32."""

TEXT = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 28, "num_attention_heads": 2}
"""Klein takes what layers 9, 18 and 27 of its text encoder give."""

HEAD = 32
CHANNELS = (32, 32, 32, 32)


def main(neo: Path, out: Path) -> None:
    """Write `klein-config/` and `models/Stable-diffusion/tiny-klein.safetensors` under `out`."""
    sys.path.insert(0, str(neo))
    sys.path.insert(1, str(neo / "modules_forge" / "packages"))
    sys.argv = [sys.argv[0], "--cpu"]
    import torch
    from backend.nn.flux import IntegratedFluxTransformer2DModel
    from backend.nn.llm import llama
    from backend.nn.vae import AutoencoderKLFlux2
    from backend.operations import using_forge_operations
    from safetensors.torch import save_file

    folder = write_config(neo, out / "klein-config")
    torch.manual_seed(0)
    with using_forge_operations(device=torch.device("cpu"), dtype=torch.float32):
        parts = {
            "model.diffusion_model.": IntegratedFluxTransformer2DModel(**transformer()),
            "vae.": AutoencoderKLFlux2.from_config(AutoencoderKLFlux2.load_config(folder / "vae")),
            "text_encoders.qwen3_4b.transformer.": text_encoder(llama),
        }
    weights = {
        prefix + name: filled(name, value, torch)
        for prefix, part in parts.items()
        for name, value in part.state_dict().items()
    }
    target = out / "models" / "Stable-diffusion" / "tiny-klein.safetensors"
    target.parent.mkdir(parents=True, exist_ok=True)
    save_file(weights, target)


def transformer() -> "dict[str, object]":
    """As neo's detection reads it from the weights."""
    return {
        "axes_dim": [32, 32, 32, 32],
        "num_heads": WIDTH // 128,
        "mlp_ratio": 3.0,
        "theta": 2000,
        "out_channels": 128,
        "global_modulation": True,
        "mlp_silu_act": True,
        "qkv_bias": False,
        "ops_bias": False,
        "default_ref_method": "index",
        "ref_index_scale": 10.0,
        "txt_ids_dims": [3],
        "in_channels": 128,
        "hidden_size": WIDTH,
        "context_in_dim": 3 * TEXT["hidden_size"],
        "patch_size": 1,
        "vec_in_dim": None,
        "depth": 1,
        "depth_single_blocks": 1,
        "guidance_embed": False,
        "yak_mlp": False,
        "txt_norm": False,
    }


def text_encoder(llama: object) -> object:
    """neo's Qwen3 with few and narrow layers."""
    config = llama.Qwen3_4BConfig(**TEXT, num_key_value_heads=1)
    config.head_dim = HEAD

    class TinyQwen(llama.BaseLlama, llama.nn.Module):
        def __init__(self, _told: object = None) -> None:
            super().__init__()
            self.num_layers = config.num_hidden_layers
            self.model = llama.Llama2_(config)

    return TinyQwen()


def filled(name: str, value: "object", torch: object) -> object:
    """A random tensor of that shape: norms near 1, statistics of a batch norm as they begin, all else small."""
    if not value.is_floating_point():
        return torch.zeros_like(value)
    if name.endswith("running_mean") or name.endswith("bias"):
        return torch.zeros(value.shape)
    if name.endswith(("running_var", "scale")) or value.dim() == 1:
        return torch.ones(value.shape)
    spread = 0.5 / max(1, value[0].numel()) ** 0.5
    return (torch.randn(value.shape) * spread).contiguous()


def write_config(neo: Path, folder: Path) -> Path:
    """The folder of Hugging Face configurations from which neo builds the checkpoint: its own of Klein, the widths
    changed. Its name says klein, by which neo tells an edit model."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(neo / "backend" / "huggingface" / "black-forest-labs" / "FLUX.2-klein-4B", folder)
    file = folder / "vae" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"block_out_channels": CHANNELS, "layers_per_block": 1}))
    return folder


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
