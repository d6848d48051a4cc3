"""The examples in docstrings give what they show."""

from __future__ import annotations

import doctest
from importlib import import_module

import pytest

from lib_prodshot.bootstrap import ROOT

WITH_EXAMPLES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "lib_prodshot").rglob("*.py")
    if ">>>" in path.read_text(encoding="utf-8")
)


def test_the_core_has_examples() -> None:
    core = {"masks", "preserve", "products", "pipeline", "request", "pictures.reading"}
    assert {f"lib_prodshot.{name}" for name in core} <= set(WITH_EXAMPLES)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples(name: str) -> None:
    done = doctest.testmod(import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert done.attempted > 0 and done.failed == 0
