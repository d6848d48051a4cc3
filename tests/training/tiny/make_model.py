"""Run by the trainer's Python: `make_model.py FOLDER FAMILY` makes a tiny random model of a family there.

It has a tokenizer of single letters, so nothing is downloaded. Stable Diffusion 1.x is a diffusers folder with the
widths of a WebUI checkpoint of 32 model channels; SDXL is one file, and Flux four, in the layouts that sd-scripts
writes or reads. `shrink.py` rebinds the sizes that it has fixed.
"""

import json
import os
import sys
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer
from transformers.models.clip.tokenization_clip import bytes_to_unicode

WIDTH = 64
CLIP_L, CLIP_G, T5 = (
    "openai_clip-vit-large-patch14",
    "laion_CLIP-ViT-bigG-14-laion2B-39B-b160k",
    "google_t5-v1_1-xxl",
)


def make_tokenizer(folder: Path) -> CLIPTokenizer:
    folder.mkdir(parents=True)
    letters = list(bytes_to_unicode().values())
    pieces = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({piece: index for index, piece in enumerate(pieces)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=77)
    tokenizer.save_pretrained(folder)
    return tokenizer


def make_t5_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import T5TokenizerFast

    pieces = ["<pad>", "</s>", "<unk>", "▁", *map(chr, range(33, 127))]
    unigram = Tokenizer(models.Unigram([(piece, -1.0) for piece in pieces], unk_id=2))
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    T5TokenizerFast(tokenizer_object=unigram, extra_ids=0).save_pretrained(folder)


def make_sd15(folder: Path, tokenizers: Path) -> None:
    tokenizer = make_tokenizer(tokenizers / CLIP_L)
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=2 * WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            projection_dim=WIDTH,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    unet = UNet2DConditionModel(
        sample_size=64, block_out_channels=(32, 64, 128, 128), cross_attention_dim=WIDTH, attention_head_dim=8
    )
    vae = AutoencoderKL(
        block_out_channels=(8,) * 4,
        norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    )
    StableDiffusionPipeline(
        vae=vae,
        text_encoder=text,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=DDIMScheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)


def make_sdxl(folder: Path, tokenizers: Path) -> None:
    """One file as SDXL's are, written by sd-scripts' own saving."""
    from library import model_util, sdxl_model_util, sdxl_original_unet
    from transformers import CLIPTextModelWithProjection

    for name in (CLIP_L, CLIP_G):
        make_tokenizer(tokenizers / name)
    configs = []
    for width, heads in ((768, 12), (1280, 20)):
        told = {"hidden_size": width, "num_attention_heads": heads, "projection_dim": width, "eos_token_id": 2}
        configs.append(sdxl_model_util.CLIPTextConfig(**told))
    sdxl_model_util.save_stable_diffusion_checkpoint(
        str(folder / "sdxl.safetensors"),
        CLIPTextModel(configs[0]),
        CLIPTextModelWithProjection(configs[1]),
        sdxl_original_unet.SdxlUNet2DConditionModel(),
        0,
        0,
        None,
        AutoencoderKL(**model_util.create_vae_diffusers_config()),
        torch.tensor(1.0),
        None,
        torch.float32,
    )


def make_flux(folder: Path, tokenizers: Path) -> None:
    """The four files that FLUX.1 is published in."""
    from library import flux_models, flux_utils
    from transformers import T5EncoderModel

    make_tokenizer(tokenizers / CLIP_L)
    make_t5_tokenizer(tokenizers / T5)
    known = flux_models.configs["dev"]
    models = {
        "flux": flux_models.Flux(known.params),
        "ae": flux_models.AutoEncoder(known.ae_params),
        "clip_l": CLIPTextModel(CLIPTextConfig(**flux_utils.CLIPConfig().to_dict())),
        "t5xxl": T5EncoderModel(flux_utils.T5Config(feed_forward_proj="gated-gelu")),
    }
    for name, model in models.items():
        # its own initial weights make some projections nothing, and a model of nothing learns nothing
        tensors = {key: torch.randn_like(value) * 0.05 + (value.ndim == 1) for key, value in model.state_dict().items()}
        save_file(tensors, folder / f"{name}.safetensors")


if __name__ == "__main__":
    target, family = Path(sys.argv[1]), sys.argv[2]
    sys.path.insert(0, os.environ["PRODSHOT_SD_SCRIPTS"])
    from shrink import shrink

    shrink(family)
    torch.manual_seed(0)
    target.mkdir(parents=True, exist_ok=True)
    if family == "sd15":
        make_sd15(target / "model", target / "tokenizers")
    else:
        {"sdxl": make_sdxl, "flux": make_flux}[family](target, target / "tokenizers")
