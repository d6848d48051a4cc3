"""Where one product of a list ends and the next begins, whoever wrote the list.

Lists come from spreadsheets, chats, prompts for GroundingDINO ('cup . handbag .') and every script's keyboard. What
can only be a separator separates; what may also belong to a name is refused with both ways to write it, so that two
products never become one.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

from lib_prodshot.errors import FieldProblem, RequestError

EXAMPLE = "handbag, shoe: sneaker | trainer"

COLON = re.compile(r":(?!(?<=\d:)\d)")
"""The colon before synonyms, thresholds and prompts; not that of '16:9 monitor'."""

_ABBREVIATION = re.compile(
    r"nos?|nr|num|vol|ver|mod|ser|st|ste|dr|mrs?|ms|mme|mlle|jr|sr|prof|gen|capt|sgt|lt|col|rev|mt|bros|co|inc|ltd|corp|"
    r"approx|incl|excl|ft|oz|lbs?|qt|pcs?|pkg|dia|diam|intl|orig|vs|etc|www",
    re.IGNORECASE,
)
"""Words whose full stop does not end them: 'no. 5 perfume', 'dr. martens boot'."""

_DOMAIN = re.compile(
    r"com|net|org|info|io|co|uk|eu|de|fr|it|es|nl|ch|at|jp|cn|in|us|ca|au|app|shop|store", re.IGNORECASE
)
"""What may follow a full stop without a space and still be one name: 'booking.com cap'."""

_LINE_ENDS = frozenset("\0\n\v\f\r\x1c\x1d\x1e\x85\u2028\u2029")
_BULLETS = frozenset("∙▪▫●○■□◆◇►▶")
_SEPARATOR_NAMES = ("COMMA", "SEMICOLON", "FULL STOP", "DANDA", "ELLIPSIS")

_ITEM_MARK = re.compile(r"^(?:\[[ xX]?\]|[-*+–—·・](?!\d))\s*")
_WRITTEN_LIST = re.compile(r"""\[\s*(?:["'][^\[\]]*|[^\[\]]*,[^\[\]]*)\]""")
_OR = re.compile(r"\s+or\s+|\|", re.IGNORECASE)
_NUMBERED = re.compile(
    r"(?:^|(?<=[\s,;，；])|(?=（))[(（]?(?:(?P<number>\d{1,2})(?:[.．、)）\]]|:(?!\d))|(?P<letter>[a-z])[)）]|(?P<numeral>[一二三四五六七八九十])、)"
    r"(?:\s+(?=\S)|(?=[^\s\d,;，；]))"
)
_NUMERALS = "一二三四五六七八九十"
_CONJUNCTION = re.compile(r"^(?:(?:and|or|&)(?:\s+|$|(?=:)))+", re.IGNORECASE)
_DOUBTFUL = re.compile(
    r"\s+[-/\\+–—―·・~*=>→]+\s+"  # signs that stand alone
    r"|(?<=[^\W\d_]{3})[/\\](?=[^\W\d_]{3})"  # 'cup/handbag', but not 'AC/DC shirt'
    r"|(?<=[\"”»」])\s+(?=[\"“«「])"  # one quotation after another
)
_IN_BRACKETS = re.compile(r"\[([^\[\]]+)\]|<([^<>]+)>|\{([^{}]+)\}|【([^【】]+)】")
"""A name in brackets, of which a list can be made up: '[cup] [handbag]'; round ones also follow a name."""

_TABS_AT_SIGNS = re.compile(r"[ \t]*\t[ \t]*(?=[:|])|(?<=[:|])[ \t]*\t[ \t]*")
_STOPS = re.compile(r"[.?]+")
_QUOTES = ('""', "''", "“”", "„“", "‘’", "«»", "「」", "``")
_BRACKETS = {"(": ")", "[": "]", "{": "}", "（": "）", "【": "】"}


def problem(message: str) -> RequestError:
    """The error of a list of products."""
    return RequestError([FieldProblem("products", message, f"such as {EXAMPLE!r}")])


def plain_signs(text: str) -> str:
    """The text in NFC with every script's separators as ',' ':' '|', tabs and line ends, other control characters and
    spaces as ' '.

    Separators are known by their names in the Unicode Character Database (every COMMA, SEMICOLON, FULL STOP, DANDA
    of the category Po) and by their compatibility forms (full-width and small ones).
    """
    return "".join(map(_plain_sign, unicodedata.normalize("NFC", text)))


@cache
def _plain_sign(letter: str) -> str:
    if letter in _LINE_ENDS:
        return "\n"
    if letter == "\t":
        return letter
    if letter == ";" or letter in _BULLETS:
        return ","
    category = unicodedata.category(letter)
    if category[0] in "CZ":
        return " "
    if letter.isascii() or (letter.isalnum() and category != "No"):
        return letter
    compatible = unicodedata.normalize("NFKC", letter)
    if compatible in (",", ";"):
        return ","
    if compatible in (":", "|", ".", "?"):
        return compatible
    return "," if _separates(letter, category) else letter


def _separates(letter: str, category: str) -> bool:
    name = unicodedata.name(letter, "")
    if category == "No":
        return "CIRCLED" in name or name.startswith("PARENTHESIZED") or name.endswith("FULL STOP")
    return "BULLET" in name or (category == "Po" and any(word in name for word in _SEPARATOR_NAMES))


def split_entries(text: str) -> list[str]:
    """The entries of a list between commas, semicolons, tabs (cells of a spreadsheet) and line ends of any script; none
    is empty."""
    plain = _TABS_AT_SIGNS.sub(" ", plain_signs(text))
    entries = (" ".join(entry.split()) for entry in re.split(r"[,\t\n]", plain))
    return [entry for entry in entries if entry]


def split_products(text: str) -> list[str]:
    """The products of a list as they are written, each 'name' or 'name: synonym | synonym'.

    Raises `RequestError` (field products) for what may be several products or one.
    """
    text = _without_list_brackets(_without_numbers(text.replace("\\n", "\n")))
    products: list[str] = []
    for entry in split_entries(text):
        for product in _split_stops(without_marks(entry)):
            told = without_marks(product, _CONJUNCTION if products else None)
            if told:
                _refuse_doubtful(told)
                products.append(told)
    return products


def _without_list_brackets(text: str) -> str:
    """Without the brackets of a list in JSON or Python."""
    text = text.strip()
    return text[1:-1] if _WRITTEN_LIST.fullmatch(text) else text


def _without_numbers(text: str) -> str:
    """A numbered list without its numbers. Numbered means from its first word on and counting up by one, for
    '1. FC Köln scarf' is a product."""
    marks = list(_NUMBERED.finditer(text.strip()))
    places = [_place_of(mark) for mark in marks]
    if len(marks) < 2 or marks[0].start() or places != list(range(places[0], places[0] + len(places))):
        return text
    return _NUMBERED.sub("\n", text.strip())


def _place_of(mark: re.Match[str]) -> int:
    if mark["numeral"]:
        return _NUMERALS.index(mark["numeral"])
    return int(mark["number"] or ord(mark["letter"]))


def without_marks(text: str, before: re.Pattern[str] | None = None) -> str:
    """Without bullets, check boxes, what `before` matches, and quotation marks or pipes around the whole."""
    while True:
        bare = _ITEM_MARK.sub("", text.strip()).strip("| ")
        bare = before.sub("", bare) if before else bare
        if len(bare) > 1 and bare[0] + bare[-1] in _QUOTES and bare.count(bare[0]) == 1 + (bare[0] == bare[-1]):
            bare = bare[1:-1]
        if bare == text:
            return text
        text = bare


def _split_stops(text: str) -> list[str]:
    """Split at full stops (and question marks, which detectors read alike), as prompts of GroundingDINO separate.

    One that stands alone separates, one that ends the text says that all separate; else one that belongs to no
    abbreviation is refused.
    """
    parts, separates, doubtful = [""], False, False
    words = text.split()
    for place, word in enumerate(words):
        pieces = _split_word(word, place == 0)
        is_last = place == len(words) - 1
        alone = not any(pieces)
        separates |= alone or (is_last and not pieces[-1])
        doubtful |= len(pieces) > 1 and not alone and (any(pieces[1:]) or not is_last)
        parts[-1] = f"{parts[-1]} {pieces[0]}".strip()
        parts += pieces[1:]
    parts = [part for part in parts if part]
    if doubtful and not separates and len(parts) > 1:
        raise _several_or_one(text, [part.strip("?") for part in parts])
    return parts


def _split_word(word: str, is_first: bool) -> list[str]:
    """A word's pieces between the stops that do not belong to it; a question mark stays with its piece."""
    pieces, start = [], 0
    for stop in _STOPS.finditer(word):
        before, after = word[start : stop.start()], word[stop.end() :]
        if len(word) > len(stop[0]) and _belongs(stop[0], before, after, is_first):
            continue
        marks = "?" if "?" in stop[0] and before else ""
        pieces.append(before + marks)
        start = stop.end()
    return [*pieces, word[start:]]


def _belongs(stop: str, before: str, after: str, is_first: bool) -> bool:
    # 'what?: mug'; '.net mug', '1. FC Köln scarf'
    if after[:1] in (":", "|"):
        return True
    if is_first and (not before or (stop == "." and before.isdigit())):
        return True
    if len(stop) > 1:
        return False
    left, right = _STOPS.split(before)[-1], _STOPS.split(after)[0]
    if _is_initial(left) or _ABBREVIATION.fullmatch(left) or (after and _is_initial(right)):
        return stop == "."
    if left[-1:].isdigit() and after:
        return stop == "."
    return right[:1].isdigit() or bool(_DOMAIN.fullmatch(right))


def _is_initial(text: str) -> bool:
    # only scripts with capitals abbreviate by an initial; a single ideograph is a word
    return len(text) == 1 and text.lower() != text.upper()


def split_or(text: str) -> list[str]:
    """The phrases between ' or ' and '|'."""
    return [phrase.strip() for phrase in _OR.split(text.strip())]


def _refuse_doubtful(text: str) -> None:
    """Raise for signs that may separate products or stand within a name."""
    name, *synonyms = COLON.split(text)
    parts = [part.strip() for part in name.split("|") if part.strip()]
    if len(parts) > 1:
        more = " | ".join([*parts[1:], *(part.strip() for part in synonyms if part.strip())])
        several, one = ", ".join(parts), f"{parts[0]}: {more}"
        raise problem(f"{text!r} may be several products or one: write {several!r}, or {one!r} for synonyms")
    if len(synonyms) > 1:
        raise problem(f"{text!r} has two colons: one stands before the synonyms, which '|' separates")
    bracketed = ["".join(groups).strip() for groups in _IN_BRACKETS.findall(text)]
    if len(bracketed) > 1 and not _IN_BRACKETS.sub("", text).strip():
        raise _several_or_one(text, bracketed)
    for phrase in (phrase for part in (name, *synonyms) for phrase in split_or(part)):
        parts = [part for part in map(without_marks, _DOUBTFUL.split(phrase)) if part]
        if len(parts) > 1:
            raise _several_or_one(phrase, parts)
        if not _is_balanced(phrase):
            raise problem(f"{phrase!r} has a bracket without its other half; synonyms stand after a colon")


def _several_or_one(text: str, parts: list[str]) -> RequestError:
    several, one = ", ".join(parts), " ".join(parts)
    return problem(f"{text!r} may be several products or one: write {several!r}, or {one!r}")


def _is_balanced(text: str) -> bool:
    return all(text.count(opening) == text.count(closing) for opening, closing in _BRACKETS.items())
