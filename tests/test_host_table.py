"""docs/hosts.md says "tested" in its table only where the end-to-end suite has a test that runs on that host."""

from __future__ import annotations

import ast
import re

import pytest

from lib_prodshot.bootstrap import ROOT

HOSTS = ("AUTOMATIC1111", "Forge", "reForge", "classic", "neo")
"""All of them can be named to `tests/webui`."""

WORDS = ("tested", "contract", "removed by the host", "not supported", "—")

HTTP, CLIENTS, BROWSER = "webui/test_http.py", "webui/test_clients.py", "webui/test_browser.py"
STARTUP, SIDE, INSTALL = "webui/test_startup.py", "webui/test_side_by_side.py", "webui/test_installed.py"
CONTRACT = ("hosts/test_contract.py::test_every_call_is_taken_by_every_host",)
MEMORY = ("hosts/test_memory.py::test_the_forge_family_is_asked_for_room",)

ROWS: dict[str, tuple[str, ...]] = {
    "Script on img2img": (
        f"{HTTP}::test_the_car_takes_exactly_one_sampling",
        f"{HTTP}::test_the_moon_costs_no_sampling_and_comes_back_as_it_is",
    ),
    "Script on txt2img": (f"{HTTP}::test_a_class_in_the_prompt_generates_each_product",),
    "Accordion": (
        f"{HTTP}::test_the_accordion_enhances_outputs_and_leaves_the_rest",
        f"{HTTP}::test_a_picture_enlarged_by_hires_fix",
    ),
    "Pixels outside the mask": (
        f"{HTTP}::test_the_mask_and_the_unit_are_really_used",
        f"{HTTP}::test_settings_that_would_break_the_promise_are_overridden",
    ),
    "Same verdicts and masks": (f"{SIDE}::test_every_host_gives_the_same_verdicts_and_masks",),
    "ControlNet unit": (
        f"{HTTP}::test_the_mask_and_the_unit_are_really_used",
        f"{HTTP}::test_preferred_control_that_fails_is_said",
        f"{HTTP}::test_a_parent_with_controlnet_of_its_own",
    ),
    "LoRA tags": (f"{HTTP}::test_a_lora_is_applied_and_a_missing_one_left_out",),
    "Interrupt, errors": (
        f"{HTTP}::test_interrupting_a_pass",
        f"{HTTP}::test_trouble_leaves_the_picture_and_the_server",
    ),
    "X/Y/Z plot": (f"{HTTP}::test_xyz_plot_sweeps_our_settings",),
    "WebUI API": (
        f"{HTTP}::test_a_wrong_request_is_refused_by_name",
        f"{CLIENTS}::test_webuiapi_on_img2img",
        f"{CLIENTS}::test_webuiapi_on_txt2img",
    ),
    "`/prodshot/v1`": (f"{CLIENTS}::test_detect", f"{CLIENTS}::test_enhance"),
    "`prodshot … --webui`": (
        f"{CLIENTS}::test_the_command_line_against_a_real_webui",
        f"{CLIENTS}::test_a_remote_pass_knows_whether_control_took_part",
    ),
    "Panel in the browser": (
        f"{BROWSER}::test_img2img_with_the_script_and_back_by_the_paste_arrow",
        f"{BROWSER}::test_txt2img_with_the_accordion_and_back_by_png_info",
        f"{BROWSER}::test_a_failure_is_seen_on_the_page",
    ),
    "img2img Batch tab": (f"{BROWSER}::test_the_batch_tab_goes_picture_by_picture",),
    "*Install from URL*": (f"{STARTUP}::test_installed_the_owners_way",),
    "`install.py`": (
        f"{INSTALL}::test_nothing_of_the_webui_s_own_is_replaced",
        "test_install.py::test_no_host_s_pinned_version_is_moved",
    ),
    "SDXL": CONTRACT,
    "SD 2": CONTRACT,
    "Room on the GPU": MEMORY,
    "ControlNet with Flux": CONTRACT,
}
"""What stands behind each row, by the words that it begins with."""

ONLY_A1111 = ("*Install from URL*",)
"""Rows whose test skips on every other host."""


def rows() -> dict[str, list[str]]:
    text = (ROOT / "docs" / "hosts.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"^\| *feature +\| *AUTOMATIC1111.*?\n\n", text, re.M | re.S)
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines()[2:]]
    return {first: cells for first, *cells in lines}


def row_of(feature: str) -> str:
    (name,) = (name for name in ROWS if feature.startswith(name))
    return name


def test_every_row_has_tests_behind_it_and_every_cell_is_one_of_the_words() -> None:
    assert sorted(map(row_of, rows())) == sorted(ROWS)
    for feature, cells in rows().items():
        assert len(cells) == len(HOSTS) and set(cells) <= set(WORDS), feature


@pytest.mark.parametrize("name", ROWS)
def test_the_tests_behind_a_row_are_there(name: str) -> None:
    for place in ROWS[name]:
        file, _, test = place.partition("::")
        tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
        assert test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, place


def test_only_what_ran_on_the_real_host_is_called_tested() -> None:
    for feature, cells in rows().items():
        name = row_of(feature)
        ran = HOSTS[:1] if name in ONLY_A1111 else HOSTS
        end_to_end = any(place.startswith("webui/") for place in ROWS[name])
        for host, cell in zip(HOSTS, cells):
            assert cell != "tested" or (host in ran and end_to_end), (feature, host)


def test_what_a_host_has_removed_is_not_promised() -> None:
    (cells,) = (cells for feature, cells in rows().items() if row_of(feature) == "SD 2")
    assert cells[HOSTS.index("neo")] == "removed by the host"
