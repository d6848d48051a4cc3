"""Pictures on disk, and grids."""

from pathlib import Path

import numpy as np
from modules import script_callbacks, shared
from PIL import Image, PngImagePlugin


def image_grid(imgs, batch_size=1, rows=None):
    width, height = imgs[0].size
    grid = Image.new("RGB", (width * len(imgs), height))
    for place, image in enumerate(imgs):
        grid.paste(image, (place * width, 0))
    return grid


def resize_image(resize_mode, im, width, height, upscaler_name=None):
    return im.resize((width, height), Image.Resampling.LANCZOS)


def flatten(img, bgcolor):
    if img.mode == "RGBA":
        background = Image.new("RGB", img.size, bgcolor)
        background.paste(img, mask=img)
        return background
    return img.convert("RGB")


def save_image(
    image,
    path,
    basename,
    seed=None,
    prompt=None,
    extension="png",
    info=None,
    short_filename=False,
    no_prompt=False,
    grid=False,
    pnginfo_section_name="parameters",
    p=None,
    existing_info=None,
    forced_filename=None,
    suffix="",
    save_to_dirs=None,
):
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    pattern = shared.opts.samples_filename_pattern or f"{len(list(folder.iterdir())):05}-{seed}"
    target = folder / f"{forced_filename or pattern + suffix}.{extension}"
    texts = PngImagePlugin.PngInfo()
    if info is not None:
        texts.add_text(pnginfo_section_name, info)
    image.save(target, pnginfo=texts)
    image.already_saved_as = str(target)
    script_callbacks.image_saved_callback(script_callbacks.ImageSaveParams(image, p, str(target), {}))
    return str(target), None


def as_array(image):
    return np.asarray(image.convert("RGB"))
