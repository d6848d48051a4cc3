"""The words of the first round's private language do not come back; docs/glossary.md says what replaced each."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib_prodshot.bootstrap import ROOT

OLD = frozenset(
    """bench crew crews door doors eyes judge kit lend lends lent painter painters parcel parcels shelf
    weather workshop""".split()  # noqa: SIM905 - a list of words reads better as text
)
OLD_PHRASES = ("through the house", "let go of", "the hands of")

FILES = sorted([*(ROOT / "lib_prodshot").rglob("*.py"), *(ROOT / "scripts").glob("*.py"), ROOT / "install.py"])


def words_of(path: Path) -> Iterator[tuple[int, str]]:
    """Line and word of every name, comment and text of a file; names are taken apart (`CrewOfTwo`: crew, of, two)."""
    source = path.read_text(encoding="utf-8")
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.NAME, tokenize.COMMENT, tokenize.STRING):
            for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", token.string):
                yield token.start[0], word.lower()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_old_words_stay_away(path: Path) -> None:
    assert [(line, word) for line, word in words_of(path) if word in OLD] == []
    text = path.read_text(encoding="utf-8").lower()
    assert [phrase for phrase in OLD_PHRASES if phrase in text] == []


def test_a_word_is_found_where_it_hides(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text('class RayCrew:\n    """A parcel."""\n    _door_of = 1  # on the shelf\n')
    assert {word for _, word in words_of(file) if word in OLD} == {"crew", "parcel", "door", "shelf"}


def test_every_old_word_is_in_the_glossary() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8").lower()
    assert [word for word in sorted(OLD) if word.removesuffix("s") not in text and word not in text] == []
