"""What our code touches of the WebUI's modules, read out of our own source: no list that could be forgotten."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from lib_prodshot.bootstrap import ROOT

ROOMS = ("lib_prodshot/hosts", "lib_prodshot/webui", "scripts")
THEIRS = ("modules", "backend", "ldm_patched", "lib_controlnet", "internal_controlnet")
HANDED_ON = {"parts.shared()": "modules.shared", "parts.loaded_scripts()": "modules.scripts"}
"""Our functions that hand one of the WebUI's modules to another file."""

Touch = tuple[str, str]
"""A module of the WebUI and a name in it."""


def touched() -> set[Touch]:
    """Every name that we take from a module of the WebUI, on whichever host."""
    found: set[Touch] = set()
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            found |= touched_in(path)
    return found


def touched_in(path: Path) -> set[Touch]:
    """The names that one of our files takes."""
    source = path.read_text(encoding="utf-8")
    if not any(word in source for word in (*THEIRS, *HANDED_ON)):
        return set()  # most of them: what follows looks at each part of a file several times
    tree = ast.parse(source)
    everywhere = dict(HANDED_ON) | {name: module for name, module in _aliases(tree) if not name.isidentifier()}
    found: set[Touch] = set()
    for scope in _scopes(tree):
        aliases = everywhere | dict(_aliases(scope))
        found |= {touch for node in ast.walk(scope) if (touch := _touch(node, aliases))}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and _is_theirs(node.module) and node.module != "modules":
            found |= {(node.module, alias.name) for alias in node.names}
    return found


def _scopes(tree: ast.Module) -> Iterator[ast.AST]:
    """Functions and methods, each for its own variables; a file's own imports go for the whole file."""
    if any(isinstance(node, ast.ImportFrom) and node.module == "modules" for node in tree.body):
        yield tree
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            yield node


def _is_theirs(module: str) -> bool:
    return module.split(".")[0] in THEIRS


def _aliases(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Expressions of a file that stand for one of their modules, as written: a variable, an attribute, a call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target, value = node.targets[0], node.value
            several = isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)
            for name, given in zip(target.elts, value.elts) if several else [(target, value)]:  # type: ignore[attr-defined]
                if module := _module(given):
                    yield ast.unparse(name), module
        if isinstance(node, ast.FunctionDef) and node.body and isinstance(node.body[-1], ast.Return):
            returned = node.body[-1].value
            if returned is not None and (module := _module(returned)):
                yield f"{node.name}()", module
        if isinstance(node, ast.ImportFrom) and node.module == "modules":
            yield from ((alias.asname or alias.name, f"modules.{alias.name}") for alias in node.names)


def _module(node: ast.expr) -> str:
    """The module that `import_module("…")` gives; empty for anything else."""
    if not (isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module") and node.args):
        return ""
    name = node.args[0]
    if not (isinstance(name, ast.Constant) and isinstance(name.value, str) and _is_theirs(name.value)):
        return ""
    return name.value


def _touch(node: ast.AST, aliases: dict[str, str]) -> Touch | None:
    """`<module>.name`, and `getattr(<module>, "name", …)`."""
    if isinstance(node, ast.Attribute):
        owner, name = node.value, node.attr
    elif isinstance(node, ast.Call) and ast.unparse(node.func) == "getattr" and isinstance(node.args[1], ast.Constant):
        owner, name = node.args[0], str(node.args[1].value)
    else:
        return None
    module = _module(owner) or aliases.get(ast.unparse(owner), "")
    return (module, name) if module else None
