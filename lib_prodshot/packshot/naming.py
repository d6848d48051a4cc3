"""File names of packshots, from a pattern."""

from __future__ import annotations

import re
import string

FIELDS = ("stem", "product", "marketplace", "n")

_FORBIDDEN = re.compile(r'[\\/:*?"<>|\x00-\x1f]')


def name_problem(pattern: str, targets: int, is_each: bool = False) -> str:
    """What is wrong with a pattern for so many marketplaces, and for a frame for each product (`is_each`); '' where
    nothing is.

    >>> name_problem("{stem}-{market}", 1)
    '{market} is not known'
    """
    if not pattern:
        return ""
    try:
        fields = [name for _, name, _, _ in string.Formatter().parse(pattern) if name is not None]
        pattern.format(**dict.fromkeys(FIELDS, "1"))
    except (ValueError, IndexError):
        return f"{pattern!r} is no pattern: a brace is left open, or empty"
    except (KeyError, AttributeError):
        unknown = next(name for name in fields if name not in FIELDS)
        return f"{{{unknown}}} is not known"
    if _FORBIDDEN.search(re.sub(r"\{[^}]*\}", "", pattern)):
        return f"{pattern!r} has letters that no file name may have"
    if "stem" not in fields:
        return f"{pattern!r} gives all pictures one name: it needs {{stem}}"
    if is_each and "n" not in fields:
        return f"{pattern!r} gives all products of a picture one name: it needs {{n}}"
    if is_each and targets > 1 and "marketplace" not in fields:
        return f"{pattern!r} gives all marketplaces one name: it needs {{marketplace}}"
    if targets > 1 and not {"marketplace", "n"} & set(fields):
        return f"{pattern!r} gives all marketplaces one name: it needs {{marketplace}} or {{n}}"
    return ""


def file_stem(pattern: str, stem: str, product: str, marketplace: str, number: int, is_each: bool = False) -> str:
    """The name of a packshot's file without its suffix. `number` counts the packshots of a picture, or (`is_each`) its
    products.

    >>> file_stem("", "bag", "handbag", "amazon", 1), file_stem("{product} {n} {stem}", "a", "shoe/boot", "", 2)
    ('bag-amazon', 'shoe_boot 2 a')
    >>> file_stem("", "bag", "handbag", "amazon", 2, is_each=True)
    'bag-2-amazon'
    """
    default = "-".join(["{stem}", *["{n}"] * is_each, *["{marketplace}"] * bool(marketplace)])
    named = pattern or default
    values = {"product": product, "marketplace": marketplace, "n": str(number)}
    safe = {name: _FORBIDDEN.sub("_", value).strip(". ") for name, value in values.items()}
    return named.format(stem=stem, **safe).strip()
