"""Prompt templates and LoRA tags."""

from __future__ import annotations

import doctest

import pytest

from lib_prodshot.enhancing import prompts


def test_the_examples_in_the_docstrings() -> None:
    assert doctest.testmod(prompts).failed == 0


@pytest.mark.parametrize(
    ("prompt", "gone", "left"),
    [
        ("a, <lora:x:1>, b", ("x",), "a, b"),
        ("a, <lora:x:1>", ("x",), "a"),
        ("<lora:x:1>, a", ("x",), "a"),
        ("<lora:x:1>", ("x",), ""),
        ("a <lora:x:0.5:lbw=IN> b, <lyco:y:1>", ("x",), "a  b, <lyco:y:1>"),
        ("a, <lora:x-2:1>, <lora:x:1>", ("x",), "a, <lora:x-2:1>"),
        ("a, , b", (), "a, , b"),
    ],
)
def test_leaving_out_loras(prompt: str, gone: tuple[str, ...], left: str) -> None:
    text, notes = prompts.leave_out_missing(prompt, lambda names: set(names) & set(gone))
    assert text == left
    assert bool(notes) == bool(gone)


@pytest.mark.parametrize(
    ("template", "own", "names", "filled"),
    [
        ("[prompt], [class], product photography", "", ["shoe"], "shoe, product photography"),
        ("[prompt], [class], product photography", "on oak, ", ["shoe"], "on oak, shoe, product photography"),
        ("[prompt], [class], product photography", "on oak", [], "on oak, product photography"),
        ("[class], [prompt]", "", ["shoe"], "shoe"),
        ("[class] on oak, [prompt], a, , b", " ,", ["shoe"], "shoe on oak, a, , b"),
        ("a [prompt] photo", "", [], "a photo"),
        ("[prompt]", "", ["shoe"], ""),
        ("", "on oak,", ["shoe"], "on oak,"),
        ("[prompt], [class]", "a [class] on oak", ["shoe"], "a shoe on oak, shoe"),
        ("[prompt]\nBREAK [class]", "", ["shoe"], "BREAK shoe"),
        ("[prompt], red", "\\1 (studio:1.2)", [], "\\1 (studio:1.2), red"),
    ],
)
def test_what_is_empty_falls_away(template: str, own: str, names: list[str], filled: str) -> None:
    assert prompts.fill_template(template, names, own) == filled


def test_names_are_asked_for_once() -> None:
    assert prompts.lora_names("<lora:a:1> <lora: b :1> <LoRA:a:0.5> <hypernet:c:1>") == ("a", "b")
