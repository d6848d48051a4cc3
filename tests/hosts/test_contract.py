"""The double and every call we make, held against the recorded signatures of five hosts, and against real code.

The record is `../shared/hosts-contract.json`; `PRODSHOT_WEBUI_DIR` and `PRODSHOT_FORGE_DIR` name real installations.
"""

from __future__ import annotations

import ast
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lib_prodshot.bootstrap import ROOT

RECORD = ROOT.parent / "shared" / "hosts-contract.json"
HOSTS = ("a1111", "forge", "reforge", "classic", "neo")
DOUBLE = ROOT / "tests" / "double"
REAL = {"a1111": "PRODSHOT_WEBUI_DIR", "forge": "PRODSHOT_FORGE_DIR"}

PROCESSING, SCRIPTS, IMAGES = "modules/processing.py", "modules/scripts.py", "modules/images.py"
MODELS, OPTIONS, STATE = "modules/sd_models.py", "modules/options.py", "modules/shared_state.py"
BACKEND, LDM = "backend/memory_management.py", "ldm_patched/modules/model_management.py"
FORGE_CONTROL = "extensions-builtin/sd_forge_controlnet/lib_controlnet/global_state.py"
CALLBACKS = "modules/script_callbacks.py"
MIKUBILL = "internal_controlnet/external_code.py"


@dataclass(frozen=True)
class Call:
    """A call we make: where it goes, how many positional arguments (without self), which keywords, on which hosts."""

    file: str
    name: str
    positional: int = 0
    keywords: tuple[str, ...] = ()
    hosts: tuple[str, ...] = HOSTS


ALL_BUT_A1111 = ("forge", "reforge", "classic", "neo")
CALLS = (
    Call(PROCESSING, "process_images", 1),
    Call(PROCESSING, "fix_seed", 1),
    Call(PROCESSING, "create_binary_mask", 1),
    Call(PROCESSING, "create_infotext", 4, ("index", "all_negative_prompts")),
    Call(PROCESSING, "Processed.__init__", 2, ("seed", "info", "subseed", "infotexts")),
    Call(PROCESSING, "StableDiffusionProcessing.setup_prompts"),
    Call(PROCESSING, "StableDiffusionProcessing.save_samples"),
    Call(PROCESSING, "StableDiffusionProcessing.comment", 1),
    Call(PROCESSING, "StableDiffusionProcessing.close"),
    Call(PROCESSING, "StableDiffusionProcessing.get_token_merging_ratio"),
    Call(IMAGES, "image_grid", 2),
    Call(IMAGES, "save_image", 6, ("info", "p", "suffix")),
    Call(IMAGES, "save_image", 6, ("info", "short_filename", "p", "grid")),
    Call(MODELS, "get_closet_checkpoint_match", 1),
    Call(MODELS, "apply_token_merging", 2),
    Call(MODELS, "send_model_to_cpu", 1, hosts=("a1111",)),
    Call(MODELS, "send_model_to_device", 1, hosts=("a1111",)),
    Call(OPTIONS, "Options.set", 2, ("is_api", "run_callbacks")),
    Call(OPTIONS, "Options.get_default", 1),
    Call(STATE, "State.begin", 0, ("job",)),
    Call(STATE, "State.end"),
    Call(BACKEND, "free_memory", 2, hosts=("forge", "neo")),
    Call(BACKEND, "get_torch_device", hosts=("forge", "neo")),
    Call(BACKEND, "soft_empty_cache", hosts=("forge", "neo")),
    Call(LDM, "free_memory", 2, hosts=("reforge", "classic")),
    Call(LDM, "get_torch_device", hosts=("reforge", "classic")),
    Call(LDM, "soft_empty_cache", hosts=("reforge", "classic")),
    Call(FORGE_CONTROL, "update_controlnet_filenames", hosts=ALL_BUT_A1111),
    Call(FORGE_CONTROL, "get_all_controlnet_names", hosts=ALL_BUT_A1111),
    Call(FORGE_CONTROL, "get_all_preprocessor_names", hosts=ALL_BUT_A1111),
)
CALLS += (
    Call(CALLBACKS, "add_callback", 2, ("category", "filename"), hosts=("a1111", "forge", "reforge", "neo")),
    *(Call(CALLBACKS, f"on_{kind}", 1) for kind in ("app_started", "before_ui", "ui_settings")),
)
MIKUBILL_CALLS = (
    Call(MIKUBILL, "get_models", 0, ("update",)),
    Call(MIKUBILL, "get_modules", 0, ("alias_names",)),
)
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


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    if not RECORD.is_file():
        pytest.skip(f"the recorded signatures are not here ({RECORD})")
    return json.loads(RECORD.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


Signature = list[str]
"""Parameters as the record writes them: 'name', 'name=default', '*', '*args', '**kwargs'."""


def signature_of(node: ast.FunctionDef) -> Signature:
    arguments = node.args
    plain = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
    defaults = [None] * (len(plain) - len(arguments.defaults)) + [ast.unparse(value) for value in arguments.defaults]
    parts = [name if default is None else f"{name}={default}" for name, default in zip(plain, defaults)]
    if arguments.vararg:
        parts.append(f"*{arguments.vararg.arg}")
    elif arguments.kwonlyargs:
        parts.append("*")
    parts += [
        argument.arg if default is None else f"{argument.arg}={ast.unparse(default)}"
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults)
    ]
    return [*parts, f"**{arguments.kwarg.arg}"] if arguments.kwarg else parts


def signatures_in(source: str) -> dict[str, Signature]:
    """Every function and method of a module, methods as Class.name; of two with one name the first."""
    found: dict[str, Signature] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef):
            found.setdefault(node.name, signature_of(node))
        if isinstance(node, ast.ClassDef):
            for method in node.body:
                if isinstance(method, ast.FunctionDef):
                    found.setdefault(f"{node.name}.{method.name}", signature_of(method))
    return found


def names_of(signature: Signature) -> list[str]:
    return [part.partition("=")[0] for part in signature]


def refusal(call: Call, signature: Signature | None) -> str:
    """Why a host would refuse the call; empty where it takes it."""
    if signature is None:
        return f"{call.file} has no {call.name}"
    parts = signature[1:] if signature[:1] == ["self"] else list(signature)
    star = next((place for place, part in enumerate(parts) if part.startswith("*")), len(parts))
    if call.positional > star and not any(part.startswith("*") and part not in ("*",) for part in parts):
        return f"{call.name}{parts} takes {star} positional arguments, not {call.positional}"
    names = [name.lstrip("*") for name in names_of(parts)]
    unknown = [name for name in call.keywords if name not in names]
    if unknown and not any(part.startswith("**") for part in parts):
        return f"{call.name}{parts} does not know {unknown}"
    given = {*names[: call.positional], *call.keywords}
    needed = [part for part in parts if "=" not in part and not part.startswith("*") and part not in given]
    return f"{call.name}{parts} also wants {needed}" if needed else ""


@pytest.mark.parametrize("host", HOSTS)
def test_every_call_is_taken_by_every_host(record: dict[str, Any], host: str) -> None:
    modules = record["hosts"][host]["modules"]
    calls = [call for call in CALLS if host in call.hosts]
    assert not [bad for bad in (refusal(call, modules[call.file].get(call.name)) for call in calls) if bad]


def test_mikubill_s_controlnet_takes_our_calls(record: dict[str, Any]) -> None:
    modules = record["mikubill_controlnet"]["modules"]
    assert not [bad for bad in (refusal(call, modules[call.file].get(call.name)) for call in MIKUBILL_CALLS) if bad]


def fields_of(modules: dict[str, Any], *kinds: str) -> set[str]:
    """Constructor fields of dataclasses, as the record lists them (those with an annotation)."""
    lines = [line for kind in kinds for line in modules[PROCESSING][kind]["fields"]]
    return {line.partition(":")[0] for line in lines if ":" in line.partition("=")[0] and "init=False" not in line}


def arguments_of_a_pass() -> set[str]:
    """The keys of the table that `LocalPainter._arguments` returns."""
    tree = ast.parse((ROOT / "lib_prodshot" / "hosts" / "nested.py").read_text(encoding="utf-8"))
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
    fields = {
        line.partition("=")[0].partition(":")[0].strip()
        for line in record["hosts"][host]["modules"][STATE]["State"]["fields"]
    }
    assert set(STATE_FIELDS) <= fields


def our_hooks() -> dict[str, Signature]:
    """The methods of our scripts: the door's two and the probe."""
    found: dict[str, Signature] = {}
    for path in (ROOT / "scripts" / "prodshot.py", ROOT / "lib_prodshot" / "hosts" / "controlnet.py"):
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
    folder = os.environ.get(REAL[host], "")
    if not folder:
        pytest.skip(f"{REAL[host]} names no {host}")
    for call in (call for call in CALLS if host in call.hosts):
        found = signatures_in((Path(folder) / call.file).read_text(encoding="utf-8"))
        # a few live elsewhere in forks and are passed on; what the record has was looked up in the real place
        assert call.name not in found or not refusal(call, found[call.name])
        assert call.name in found or call.file in (MODELS,), call.name


@pytest.mark.parametrize("host", REAL)
def test_real_modules_have_the_names_we_read(host: str) -> None:
    folder = os.environ.get(REAL[host], "")
    if not folder:
        pytest.skip(f"{REAL[host]} names no {host}")
    for file, names in NAMES_WE_READ.items():
        source = (Path(folder) / file).read_text(encoding="utf-8")
        for name in names:
            assert name in source, f"{file}: {name}"


NAMES_WE_READ = {
    "modules/sd_models.py": ("checkpoints_list", "model_data", "def select_checkpoint", "get_closet_checkpoint_match"),
    "modules/script_callbacks.py": (
        "callback_map",
        "callbacks_app_started",
        "callbacks_before_ui",
        "callbacks_ui_settings",
    ),
    "modules/sd_samplers.py": ("all_samplers",),
    "modules/sd_schedulers.py": ("schedulers",),
    "modules/sd_vae.py": ("def get_loaded_vae_name", "def get_loaded_vae_hash"),
    "modules/call_queue.py": ("queue_lock",),
    "modules/paths.py": ("data_path", "models_path"),
    "modules/errors.py": ("def report",),
}
