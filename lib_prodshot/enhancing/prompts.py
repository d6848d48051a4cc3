"""The prompt of an inpaint pass: the template filled in, and LoRA tags that no installed file answers to taken out."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence

CLASS = "[class]"
"""Stands for the product in a prompt template, and in txt2img's own prompt."""

PROMPT = "[prompt]"
"""Stands for the picture's own prompt in a template."""

_ENDS = re.compile(r"^[\s,]+|[\s,]+$")

_LONELY = r"([\s,]*){}([\s,]*)"
"""A placeholder with the blanks and commas around it."""

_LORA = re.compile(r"<(?:lora|lyco):([^:>]+)(?::[^>]*)?>", re.IGNORECASE)


def fill_template(template: str, names: Sequence[str], own_prompt: str) -> str:
    """The template with the products' names and the picture's own prompt put in; an empty template is the latter.

    What stands for nothing falls away with its comma; the rest stays as it was written.

    >>> fill_template("[prompt], [class], studio photography", ["handbag", "shoe"], "on oak,")
    'on oak, handbag, shoe, studio photography'
    >>> fill_template("[prompt], [class], studio photography", ["handbag"], "")
    'handbag, studio photography'
    """
    text = _put_in(template if template.strip() else PROMPT, PROMPT, own_prompt)
    return _put_in(text, CLASS, ", ".join(dict.fromkeys(names)))


def _put_in(template: str, placeholder: str, value: str) -> str:
    if template.strip() == placeholder:
        return value
    inner = _ENDS.sub("", value)
    if inner:
        return template.replace(placeholder, inner)
    return re.sub(_LONELY.format(re.escape(placeholder)), _what_stays, template)


def _what_stays(match: re.Match[str]) -> str:
    """Of the separators around an empty part: both sides' one, or nothing at an end of the prompt."""
    before, after = match.group(1), match.group(2)
    is_inside = match.start() > 0 and match.end() < len(match.string)
    return (before or after) if is_inside else ""


def lora_names(prompt: str) -> tuple[str, ...]:
    """The names of a prompt's LoRA tags, each once, as the tags write them."""
    return tuple(dict.fromkeys(match.group(1).strip() for match in _LORA.finditer(prompt)))


def without_loras(prompt: str, names: Collection[str]) -> str:
    """The prompt without the tags of these LoRAs, and without the lonely commas that they leave behind."""
    if not names:
        return prompt
    text = _LORA.sub(lambda match: "" if match.group(1).strip() in names else match.group(0), prompt)
    return re.sub(r"\s*,(\s*,)+", ",", text).strip().strip(",").strip()


def leave_out_missing(
    prompt: str, missing: Callable[[Collection[str]], Collection[str]]
) -> tuple[str, tuple[str, ...]]:
    """The prompt without LoRA tags that `missing` says are not installed, and one note for the user on them."""
    names = lora_names(prompt)
    gone = sorted(missing(names)) if names else []
    if not gone:
        return prompt, ()
    listed = ", ".join(gone)
    return without_loras(prompt, gone), (f"LoRA not installed, left out of the prompt: {listed}",)
