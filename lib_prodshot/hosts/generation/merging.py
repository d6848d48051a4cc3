"""Merging of several generations into one result: those of a [class] prompt's products."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from PIL import Image

from lib_prodshot.outcome import OUTCOMES

_LISTS = ("all_prompts", "all_negative_prompts", "all_seeds", "all_subseeds")


def merge_results(parent: Any, done: Sequence[Any]) -> Any:
    """Merge results: pictures first, in order, then what scripts added, and a grid if the WebUI makes one."""
    if not done:
        return import_module("modules.processing").Processed(parent, [], parent.seed, "")
    if len(done) == 1:
        return done[0]
    first = done[0]
    pictures, extras = _collect(done)
    outcomes = [line for part in done for line in part.extra_generation_params.get(OUTCOMES, [])]
    for name in _LISTS:
        setattr(first, name, [value for part in done for value in getattr(part, name)])
    first.comments = "".join(dict.fromkeys(part.comments for part in done))
    first.extra_generation_params = {**first.extra_generation_params, OUTCOMES: outcomes}
    first.images = [image for image, _ in (*pictures, *extras)]
    first.infotexts = [infotext for _, infotext in (*pictures, *extras)]
    first.index_of_first_image = 0
    _add_grid(parent, first, [image for image, _ in pictures])
    return first


Shown = tuple[Image.Image, str]


def _collect(done: Sequence[Any]) -> tuple[list[Shown], list[Shown]]:
    """Separate all parts' own pictures from their additional ones."""
    pictures: list[Shown] = []
    extras: list[Shown] = []
    for part in done:
        images = part.images[part.index_of_first_image :]
        texts = part.infotexts[part.index_of_first_image :]
        texts = [*texts, *[part.info] * (len(images) - len(texts))]
        own = len(part.all_seeds)
        pictures += list(zip(images[:own], texts[:own]))
        extras += list(zip(images[own:], texts[own:]))
    return pictures, extras


def _add_grid(parent: Any, result: Any, pictures: list[Image.Image]) -> None:
    """Add a grid over all products, by the WebUI's settings for grids."""
    opts, images = import_module("modules.shared").opts, import_module("modules.images")
    if parent.do_not_save_grid or (len(pictures) < 2 and opts.grid_only_if_multiple):
        return
    if not (opts.return_grid or opts.grid_save):
        return
    grid, infotext = images.image_grid(pictures, parent.batch_size), result.infotexts[0]
    if opts.enable_pnginfo:
        grid.info["parameters"] = infotext
    if opts.return_grid:
        result.images.insert(0, grid)
        result.infotexts.insert(0, infotext)
        result.index_of_first_image = 1
    if opts.grid_save:
        images.save_image(
            grid,
            parent.outpath_grids,
            "grid",
            result.all_seeds[0],
            result.all_prompts[0],
            opts.grid_format,
            info=infotext,
            short_filename=not opts.grid_extended_filename,
            p=parent,
            grid=True,
        )
