"""The import graph: no module imports itself by any detour, and each room imports only what is listed for it here.

Imports inside functions count: they only defer a dependency. Those under `TYPE_CHECKING` do not: nothing is loaded.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "lib_prodshot"

Graph = Mapping[str, set[str]]
"""Names by what they import."""

ROOMS = {
    "": "",
    "__main__": "bootstrap cli interpreter",
    "bootstrap": "locks",
    "bounds": "",
    "components": "",
    "cli": "'' commands errors",
    "commands": "'' bootstrap downloads enhancing errors finding hosts.remote jobs jobs.files jobs.folder jobs.report "
    "jobs.stored jobs.workers markets model_files outcome packshot request schema steps storage training "
    "training.captioning training.comparing training.dataset training.publishing training.recipe training.trainer "
    "weights",
    "control": "errors inpainting",
    "corrections": "errors",
    "downloads": "'' errors model_files",
    "editing": "inpainting",
    "enhancing": "bounds control editing errors inpainting masks outcome preserve products provenance resampling",
    "errors": "",
    "finding": "corrections errors finding.langsam finding.lite products provenance",
    "finding.fast": "",
    "finding.langsam": "errors finding finding.fast finding.models provenance weights",
    "finding.langsam.weights": "model_files",
    "finding.lite": "errors finding finding.lite.networks finding.models products resampling weights",
    "finding.lite.conversion": "model_files",
    "finding.lite.networks": "errors finding finding.models resampling",
    "finding.models": "corrections errors finding products",
    "gates": "bounds errors preserve resampling",
    "hosts": "editing errors finding hosts.compatibility hosts.nested_pass inpainting pictures products storage",
    "hosts.compatibility": "editing hosts inpainting request",
    "hosts.generation": "'' enhancing errors finding hosts hosts.compatibility hosts.nested_pass infotext "
    "inpainting jobs outcome overlay pictures pipeline provenance request",
    "hosts.nested_pass": "editing errors hosts hosts.compatibility inpainting",
    "hosts.remote": "control editing errors hosts.generation inpainting outcome",
    "infotext": "errors outcome request",
    "inpainting": "errors",
    "interpreter": "",
    "jobs": "enhancing errors finding jobs.files markets outcome packshot pictures pipeline request schema storage",
    "jobs.files": "errors locks",
    "jobs.folder": "'' errors jobs jobs.files jobs.report jobs.workers outcome request steps storage",
    "jobs.report": "'' errors jobs.files outcome overlay",
    "jobs.stored": "jobs errors jobs.files jobs.folder jobs.report storage",
    "jobs.workers": "'' enhancing errors finding hosts.remote jobs jobs.files jobs.report outcome request storage",
    "locks": "",
    "markets": "bounds errors pictures provenance",
    "masks": "bounds components corrections errors finding",
    "model_files": "",
    "outcome": "''",
    "overlay": "outcome",
    "packshot": "bounds components errors outcome pictures resampling",
    "pictures": "bounds errors",
    "pipeline": "errors gates outcome packshot steps",
    "preserve": "bounds outcome pictures",
    "product_lists": "errors",
    "products": "errors product_lists",
    "provenance": "''",
    "removal": "bounds errors",
    "request": "errors products schema steps",
    "resampling": "",
    "schema": "",
    "steps": "bounds components corrections editing enhancing errors finding gates markets masks outcome packshot "
    "pictures preserve products provenance removal schema storage",
    "storage": "errors",
    "training": "bounds errors",
    "training.captioning": "errors jobs.files pictures training.dataset",
    "training.comparing": "errors jobs jobs.files jobs.report overlay pictures products request schema training "
    "training.dataset training.publishing training.recipe training.trainer",
    "training.dataset": "downloads errors gates jobs jobs.files pictures preserve products training training.recipe",
    "training.masks": "errors finding jobs.files masks products training training.dataset training.recipe",
    "training.publishing": "'' errors training training.recipe training.trainer",
    "training.recipe": "errors jobs.files products schema training",
    "training.trainer": "bootstrap downloads errors jobs.files locks training training.dataset training.masks "
    "training.recipe weights",
    "webui": "errors finding hosts hosts.compatibility hosts.generation infotext outcome pictures pipeline "
    "request webui.api webui.jobs webui.panel",
    "webui.api": "'' errors finding hosts jobs markets outcome overlay pictures request steps webui webui.jobs weights",
    "webui.folder": "enhancing errors finding hosts inpainting jobs jobs.folder jobs.report jobs.workers request webui "
    "webui.api webui.jobs webui.panel",
    "webui.jobs": "errors jobs.files webui",
    "webui.panel": "corrections downloads errors finding hosts hosts.compatibility hosts.generation infotext masks "
    "model_files outcome pictures products request resampling steps training.publishing webui weights",
    "webui.training": "errors hosts inpainting jobs schema training training.captioning training.comparing "
    "training.dataset training.publishing "
    "training.recipe training.trainer webui webui.api webui.jobs webui.panel",
    "weights": "downloads errors finding.langsam.weights finding.lite.conversion locks model_files provenance",
}
"""Each room (a package, or a module that stands alone) and the rooms that it may import; '' is the package itself.

The core imports no host and no web framework; a finder imports `weights`, which imports no finder but only each one's
list of files (`finding.langsam.weights`, `finding.lite.conversion.weights`)."""

FOREIGN = {
    "modules modules_forge backend ldm_patched lib_controlnet internal_controlnet": ("hosts",),
    "gradio fastapi starlette": ("hosts", "webui"),
}
"""Packages of the WebUI and the top rooms that may import them."""


def modules() -> dict[str, Path]:
    """Our modules by their dotted name without the package's: '' is the package itself."""
    found = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT / PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Every import that runs at some time, inside functions too."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from (found for branch in node.orelse for found in imports(ast.Module([branch], [])))
        else:
            yield from imports(node)


def imported(text: str) -> set[str]:
    """Dotted names that a file's text imports: of `from a import b` it is a.b, for b may be a module."""
    names: set[str] = set()
    for node in imports(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        else:
            assert node.module and not node.level, "relative imports are not used here"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def own_modules(names: set[str], known: Collection[str]) -> set[str]:
    """The modules of ours that dotted names mean: the longest part of each that is a module."""
    ours = (f"{name}."[len(PACKAGE) + 1 :] for name in names if f"{name}.".startswith(f"{PACKAGE}."))
    return {
        max((module for module in known if name.startswith(f"{module}." if module else "")), key=len) for name in ours
    }


@cache
def graph() -> dict[str, set[str]]:
    known = modules()
    return {
        name: own_modules(imported(path.read_text(encoding="utf-8")), known) - {name} for name, path in known.items()
    }


def cycles(arrows: Graph) -> list[list[str]]:
    """Groups of names that import each other, directly or by a detour (Tarjan 1972)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    open_names: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        order[name] = low[name] = len(order)
        open_names.append(name)
        for other in arrows.get(name, ()):
            if other not in order:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in open_names:
                low[name] = min(low[name], order[other])
        if low[name] == order[name]:
            place = open_names.index(name)
            group, open_names[place:] = open_names[place:], []
            if len(group) > 1:
                found.append(sorted(group))

    for name in arrows:
        if name not in order:
            visit(name)
    return found


def room_of(module: str) -> str:
    """The innermost room that holds a module."""
    rooms = [room for room in ROOMS if module == room or (room and module.startswith(f"{room}."))]
    assert rooms, f"{PACKAGE}.{module} stands in no room; list it in ROOMS with what it may import"
    return max(rooms, key=len)


def allowed(room: str) -> set[str]:
    return {"" if name == "''" else name for name in ROOMS[room].split()}


def test_no_module_imports_itself_by_a_detour() -> None:
    assert cycles(graph()) == []


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_it_may(room: str) -> None:
    seen: dict[str, list[str]] = {}
    for module, others in graph().items():
        for other in others if room_of(module) == room else ():
            if room_of(other) != room:
                seen.setdefault(room_of(other), []).append(f"{module} imports {other}")
    assert {name: lines for name, lines in seen.items() if name not in allowed(room)} == {}
    assert allowed(room) <= set(seen), "an arrow that nothing uses any more; take it out of ROOMS"


def test_every_room_is_there() -> None:
    """A room that was renamed is renamed here too."""
    assert set(ROOMS) <= set(modules())
    assert {name for room in ROOMS for name in allowed(room)} <= set(ROOMS)


@pytest.mark.parametrize("names", FOREIGN)
def test_only_the_rooms_beside_the_webui_know_its_packages(names: str) -> None:
    foreign = set(names.split())
    for module, path in modules().items():
        if module.split(".")[0] not in FOREIGN[names]:
            top = {name.split(".")[0] for name in imported(path.read_text(encoding="utf-8"))}
            assert not top & foreign, module


def test_a_cycle_through_a_function_is_seen() -> None:
    """What the tests above would not notice, they could not forbid."""
    guard = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:"
    texts = {
        "a": f"from {PACKAGE} import b",
        "b": f"def late():\n    from {PACKAGE}.c import name",
        "c": f"{guard}\n    import {PACKAGE}.b\nelse:\n    import {PACKAGE}.a",
    }
    arrows = {name: own_modules(imported(text), texts) for name, text in texts.items()}
    assert arrows == {"a": {"b"}, "b": {"c"}, "c": {"a"}}
    assert cycles(arrows) == [["a", "b", "c"]]
    assert cycles({**arrows, "c": set()}) == []
