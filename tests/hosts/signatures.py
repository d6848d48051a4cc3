"""Signatures as text, read out of source or out of the record, and whether a call fits one."""

from __future__ import annotations

import ast
from dataclasses import dataclass

HOSTS = ("a1111", "forge", "reforge", "classic", "neo")

Signature = list[str]
"""Parameters as the record writes them: 'name', 'name=default', '*', '*args', '**kwargs'."""


@dataclass(frozen=True)
class Call:
    """A call we make: where it goes, how many positional arguments (without self), which keywords, on which hosts."""

    file: str
    name: str
    positional: int = 0
    keywords: tuple[str, ...] = ()
    hosts: tuple[str, ...] = HOSTS


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


def names_in(source: str) -> set[str]:
    """Every name that a module has: what it defines, assigns (also under an `if`, or by `global`) and imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
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
