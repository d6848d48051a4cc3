"""The settings of a comparison: command line, API, tab and documentation are drawn from this one table."""

from __future__ import annotations

from dataclasses import replace

from lib_prodshot.jobs.settings import job_setting
from lib_prodshot.request import setting_named
from lib_prodshot.schema import Setting

_FINDER = tuple(replace(setting_named(name), section="job") for name in ("products", "finder", "box_threshold"))

SETTINGS: tuple[Setting, ...] = (
    *_FINDER,
    job_setting(
        "prompts",
        "Sample prompts",
        "Prompts of the pictures that the WebUI makes, one a line, with kohya's options ('--w 512 --h 768 --l 7'); "
        "empty: the recipe's sample prompts, else three scenes of our own.",
        lines=3,
    ),
    job_setting(
        "seed",
        "First seed",
        "Seed of each prompt's first picture, unless it has --d.",
        42,
        minimum=0,
        maximum=2**32 - 1,
        step=1,
    ),
    job_setting(
        "seeds",
        "Seeds",
        "Pictures of each prompt and epoch, each with the next seed.",
        2,
        minimum=1,
        maximum=16,
        step=1,
    ),
    job_setting(
        "steps",
        "Sampling steps",
        "Steps of each picture that the WebUI makes, unless its prompt has --s.",
        20,
        minimum=1,
        maximum=150,
        step=1,
    ),
    job_setting(
        "weight",
        "LoRA weight",
        "Weight of the LoRA in the pictures that the WebUI makes.",
        1.0,
        minimum=0.0,
        maximum=2.0,
        step=0.05,
    ),
    job_setting("name", "Name", "Name that the LoRAs were published by, where it is not the run's."),
)
"""Everything that a comparison takes besides the run."""
