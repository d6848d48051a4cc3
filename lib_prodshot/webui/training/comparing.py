"""Jobs of the kind 'training_compare': a run's epochs compared as by `prodshot train compare`, with sd-scripts' sample
pictures or with pictures that this WebUI makes between its generations."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from lib_prodshot.errors import FieldProblem, PictureError, RequestError
from lib_prodshot.hosts.active import host
from lib_prodshot.hosts.server_paths import OpenPath, check_folder
from lib_prodshot.inpainting import FILLS, InpaintPass
from lib_prodshot.jobs.settings import job_setting, read_own
from lib_prodshot.training.comparing import settings as comparing_settings
from lib_prodshot.training.comparing.job import FOLDER, CompareJob
from lib_prodshot.training.comparing.page import GRID, PAGE, REPORT
from lib_prodshot.training.errors import ComparisonError
from lib_prodshot.webui import service
from lib_prodshot.webui.jobs.table import Control, Work
from lib_prodshot.webui.training import publishing

FILES = {"page": f"{FOLDER}/{PAGE}", "grid": f"{FOLDER}/{GRID}", "report": f"{FOLDER}/{REPORT}"}

SOURCES = ("sd-scripts", "this WebUI")

SETTINGS = (
    *(known for known in publishing.SETTINGS if known.name in ("output_name", "output_dir")),
    job_setting(
        "source",
        "Sample pictures",
        "Those that sd-scripts made as it trained, or pictures that this WebUI makes of the published epochs.",
        SOURCES[0],
        choices=SOURCES,
    ),
    *comparing_settings.SETTINGS,
)
"""What a comparison takes."""

_SIDE = 8
"""Sides of pictures are multiples of this."""


class HostMaker:
    """Pictures of this WebUI, each queued like a generation.

    Each is an inpaint pass over all of an empty latent picture at full strength: what txt2img samples, but for its very
    first step.
    """

    def has_lora(self, name: str) -> bool:
        """See `PictureMaker`."""
        return not host().inpainting_backend().missing_loras([name])

    def txt2img(self, settings: Mapping[str, Any]) -> bytes:
        """See `PictureMaker`. Raises `EnhanceError`."""
        import numpy as np
        from PIL import Image

        backend = host().inpainting_backend()
        size = tuple(max(_SIDE, int(settings[side]) // _SIDE * _SIDE) for side in ("height", "width"))
        plan = InpaintPass(
            picture=np.full((*size, 3), 127, np.uint8),
            mask=np.full(size, 255, np.uint8),
            mask_blur=0,
            prompt=settings["prompt"],
            negative_prompt=settings.get("negative_prompt", ""),
            seed=settings["seed"],
            steps=settings["steps"],
            cfg_scale=settings["cfg_scale"],
            sampler=backend.defaults.sampler,
            scheduler=backend.defaults.scheduler,
            denoising_strength=1.0,
            inpainting_fill=FILLS.index("latent nothing"),
        )
        with host().job("Prodshot: sample pictures"):
            made = backend.inpaint(plan)
        written = io.BytesIO()
        Image.fromarray(made.picture).save(written, "PNG")
        return written.getvalue()


def work_from(settings: Mapping[str, Any], open_path: OpenPath = check_folder) -> Work:
    """The work that these settings describe. Raises `RequestError`.

    A job that is cancelled keeps what it has made and looked at: the next one goes on with it.
    """
    own, problems = read_own(SETTINGS, settings)
    problems += [FieldProblem(name, "unknown setting") for name in settings if name not in own]
    if problems:
        raise RequestError(problems)
    service.refuse_unready(own["finder"])
    run = publishing.run_folder(own, open_path)
    names = [known.name for known in comparing_settings.SETTINGS]
    maker = HostMaker() if own["source"] == SOURCES[1] else None
    job = CompareJob(run, {name: own[name] for name in names}, maker, own["source"])
    for folder in job.photograph_folders:
        open_path("output_name", str(folder))
    try:
        job.prepare()
    except (ComparisonError, PictureError) as error:
        raise RequestError([FieldProblem("output_name", str(error))]) from error
    return lambda control: _compare(job, control)


def _compare(job: CompareJob, control: Control) -> Mapping[str, Any]:
    control.serve(job.run, **FILES)
    with host().use_finder(job.settings["finder"]) as finder:
        return job.compare(service.queued(finder, host()), control.report).to_json()
