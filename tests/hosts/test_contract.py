"""The double and every call we make, held against the recorded signatures of five hosts, and against real code.

`contract.json` is the record (see `record_contract`); `PRODSHOT_WEBUI_DIR`, `PRODSHOT_FORGE_DIR`,
`PRODSHOT_REFORGE_DIR`, `PRODSHOT_CLASSIC_DIR` and `PRODSHOT_NEO_DIR` name real installations.
"""

from __future__ import annotations

import ast
import json
import os
from pathlib import Path
from typing import Any

import pytest

from lib_prodshot.bootstrap import ROOT
from lib_prodshot.control import choose_unit
from lib_prodshot.inpainting import ControlLists
from lib_prodshot.request import Request, setting_named
from tests.hosts import record_contract, touched
from tests.hosts.calls import (
    CALLS,
    FLAGS_ADVISED,
    FORGE_CODE,
    FORGE_CONTROLNET,
    FORGE_FAMILY,
    MIKUBILL_CALLS,
    NAMES_SOME_HAVE,
    NAMES_WE_READ,
    NEVER,
    PROCESSING,
    SCRIPTS,
    STATE,
)
from tests.hosts.signatures import HOSTS, Signature, names_in, names_of, refusal, signature_of, signatures_in

DOUBLE = ROOT / "tests" / "double"
REAL = {
    "a1111": "PRODSHOT_WEBUI_DIR",
    "forge": "PRODSHOT_FORGE_DIR",
    "reforge": "PRODSHOT_REFORGE_DIR",
    "classic": "PRODSHOT_CLASSIC_DIR",
    "neo": "PRODSHOT_NEO_DIR",
}

STATE_FIELDS = ("skipped", "interrupted", "stopping_generation", "job", "job_no", "job_count", "textinfo")

SOMETIMES = {"scheduler": ("classic",), "distilled_cfg_scale": ("a1111", "reforge", "classic")}
"""Arguments of a pass that these hosts have no field for; they are left out there."""

HOOKS_WE_RELY_ON = (
    "before_process",
    "postprocess_image_after_composite",
    "postprocess",
    "post_sample",
    "ui",
    "show",
    "run",
)

OUR_SOURCES = sorted([*(ROOT / "lib_prodshot").rglob("*.py"), *(ROOT / "scripts").glob("*.py")])


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    return json.loads(record_contract.KEPT.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def real_folder(host: str) -> Path:
    folder = os.environ.get(REAL[host], "")
    if not folder:
        pytest.skip(f"{REAL[host]} names no {host}")
    return Path(folder)


def test_the_record_is_the_part_of_the_full_one_that_we_ask_for(record: dict[str, Any]) -> None:
    if not record_contract.FULL.is_file():
        pytest.skip(f"the full record is not beside this checkout ({record_contract.FULL})")
    full = json.loads(record_contract.FULL.read_text(encoding="utf-8"))
    assert record == record_contract.kept_of(full), "python -m tests.hosts.record_contract writes it anew"


# ---- our calls


@pytest.mark.parametrize("host", HOSTS)
def test_every_call_is_taken_by_every_host(record: dict[str, Any], host: str) -> None:
    modules = record["hosts"][host]["modules"]
    calls = [call for call in CALLS if host in call.hosts]
    assert not [bad for bad in (refusal(call, modules[call.file].get(call.name)) for call in calls) if bad]


def test_mikubill_s_controlnet_takes_our_calls(record: dict[str, Any]) -> None:
    modules = record["mikubill_controlnet"]["modules"]
    assert not [bad for bad in (refusal(call, modules[call.file].get(call.name)) for call in MIKUBILL_CALLS) if bad]


def test_no_name_of_theirs_is_touched_unheld() -> None:
    """What our source touches, read out of it, is in the tables that these tests go through."""
    held = {(call.file, call.name.split(".")[0]) for call in (*CALLS, *MIKUBILL_CALLS)}
    held |= {(file, name) for file, names in NAMES_WE_READ.items() for name in names}
    held |= {(file, name) for file, name, _ in NAMES_SOME_HAVE}
    found = {(_file_of(module), name) for module, name in touched.touched()}
    assert found - held - {(FORGE_CODE, "ControlMode")} == set()
    assert len(found) > 40, "the search has lost its sight"


def _file_of(module: str) -> str:
    file = module.replace(".", "/") + ".py"
    return f"extensions-builtin/sd_forge_controlnet/{file}" if file.startswith("lib_controlnet") else file


@pytest.mark.any_host
def test_nothing_is_said_that_a_host_does_not_bear() -> None:
    for path in OUR_SOURCES:
        said = {word for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) for word in _words(node)}
        assert not said & set(NEVER), path


def _words(node: ast.AST) -> set[str]:
    """What a piece of source names: a variable, an attribute, a keyword, a text."""
    words = [getattr(node, name, None) for name in ("id", "attr", "arg", "value")]
    return {word for word in words if isinstance(word, str)}


# ---- the pass


def fields_of(modules: dict[str, Any], *kinds: str, file: str = PROCESSING) -> set[str]:
    """Constructor fields of dataclasses, as the record lists them (those with an annotation)."""
    lines = [line for kind in kinds for line in modules[file][kind]["fields"]]
    return {line.partition(":")[0] for line in lines if ":" in line.partition("=")[0] and "init=False" not in line}


def arguments_of_a_pass() -> set[str]:
    """The keys of the table that `NestedPassBackend._arguments` returns."""
    tree = ast.parse((ROOT / "lib_prodshot" / "hosts" / "nested_pass" / "backend.py").read_text(encoding="utf-8"))
    function = next(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "_arguments")
    table = next(node.value for node in ast.walk(function) if isinstance(node, ast.Return))
    assert isinstance(table, ast.Dict)
    return {key.value for key in table.keys if isinstance(key, ast.Constant)}


@pytest.mark.parametrize("host", HOSTS)
def test_a_pass_has_a_field_for_each_argument(record: dict[str, Any], host: str) -> None:
    kinds = ("StableDiffusionProcessing", "StableDiffusionProcessingImg2Img")
    fields = fields_of(record["hosts"][host]["modules"], *kinds)
    wanted = {name for name in arguments_of_a_pass() if host not in SOMETIMES.get(name, ())}
    assert wanted - fields == set()
    left_out = {name for name in arguments_of_a_pass() if host in SOMETIMES.get(name, ())}
    assert not left_out & fields, "a host has caught up: the table of exceptions is stale"


@pytest.mark.parametrize("host", HOSTS)
def test_the_state_has_what_we_read(record: dict[str, Any], host: str) -> None:
    lines = record["hosts"][host]["modules"][STATE]["State"]["fields"]
    assert set(STATE_FIELDS) <= {line.partition("=")[0].partition(":")[0].strip() for line in lines}


# ---- the ControlNet unit


def our_unit(mode: str = "Balanced") -> dict[str, Any]:
    lists = ControlLists(("control_v11f1p_sd15_depth",), ("none", "depth_midas"), "none", 3)
    unit = choose_unit(Request(products="car", control="required", control_mode=mode), "sd15", lists).unit
    assert unit is not None
    return dict(unit)


def values_of(kind: dict[str, Any]) -> list[str]:
    """The values of an enum, in its order."""
    return [ast.literal_eval(line.partition(" = ")[2]) for line in kind["fields"]]


@pytest.mark.parametrize("host", FORGE_FAMILY)
def test_a_unit_fits_the_forge_family(record: dict[str, Any], host: str) -> None:
    modules = record["hosts"][host]["modules"]
    assert set(our_unit()) <= fields_of(modules, "ControlNetUnit", file=FORGE_CODE)
    _assert_words_fit(modules[FORGE_CODE], host)


def test_a_unit_fits_mikubill_s(record: dict[str, Any]) -> None:
    modules = record["mikubill_controlnet"]["modules"]
    assert set(our_unit()) <= fields_of(modules, "ControlNetUnit", file="internal_controlnet/args.py")
    _assert_words_fit(modules["scripts/enums.py"], "a1111")


def _assert_words_fit(enums: dict[str, Any], host: str) -> None:
    """Each mode is the host's own string, or the one in the same place of its list (reForge's are other words)."""
    from lib_prodshot.hosts.compatibility.controlnet import _mode

    theirs, ours = values_of(enums["ControlMode"]), setting_named("control_mode").choices
    assert [_mode(theirs, mode) for mode in ours] == theirs, host
    assert set(setting_named("control_resize_mode").choices) <= set(values_of(enums["ResizeMode"])), host


# ---- our hooks


def our_hooks() -> dict[str, Signature]:
    """The methods of our scripts: the door's two and the probe."""
    found: dict[str, Signature] = {}
    for path in (ROOT / "scripts" / "prodshot.py", ROOT / "lib_prodshot" / "hosts" / "compatibility" / "controlnet.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and node.name.startswith("Prodshot"):
                methods = [method for method in node.body if isinstance(method, ast.FunctionDef)]
                found.update({method.name: signature_of(method) for method in methods})
    return found


@pytest.mark.parametrize("host", HOSTS)
def test_our_hooks_have_the_host_s_form(record: dict[str, Any], host: str) -> None:
    theirs = record["hosts"][host]["modules"][SCRIPTS]
    ours = our_hooks()
    assert set(HOOKS_WE_RELY_ON) <= set(ours)
    for name, signature in ours.items():
        assert names_of(signature) == names_of(theirs[f"Script.{name}"]), name


# ---- the double


def double_files() -> list[Path]:
    return sorted((DOUBLE / "modules").glob("*.py"))


@pytest.mark.parametrize("path", double_files(), ids=lambda path: path.name)
def test_the_double_has_the_signatures_of_a1111(record: dict[str, Any], path: Path) -> None:
    recorded = record["hosts"]["a1111"]["modules"].get(f"modules/{path.name}", {})
    for name, signature in signatures_in(path.read_text(encoding="utf-8")).items():
        if name in recorded and name not in INVENTED:
            assert names_of(signature) == names_of(recorded[name]), name


INVENTED = {
    # the double keeps neither latents nor a UNet, and its runner calls all hooks by one helper
    "StableDiffusionProcessingTxt2Img.sample",
    "StableDiffusionProcessingImg2Img.sample",
    "Options.__init__",
    "ScriptRunner.ordered_scripts",
}


def test_the_double_s_passes_take_the_real_fields(record: dict[str, Any]) -> None:
    kinds = ("StableDiffusionProcessing", "StableDiffusionProcessingImg2Img")
    real = fields_of(record["hosts"]["a1111"]["modules"], *kinds)
    tree = ast.parse((DOUBLE / "modules" / "processing.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name in kinds:
            lines = [
                line for line in node.body if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
            ]
            ours = {line.target.id for line in lines if "init=False" not in ast.unparse(line)}  # type: ignore[union-attr]
            assert ours <= real


# ---- real code


@pytest.mark.parametrize("host", REAL)
def test_real_code_takes_our_calls(host: str) -> None:
    folder = real_folder(host)
    for call in (call for call in CALLS if host in call.hosts):
        found = signatures_in((folder / call.file).read_text(encoding="utf-8"))
        assert not refusal(call, found.get(call.name))


@pytest.mark.parametrize("host", REAL)
def test_real_modules_have_the_names_we_read(host: str) -> None:
    folder = real_folder(host)
    for file, names in NAMES_WE_READ.items():
        known = names_in((folder / file).read_text(encoding="utf-8"))
        assert set(names) <= known, f"{file}: {set(names) - known}"


@pytest.mark.parametrize("host", REAL)
def test_real_modules_have_what_only_some_have(host: str) -> None:
    folder = real_folder(host)
    for file, name, hosts in NAMES_SOME_HAVE:
        path = folder / file
        there = path.is_file() and name in names_in(path.read_text(encoding="utf-8"))
        assert there == (host in hosts), f"{file}: {name}"


@pytest.mark.parametrize("host", REAL)
def test_a_real_parser_takes_the_flags_that_we_advise(host: str) -> None:
    file, *flags = FLAGS_ADVISED[host]
    text = (real_folder(host) / file).read_text(encoding="utf-8")
    assert not [flag for flag in flags if f'"{flag}"' not in text]


@pytest.mark.parametrize("host", REAL)
def test_real_controlnet_is_in_the_file_that_we_look_for(host: str) -> None:
    folder = real_folder(host)
    home = "extensions/sd-webui-controlnet" if host == "a1111" else FORGE_CONTROLNET
    assert "class" in (folder / home / "scripts" / "controlnet.py").read_text(encoding="utf-8")
