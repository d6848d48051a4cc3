"""Make a tiny random SD1 checkpoint, a ControlNet and a LoRA for it; run by the WebUI's own Python.

    python tiny.py WEBUI_DIR OUT_DIR

The checkpoint has SD1's structure at a tenth of its widths, so that a WebUI recognises it and a step takes
milliseconds on a CPU. Weights that training starts from zero are random here: prompt, control and LoRA have an effect.
"""

import gzip
import json
import sys
from itertools import pairwise
from pathlib import Path

import torch
from safetensors.torch import save_file

WIDTH = 32
CONTEXT = 64
END = "<|endoftext|>"


def main(webui: Path, out: Path) -> None:
    """Write models/ and clip/ under `out`."""
    sys.path.insert(0, str(webui / "repositories" / "stable-diffusion-stability-ai"))
    for name in ("Stable-diffusion", "ControlNet", "Lora"):
        (out / "models" / name).mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    make_text_encoder(out / "clip")
    weights = make_checkpoint(webui, out)
    make_controlnet(weights, out / "models" / "ControlNet" / "control_v11f1p_sd15_depth.safetensors")
    make_lora(weights, out / "models" / "Lora" / "tiny.safetensors")


def make_text_encoder(folder: Path) -> None:
    """CLIP's tokenizer from the vocabulary that the `clip` package ships, and two random layers."""
    import clip
    from clip.simple_tokenizer import SimpleTokenizer
    from transformers import CLIPTextConfig, CLIPTextModel

    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = Path(clip.__file__).with_name("bpe_simple_vocab_16e6.txt.gz")
    lines = gzip.decompress(vocabulary.read_bytes()).decode("utf-8").split("\n")
    merges = "\n".join(["#version: 0.2", *lines[1 : 49152 - 256 - 1], ""])
    (folder / "merges.txt").write_text(merges, encoding="utf-8")
    encoder = SimpleTokenizer(str(vocabulary)).encoder
    (folder / "vocab.json").write_text(json.dumps(encoder, ensure_ascii=False), encoding="utf-8")
    special = {"bos_token": "<|startoftext|>", "eos_token": END, "unk_token": END, "pad_token": END}
    (folder / "special_tokens_map.json").write_text(json.dumps(special))
    tokenizer = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "do_lower_case": True, **special}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    sizes = {"hidden_size": CONTEXT, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    text = CLIPTextModel(CLIPTextConfig(vocab_size=49408, projection_dim=CONTEXT, **sizes))
    # a mean of exactly 0 would have the WebUI's emphasis divide 0 by 0
    torch.nn.init.normal_(text.text_model.final_layer_norm.bias, mean=0.1, std=0.2)
    text.save_pretrained(folder)


def make_checkpoint(webui: Path, out: Path) -> "dict[str, torch.Tensor]":
    """The checkpoint and, beside it, its config; returns its tensors."""
    from ldm.util import instantiate_from_config
    from omegaconf import OmegaConf

    config = OmegaConf.load(webui / "configs" / "v1-inference.yaml")
    parts = config.model.params
    parts.unet_config.params.update(model_channels=WIDTH, num_heads=1, context_dim=CONTEXT)
    parts.first_stage_config.params.ddconfig.update(ch=WIDTH, num_res_blocks=1)
    parts.cond_stage_config.params = {"version": str(out / "clip")}
    target = out / "models" / "Stable-diffusion" / "tiny.safetensors"
    OmegaConf.save(config, target.with_suffix(".yaml"))
    model = instantiate_from_config(config.model)
    generator = torch.Generator().manual_seed(1)
    for name, weight in model.named_parameters():
        if name.endswith("weight") and not weight.abs().sum():
            weight.data = torch.randn(weight.shape, generator=generator) * 0.02
    # the posterior is drawn from the global generator: without spread equal requests give equal pictures
    last = model.first_stage_model.quant_conv
    last.weight.data[4:], last.bias.data[4:] = 0, -30
    weights = {key: value.detach().clone().contiguous() for key, value in model.state_dict().items()}
    weights = {key: value for key, value in weights.items() if not key.startswith("model_ema")}
    save_file(weights, target)
    return weights


def make_controlnet(weights: "dict[str, torch.Tensor]", target: Path) -> None:
    """The UNet's encoder half, its zero convolutions not zero (ControlNet's paper, figure 3, after training)."""
    generator = torch.Generator().manual_seed(3)
    unet = "model.diffusion_model."
    decoder = (unet + "output_blocks", unet + "out.")
    net = {
        "control_model." + key[len(unet) :]: value.clone()
        for key, value in weights.items()
        if key.startswith(unet) and not key.startswith(decoder)
    }
    # a block's downsampling convolution keeps the width of the block before it
    outputs = [WIDTH] * 4 + [2 * WIDTH] * 3 + [4 * WIDTH] * 5
    zeros = [*(f"zero_convs.{place}.0" for place in range(12)), "middle_block_out.0"]
    for name, width in zip(zeros, [*outputs, 4 * WIDTH]):
        net[f"control_model.{name}.weight"] = torch.randn((width, width, 1, 1), generator=generator) * 0.2
        net[f"control_model.{name}.bias"] = torch.zeros(width)
    widths = (3, 16, 16, 32, 32, 96, 96, 256, WIDTH)
    for place, (before, after) in enumerate(pairwise(widths)):
        scale = (2 / (9 * before)) ** 0.5
        key = f"control_model.input_hint_block.{2 * place}"
        net[f"{key}.weight"] = torch.randn((after, before, 3, 3), generator=generator) * scale
        net[f"{key}.bias"] = torch.zeros(after)
    save_file({key: value.contiguous() for key, value in net.items()}, target)


def make_lora(weights: "dict[str, torch.Tensor]", target: Path) -> None:
    """Rank 4 on the attention of the UNet's middle block, strong enough to be seen."""
    generator = torch.Generator().manual_seed(5)
    lora = {}
    for layer in ("to_q", "to_k", "to_v"):
        path = f"middle_block.1.transformer_blocks.0.attn2.{layer}"
        high, low = weights[f"model.diffusion_model.{path}.weight"].shape
        key = f"lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_{layer}"
        lora[f"{key}.lora_down.weight"] = torch.randn((4, low), generator=generator)
        lora[f"{key}.lora_up.weight"] = torch.randn((high, 4), generator=generator)
        lora[f"{key}.alpha"] = torch.tensor(4.0)
    save_file(lora, target, metadata={"ss_base_model_version": "sd_v1"})


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
