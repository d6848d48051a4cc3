"""The ControlNet unit: which model for which checkpoint, and what is refused before a host could swallow it."""

from __future__ import annotations

import pytest

from lib_prodshot import control
from lib_prodshot.errors import EnhanceError
from lib_prodshot.inpainting import ControlLists, Family
from lib_prodshot.request import Request

# names as the ControlNet wikis list them
MODELS = (
    "control_v11p_sd15_canny [d14c016b]",
    "t2iadapter_depth_sd15v2 [3489cd37]",
    "control_v11f1p_sd15_depth [cfd03158]",
    "control_v11p_sd21_depth [a8e6b5a1]",
    "sai_xl_depth_256lora [73ad23d1]",
    "diffusers_xl_canny_full [2b69fca4]",
    "control_v11p_sd15s2_lineart_anime [3825e83e]",
)
MODULES = (
    "none",
    "depth_midas",
    "depth_anything_v2",
    "canny",
    "lineart_anime_denoise",
    "lineart_realistic",
    "softedge_hed",
)
LISTS = ControlLists(MODELS, MODULES, "none", 3)


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("control_v11f1p_sd15_depth_fp16 [4b72d323]", "sd15"),
        ("control_sd15_depth [fef5e48e]", "sd15"),
        ("t2iadapter_depth_sd14v1", "sd15"),
        ("control_v11p_sd21_zoedepth", "sd2"),
        ("diffusers_xl_depth_full", "sdxl"),
        ("controlnet-depth-sdxl-1.0", "sdxl"),
        ("kohya_controllllite_xl_depth_anime", "sdxl"),
        ("my_depth_model", None),
        ("maxl_depth", None),
    ],
)
def test_the_family_in_a_models_name(name: str, family: Family | None) -> None:
    assert control.family_of(name) == family


@pytest.mark.parametrize(
    ("module", "family", "model"),
    [
        ("depth_midas", "sd15", "control_v11f1p_sd15_depth [cfd03158]"),
        ("depth_anything_v2", "sd15", "control_v11f1p_sd15_depth [cfd03158]"),
        ("depth_midas", "sd2", "control_v11p_sd21_depth [a8e6b5a1]"),
        ("depth_midas", "sdxl", "sai_xl_depth_256lora [73ad23d1]"),
        ("Canny", "sd15", "control_v11p_sd15_canny [d14c016b]"),
        ("canny", "sdxl", "diffusers_xl_canny_full [2b69fca4]"),
        ("lineart_anime_denoise", "sd15", "control_v11p_sd15s2_lineart_anime [3825e83e]"),
    ],
)
def test_the_model_that_fits(module: str, family: Family, model: str) -> None:
    choice = control.choose_unit(Request(control_module=module), family, LISTS)
    assert choice.unit is not None and choice.unit["model"] == model and choice.notes == ()


@pytest.mark.parametrize("name", ["control_v11p_sd15_canny", "CONTROL_V11P_SD15_CANNY [d14c016b]", MODELS[0]])
def test_a_model_with_or_without_its_hash(name: str) -> None:
    choice = control.choose_unit(Request(control_model=name), "sd15", LISTS)
    assert choice.unit is not None and choice.unit["model"] == MODELS[0]


def test_no_preprocessor_in_the_hosts_word() -> None:
    for none in ("none", "None", ""):
        request = Request(control_module=none, control_model="control_v11p_sd15_canny")
        assert control.choose_unit(request, "sd15", LISTS).unit["module"] == "none"  # type: ignore[index]
        forge = ControlLists(MODELS, ("None", "canny"), "None", 3)
        assert control.choose_unit(request, "sd15", forge).unit["module"] == "None"  # type: ignore[index]


@pytest.mark.parametrize(
    ("settings", "family", "lists", "reason"),
    [
        ({}, "sd15", None, "it is not installed"),
        ({}, "sd15", ControlLists(MODELS, MODULES, "none", 0), "give it no unit"),
        ({}, "sd15", ControlLists((), MODULES, "none", 3), "install control_v11f1p_sd15_depth"),
        ({}, "other", LISTS, "no depth model for this checkpoint's kind"),
        ({"control_module": "softedge_hed"}, "sd15", LISTS, "no softedge model for SD1.5 is installed"),
        ({"control_module": "depth_zoe"}, "sd15", LISTS, "there are: depth_midas, depth_anything_v2"),
        ({"control_module": "none"}, "sd15", LISTS, "name a ControlNet model"),
        ({"control_model": "zorro"}, "sd15", LISTS, "the model 'zorro' is not installed (there are: control_v11p_sd15"),
        ({"control_model": "diffusers_xl_canny_full"}, "sd15", LISTS, "is for SDXL, not SD1.5"),
    ],
)
def test_what_cannot_be_had_is_refused_or_noted(
    settings: dict[str, str], family: Family, lists: ControlLists | None, reason: str
) -> None:
    choice = control.choose_unit(Request(**settings), family, lists)
    assert choice.unit is None and reason in choice.notes[0] and choice.notes[0].startswith("without ControlNet: ")
    with pytest.raises(EnhanceError) as caught:
        control.choose_unit(Request(control="required", **settings), family, lists)
    assert reason in str(caught.value)
    assert control.choose_unit(Request(control="off", **settings), family, lists) == control.ControlChoice(None)


def test_the_seeds_unit_is_the_default() -> None:
    unit = control.choose_unit(Request(), "sd15", LISTS).unit
    assert unit == {
        "enabled": True,
        "module": "depth_midas",
        "model": "control_v11f1p_sd15_depth [cfd03158]",
        "weight": 1.0,
        "guidance_start": 0.0,
        "guidance_end": 1.0,
        "control_mode": "Balanced",
        "resize_mode": "Crop and Resize",
        "processor_res": 512,
        "pixel_perfect": False,
        "save_detected_map": False,
    }
