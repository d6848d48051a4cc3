"""From a user's words to what the lite finder knows, and a plain error for what it does not.

A phrase is known when it is a concept's name, whatever its case, plural, hyphens or spaces ("Hand bags",
"wrist-watch"), also behind words that change nothing ("a pair of red leather shoes"). Nothing else matches: "toy car"
and "scarf" are not "car".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache

from lib_prodshot.errors import UnknownProduct
from lib_prodshot.finding.lite.label_map import CONCEPTS, Concept
from lib_prodshot.products import ProductClass

FINDER = "lite"
_ADVICE = (
    "name another product, or use the langsam finder, which takes any words (prodshot weights fetch langsam; "
    "--finder langsam)"
)

_OPENINGS = re.compile(r"^(?:(?:a|an|the|some|my|your|our|one|two|three|single)\s+|(?:pairs?|sets?|piece) of\s+)+")
_MODIFIERS = frozenset(
    """black white grey gray red green blue yellow orange purple violet pink brown beige cream tan navy turquoise teal
    gold golden silver bronze copper rose ivory khaki burgundy maroon olive dark light bright pale colourful colorful
    leather suede canvas cotton denim wool silk fabric wooden wood metal metallic steel stainless aluminium aluminum
    glass plastic ceramic porcelain stone marble rubber crystal
    mens men womens women ladies lady gents unisex kids kid childrens child boys girls baby
    new old vintage antique retro classic modern stylish elegant luxury designer branded cheap expensive fancy casual
    formal small big large tiny mini huge tall short long round square shiny matte plain patterned striped""".split()
)


def concepts_of(product: ProductClass) -> tuple[tuple[Concept, ...], tuple[str, ...]]:
    """What to look for, and a note for every phrase that was left out because it is not known.

    Raises `UnknownProduct` when none of the product's phrases is known.
    """
    known = {phrase: concept_of(phrase) for phrase in product.phrases}
    found = dict.fromkeys(concept for concept in known.values() if concept is not None)
    unknown = [phrase for phrase, concept in known.items() if concept is None]
    if not found:
        raise UnknownProduct(product.name, FINDER, nearest(unknown[0]), _ADVICE)
    notes = (f"the {FINDER} finder does not know {phrase!r} and looked for {product.name!r} by its other names"
             for phrase in unknown)  # fmt: skip
    return tuple(found), tuple(notes)


def concept_of(phrase: str) -> Concept | None:
    """The concept that a phrase names, or None."""
    words = _OPENINGS.sub("", " ".join(re.sub(r"['’]", "", phrase.lower()).replace("-", " ").split())).split()
    while words:
        for form in _singulars("".join(words)):
            if form in _index():
                return _index()[form]
        if words[0] not in _MODIFIERS:
            return None
        words = words[1:]
    return None


def nearest(phrase: str) -> tuple[str, ...]:
    """Up to three known names that resemble a phrase, or that it ends in."""
    names = [name for concept in CONCEPTS for name in concept.names]
    close = get_close_matches(phrase.lower(), names, n=3, cutoff=0.6)
    head = concept_of(phrase.split()[-1]) if phrase.split() else None
    return tuple(dict.fromkeys([*([head.name] if head else []), *close]))[:3]


def known_names() -> tuple[str, ...]:
    """All concepts by their names, for lists and help."""
    return tuple(concept.name for concept in CONCEPTS)


@cache
def _index() -> dict[str, Concept]:
    return {name.replace(" ", ""): concept for concept in CONCEPTS for name in concept.names}


def _singulars(word: str) -> Iterator[str]:
    """The word itself, then what it may be the plural of."""
    yield word
    for ending, singular in (("ies", "y"), ("ves", "fe"), ("ves", "f"), ("es", ""), ("s", "")):
        if word.endswith(ending) and len(word) > len(ending) + 1:
            yield word.removesuffix(ending) + singular
