"""The engine edit on a real neo, with a tiny random Flux.2 Klein that neo's own loader takes.

Its weights are random, so what it paints has nothing in common with the input, and the registration must say so; the
pass itself, what it is shown, and what it leaves behind are neo's own.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lib_prodshot.editing import EditPass, Sampling
from lib_prodshot.errors import EnhanceError
from lib_prodshot.hosts.remote import RemoteWebUI
from lib_prodshot.hosts.remote.inpainting import RemoteInpaintingBackend
from tests.webui import server as servers
from tests.webui.conftest import img2img, seed_picture
from tests.webui.server import Installation, Server

KLEIN = "tiny-klein.safetensors"


@pytest.fixture(scope="module")
def neo(
    installation: Installation, tiny_models: Path, models_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A neo that knows the tiny Klein beside the tiny SD 1."""
    if installation.host != "neo":
        pytest.skip("of the WebUIs tried here neo alone runs edit models")
    made = tmp_path_factory.mktemp("klein")
    script = Path(__file__).with_name("tiny_klein.py")
    command = [str(installation.python), str(script), str(installation.folder), str(made)]
    subprocess.run(command, check=True, cwd=installation.folder, env=servers.quiet_environment())
    data = tmp_path_factory.mktemp("neo-edit")
    servers.lay_out(installation, data, tiny_models, models_dir, ours=True, sd_model_checkpoint="tiny.safetensors")
    shutil.copy(made / "models" / "Stable-diffusion" / KLEIN, data / "models" / "Stable-diffusion")
    server = servers.start(installation, data, PRODSHOT_TINY_KLEIN=str(made / "klein-config"))
    try:
        yield server
    finally:
        server.stop()


def edit(server: Server, picture: Image.Image, **settings: Any) -> tuple[dict[str, Any], Any]:
    wanted = {"products": "car", "engine": "edit", "edit_resolution": 256, **settings}
    answer = img2img(server, picture, wanted, width=256, height=256)
    return answer.outcomes[0], answer


def test_another_checkpoint_is_refused_and_a_random_one_put_right_by_nothing(neo: Server, seed_dir: Path) -> None:
    picture = seed_picture(seed_dir, "car")
    for settings, reason, samplings in (
        ({}, "needs an edit model", 0),
        ({"edit_checkpoint": KLEIN}, "edited", 1),
        ({}, "needs an edit model", 1),
    ):
        outcome, answer = edit(neo, picture, **settings)
        assert outcome["status"] == "failed" and reason in outcome["reason"], outcome["reason"]
        assert np.array_equal(answer.pixels(), np.asarray(picture.convert("RGB")).astype(int))
        assert neo.counts()["samplings"] == samplings


def test_the_input_and_further_pictures_are_its_references(neo: Server) -> None:
    rows = np.random.default_rng(0).integers(0, 256, (2, 16, 24, 3), dtype=np.uint8)
    first, other = (np.asarray(Image.fromarray(each).resize((384, 256))) for each in rows)
    backend = RemoteInpaintingBackend(RemoteWebUI(neo.url))
    plan = EditPass(first, "put new leather on it", "", 5, checkpoint="tiny-klein")

    def painted(given: EditPass) -> np.ndarray:
        result = backend.edit(given)
        # neo's own preset for Klein
        assert result.sampling == Sampling(4, 1.0, "Euler", "Beta") and result.notes == ()
        return result.picture.astype(int)

    alone = painted(plan)
    assert (painted(replace(plan, picture=other)) != alone).any()
    referenced = painted(replace(plan, references=(other[:101, :77], first[:50, :210])))
    assert (referenced != alone).any()
    # and nothing of them stays
    assert np.array_equal(painted(plan), alone)
    neo.post("/sdapi/v1/options", {"klein_no_reference": True})
    try:
        assert np.array_equal(painted(plan), alone)
    finally:
        neo.post("/sdapi/v1/options", {"klein_no_reference": False})


def test_a_remote_one_with_another_checkpoint_refuses(neo: Server) -> None:
    backend = RemoteInpaintingBackend(RemoteWebUI(neo.url))
    with pytest.raises(EnhanceError, match="needs an edit model"):
        backend.edit(EditPass(np.zeros((256, 256, 3), np.uint8), "x", "", 5, checkpoint="tiny"))
