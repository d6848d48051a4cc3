"""A new step is one file and one line in the registry: it then appears on every surface by itself."""

from __future__ import annotations

import argparse
import pickle

import numpy as np
import pytest

from lib_prodshot.bootstrap import ROOT
from lib_prodshot.commands import settings as settings_command
from lib_prodshot.enhancing.interface import Enhanced, Task
from lib_prodshot.errors import RequestError
from lib_prodshot.pictures import LoadedPicture
from lib_prodshot.pipeline import run
from lib_prodshot.request import Request, settings
from lib_prodshot.steps import registry
from tests.finders import fixed_finder
from tests.steps.toy import WITH_TOY, LightenStep

FIRST_RELEASE = """products finder box_threshold text_threshold class_thresholds instances instance_index mask_threshold
grow grow_share fill_holes drop_specks feather invert engine strength delta_e_limit over_limit prompt negative_prompt
class_prompts passes denoising_strength inpaint_area padding resolution inpainting_fill steps cfg_scale sampler
scheduler seed checkpoint control control_module control_model control_weight control_guidance_start
control_guidance_end control_mode control_resize_mode control_processor_res control_pixel_perfect save_originals
save_masks save_overlays"""
"""The positional form of script arguments, as programs out there use it."""


class Same:
    """An engine that changes nothing."""

    name = "same"

    def enhance(self, task: Task) -> Enhanced:
        return Enhanced(task.picture)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "STEPS", WITH_TOY)


def test_positional_arguments_are_those_of_the_first_release_and_closed(toy: None) -> None:
    assert [known.name for known in settings() if not known.named_only] == FIRST_RELEASE.split()
    values = [None] * len(FIRST_RELEASE.split())
    with pytest.raises(RequestError, match="script_args: 47 positional values for 46 fields"):
        Request.from_arguments([*values, 3])
    assert Request.from_arguments([*values, {"lighten_amount": 3}]).of(LightenStep).amount == 3
    changed = {"lighten_amount": 7, "lighten_curve": "steep"}
    whole_row = [changed.get(known.name, known.default) for known in settings()]
    assert Request.from_arguments(whole_row).of(LightenStep).amount == 7


def test_its_settings_are_in_the_request_flat_and_by_step(toy: None) -> None:
    flat, grouped = Request(lighten_amount=9), Request(lighten={"amount": 9})
    assert flat == grouped and flat.lighten_amount == grouped.lighten.amount == 9
    assert flat.to_dict(only_changed=True) == {"lighten_amount": 9}
    assert pickle.loads(pickle.dumps(flat)) == flat and hash(flat) == hash(grouped)
    assert flat.replace(lighten={"amount": 1}, grow=2).to_dict(only_changed=True) == {"grow": 2, "lighten_amount": 1}


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"lighten": {"amount": 101}}, "lighten_amount"),
        ({"lighten": {"colour": 1}}, "lighten.colour"),
        ({"lighten": 4}, "lighten"),
        ({"lighten": {"amount": 1}, "lighten_amount": 2}, "lighten.amount"),
        ({"amount": 1}, "amount"),
    ],
)
def test_wrong_values_are_named(toy: None, values: dict[str, object], field: str) -> None:
    with pytest.raises(RequestError) as caught:
        Request(**values)
    assert [problem.field for problem in caught.value.problems] == [field]


def test_it_runs_in_its_place_and_has_its_line_in_the_report(toy: None) -> None:
    loaded = LoadedPicture.from_rgb(np.full((80, 120, 3), 100, np.uint8))
    outcome = run(loaded, Request(products="car", lighten_amount=5), fixed_finder(), Same())
    assert outcome.picture is not None and outcome.alpha is not None
    assert set(np.unique(outcome.picture[outcome.alpha == 255])) == {105}
    assert set(np.unique(outcome.picture[outcome.alpha == 0])) == {100}
    steps = outcome.to_json()["steps"]
    assert [line["step"] for line in steps] == ["find", "mask", "retouch", "lighten", "preserve", "gates", "declare"]
    assert steps[3] == {"step": "lighten", "version": 3, "amount": 5}
    idle = run(loaded, Request(products="car"), fixed_finder(), Same())
    assert "lighten" not in [line["step"] for line in idle.to_json()["steps"]]


def test_it_is_on_the_command_line_and_in_the_docs_tables(toy: None) -> None:
    from lib_prodshot.commands.options import add_request_options, request_from

    parser = argparse.ArgumentParser()
    add_request_options(parser)
    assert request_from(parser.parse_args(["--products", "car", "--lighten-amount", "4"])).lighten_amount == 4
    with pytest.raises(RequestError, match="lighten_amount: 200 is too large"):
        request_from(parser.parse_args(["--products", "car", "--lighten-amount", "200"]))
    looking = argparse.ArgumentParser()
    add_request_options(looking, dry_run=True)
    assert "--lighten-amount" not in looking.format_help() and "--grow" in looking.format_help()
    page = settings_command.page()
    assert "## lighten, version 3" in page and "| `lighten_amount` | `0` | whole number from 0 to 100 levels |" in page


def test_it_changes_the_fingerprint_of_a_folder_job(toy: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from lib_prodshot.jobs.folder.resume import fingerprint

    one = fingerprint(Request(products="car"), "lite", False)
    assert fingerprint(Request(products="car", lighten_amount=1), "lite", False) != one
    assert fingerprint(Request(products="car", lighten_amount=1), "lite", True) == fingerprint(
        Request(products="car"), "lite", True
    )
    monkeypatch.setattr(LightenStep, "version", 4)
    assert fingerprint(Request(products="car"), "lite", False) != one


def test_two_settings_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Clashing(LightenStep):
        prefix = "lighten_"
        id = "lighter"

    monkeypatch.setattr(registry, "STEPS", (*WITH_TOY, Clashing()))
    with pytest.raises(TypeError, match="lighten_amount"):
        settings()


def test_the_page_of_settings_is_up_to_date() -> None:
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert text == settings_command.page() + "\n", "run: python3 -m lib_prodshot settings > docs/settings.md"
