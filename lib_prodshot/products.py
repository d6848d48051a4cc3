"""The small languages of the text settings: product lists, and thresholds and prompts for single products."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from lib_prodshot.errors import FieldProblem, RequestError
from lib_prodshot.product_lists import COLON, problem, split_entries, split_or, split_products, without_marks

MAX_CLASSES = 64
MAX_NAME_LENGTH = 80


@dataclass(frozen=True)
class ProductClass:
    """One product: the name the user wrote (the label everywhere), its phrases (name first), its box threshold."""

    name: str
    phrases: tuple[str, ...]
    threshold: float = 0.3

    def as_text(self) -> str:
        """The product as a list of products writes it; reading it gives this class again, but for its threshold."""
        synonyms = " | ".join(self.phrases[1:])
        return f"{self.name}: {synonyms}" if synonyms else self.name


def parse_products(text: str) -> tuple[ProductClass, ...]:
    """Read 'handbag, shoe: sneaker | trainer, watch or watch dial' into classes with synonyms.

    `split_products` says what separates products; `name: synonym | synonym` adds phrases, and so does ' or '.
    The label is the first name as written. Phrases are lower-cased, without '.' and '?', which detectors read as
    the end of a phrase. A product named twice counts once.

    Raises `RequestError` (field products): empty list, what may be several products or one, a product without a
    letter or digit, a name over 80 characters, more than 64 products, one phrase claimed by two products.

    >>> [product.phrases for product in parse_products("Handbag, shoe: sneaker | trainer")]
    [('handbag',), ('shoe', 'sneaker', 'trainer')]
    """
    return _parse_list(text)


@lru_cache(maxsize=64)
def _parse_list(text: str) -> tuple[ProductClass, ...]:
    # cached, for a request's checks and each of its pictures' steps ask for the same list again
    classes: dict[str, ProductClass] = {}
    for part in split_products(text):
        parsed = _parse_product(part)
        key = parsed.phrases[0]
        if key in classes:
            merged = dict.fromkeys(classes[key].phrases + parsed.phrases)
            parsed = ProductClass(classes[key].name, tuple(merged))
        classes[key] = parsed
    if not classes:
        raise problem("no product is named; write for example 'handbag, shoe'")
    if len(classes) > MAX_CLASSES:
        raise problem(f"{len(classes)} products, at most {MAX_CLASSES} are possible")
    _refuse_shared_phrases(classes.values())
    return tuple(classes.values())


def _parse_product(part: str) -> ProductClass:
    name, *synonyms = COLON.split(part, maxsplit=1)
    own = _written(split_or(name))
    names = [*own, *_written(phrase for text in synonyms for phrase in split_or(text))]
    phrases = [phrase for phrase in (clean_phrase(text) for text in names) if phrase]
    if not own or len(phrases) < len(names) or not phrases:
        raise problem(f"{part!r} has a name without a letter or digit")
    too_long = next((text for text in names if len(text) > MAX_NAME_LENGTH), None)
    if too_long is not None:
        raise problem(f"{too_long[:20]!r}… is longer than {MAX_NAME_LENGTH} characters")
    return ProductClass(names[0], tuple(dict.fromkeys(phrases)))


def _written(texts: Iterable[str]) -> list[str]:
    """Names as they are shown: single spaces, without quotation marks, without those that are empty."""
    spaced = (without_marks(" ".join(text.split())) for text in texts)
    return [text for text in spaced if text]


def _printable(text: str) -> str:
    """Control characters have no place in a caption, a report or an infotext."""
    normal = unicodedata.normalize("NFC", text)
    return "".join(" " if unicodedata.category(letter)[0] in "CZ" else letter for letter in normal)


def clean_phrase(text: str) -> str:
    """A phrase as detectors read it: lower case, single spaces, no '.' or '?'; empty if no letter or digit is left."""
    words = " ".join(re.sub(r"[.?]", " ", _printable(text).lower()).split())
    return words if any(letter.isalnum() for letter in words) else ""


def _refuse_shared_phrases(classes: Iterable[ProductClass]) -> None:
    owner: dict[str, str] = {}
    for product in classes:
        for phrase in product.phrases:
            if owner.setdefault(phrase, product.name) != product.name:
                raise problem(f"{phrase!r} is claimed by both {owner[phrase]!r} and {product.name!r}")


def parse_thresholds(text: str) -> dict[str, float]:
    """Read 'watch: 0.4, shoe: 0.25'; the keys are phrases. Raises `RequestError` (field class_thresholds)."""
    thresholds: dict[str, float] = {}
    for part in split_entries(text):
        name, _, number = part.rpartition(":")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        key = _key(name)
        if not key or not 0.0 <= value <= 1.0:
            message = f"{part!r} is not 'product: number from 0 to 1'"
            raise RequestError([FieldProblem("class_thresholds", message, "such as 'watch: 0.4, shoe: 0.25'")])
        thresholds[key] = value
    return thresholds


def parse_prompts(text: str, field: str = "class_prompts") -> dict[str, str]:
    """Read one 'product: prompt' on each line; the keys are phrases. A prompt may hold commas and colons.

    Raises `RequestError` (for `field`): a line without a product or a prompt, a product named twice.
    """
    prompts: dict[str, str] = {}
    for line in text.splitlines():
        if not line.strip():
            continue
        name, prompt = _split_prompt(line)
        key = _key(name)
        if not key or not prompt.strip():
            raise _prompts_problem(field, f"{line.strip()!r} is not 'product: prompt'")
        if key in prompts:
            raise _prompts_problem(field, f"{name.strip()!r} has two prompts")
        prompts[key] = prompt.strip()
    return prompts


def _key(name: str) -> str:
    """The first phrase of the product that a text setting names."""
    return clean_phrase(without_marks(split_or(name)[0]))


def _split_prompt(line: str) -> tuple[str, str]:
    """A line's product and prompt; the prompt keeps its own signs."""
    colon = COLON.search("".join(":" if letter == "：" else letter for letter in line))
    return (line[: colon.start()], line[colon.end() :]) if colon else (line, "")


def _prompts_problem(field: str, message: str) -> RequestError:
    return RequestError([FieldProblem(field, message, "one 'handbag: [class] on marble' on each line")])


def match_names(classes: Sequence[ProductClass], names: Iterable[str], field: str) -> None:
    """Refuse names in the text setting `field` that are not the (first) name of a product. Raises `RequestError`."""
    known = {product.phrases[0] for product in classes}
    unknown = [name for name in names if name not in known]
    if unknown:
        allowed = ", ".join(product.name for product in classes)
        raise RequestError([FieldProblem(field, f"{unknown[0]!r} is not among the products", allowed)])


def with_thresholds(classes: Sequence[ProductClass], text: str, default: float) -> tuple[ProductClass, ...]:
    """The classes with their own box thresholds, or the `default`. Raises `RequestError`."""
    thresholds = parse_thresholds(text)
    match_names(classes, thresholds, "class_thresholds")
    return tuple(
        ProductClass(product.name, product.phrases, thresholds.get(product.phrases[0], default)) for product in classes
    )
