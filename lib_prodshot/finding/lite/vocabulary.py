"""Closed vocabulary: maps a user's phrases to categories, and reports those that it does not contain.

A phrase is known when it is a category's name, whatever its case, plural, hyphens or spaces ("Hand bags",
"wrist-watch"), also behind words that change nothing ("a pair of red leather shoes"). Nothing else matches: "toy car"
and "scarf" are not "car".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from functools import cache

from lib_prodshot.errors import UnknownProducts, as_typed, disregarded
from lib_prodshot.finding.lite.label_map import CATEGORIES, Category
from lib_prodshot.products import ProductClass

FINDER = "lite"
_ADVICE = (
    "name other products, set 'unknown' to 'leave out', or use the langsam finder, which takes any words "
    f"({as_typed('weights fetch langsam')}; --finder langsam)"
)

_DETERMINERS = re.compile(r"^(?:(?:a|an|the|some|my|your|our|one|two|three|single)\s+|(?:pairs?|sets?|piece) of\s+)+")
_MODIFIERS = frozenset(
    """black white grey gray red green blue yellow orange purple violet pink brown beige cream tan navy turquoise teal
    gold golden silver bronze copper rose ivory khaki burgundy maroon olive dark light bright pale colourful colorful
    leather suede canvas cotton denim wool silk fabric wooden wood metal metallic steel stainless aluminium aluminum
    glass plastic ceramic porcelain stone marble rubber crystal
    mens men womens women ladies lady gents unisex kids kid childrens child boys girls baby
    new old vintage antique retro classic modern stylish elegant luxury designer branded cheap expensive fancy casual
    formal small big large tiny mini huge tall short long round square shiny matte plain patterned striped""".split()
)


Known = tuple[tuple[Category, ...], tuple[str, ...]]
"""The categories of a product, and notes: phrases of it that are in none, and words that were not looked at."""


def categories_of_all(products: Sequence[ProductClass]) -> list[Known]:
    """The categories of each product. Raises `UnknownProducts`, naming every product of which no phrase is known."""
    known = [categories_of(product) for product in products]
    unknown = {
        product.name: nearest(product.phrases[0])
        for product, (found, _) in zip(products, known, strict=True)
        if not found
    }
    if unknown:
        raise UnknownProducts(unknown, FINDER, _ADVICE)
    return known


def categories_of(product: ProductClass) -> Known:
    """The categories of one product; none where none of its phrases is known. What a phrase says besides ("blue") is
    told in a note: nothing here looks at it."""
    known = {phrase: _matched(phrase) for phrase in product.phrases}
    found = dict.fromkeys(category for category, _ in known.values() if category is not None)
    unknown = [phrase for phrase, (category, _) in known.items() if category is None]
    notes = [f"the {FINDER} finder does not know {phrase!r} and looked for {product.name!r} by its other names"
             for phrase in unknown]  # fmt: skip
    for category, ignored in known.values():
        if category is not None and ignored:
            notes.append(disregarded(FINDER, ignored, category.name))
    return tuple(found), tuple(dict.fromkeys(notes))


def category_of(phrase: str) -> Category | None:
    """The category that a phrase names, or None."""
    return _matched(phrase)[0]


def _matched(phrase: str) -> tuple[Category | None, tuple[str, ...]]:
    """The category that a phrase names (None: none), and the words before its name that change nothing."""
    words = _DETERMINERS.sub("", " ".join(re.sub(r"['’]", "", phrase.lower()).replace("-", " ").split())).split()
    for start, word in enumerate(words):
        for form in _singulars("".join(words[start:])):
            if form in _index():
                return _index()[form], tuple(words[:start])
        if word not in _MODIFIERS:
            break
    return None, ()


def nearest(phrase: str) -> tuple[str, ...]:
    """Up to three known names that resemble a phrase, or that it ends in."""
    names = [name for category in CATEGORIES for name in category.names]
    close = get_close_matches(phrase.lower(), names, n=3, cutoff=0.6)
    head = category_of(phrase.split()[-1]) if phrase.split() else None
    return tuple(dict.fromkeys([*([head.name] if head else []), *close]))[:3]


@cache
def _index() -> dict[str, Category]:
    return {name.replace(" ", ""): category for category in CATEGORIES for name in category.names}


def _singulars(word: str) -> Iterator[str]:
    """The word itself, then what it may be the plural of."""
    yield word
    for ending, singular in (("ies", "y"), ("ves", "fe"), ("ves", "f"), ("es", ""), ("s", "")):
        if word.endswith(ending) and len(word) > len(ending) + 1:
            yield word.removesuffix(ending) + singular
