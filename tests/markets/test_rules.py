"""Marketplaces as data: what stands in the file, and what a user's file does to it."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from lib_prodshot.bootstrap import ROOT
from lib_prodshot.commands.check import use_rules
from lib_prodshot.errors import RequestError
from lib_prodshot.markets.rules import MEASURES, Marketplace, Rule, RulesError, chosen, marketplaces

ASKED_FOR = """amazon amazon-secondary ebay etsy shopify google walmart zalando meta tiktok allegro
master-2000 master-2200 master-zalando""".split()  # noqa: SIM905


def rule(market: Marketplace, name: str) -> Rule:
    return next(each for each in market.rules if each.name == name)


def user_file(folder: Path, content: Any) -> Path:
    path = folder / "mine.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content, indent=1), encoding="utf-8")
    return path


def test_every_marketplace_is_there_and_every_figure_says_where_it_is_from() -> None:
    known = marketplaces()
    assert list(known) == ASKED_FOR
    for market in known.values():
        for each in (*market.make.values(), *market.rules):
            assert each.source and each.confidence, (market.name, each)
            assert date(2026, 11, 1) <= date.fromisoformat(each.read)


def test_masters_have_their_sizes() -> None:
    known = marketplaces()
    sizes = [known[name].settings()["size"] for name in ASKED_FOR[-3:]]
    assert sizes == ["2000x2000", "2200x2200", "1801x2600"]


def test_google_asks_for_more_from_a_day_on() -> None:
    google = marketplaces()["google"]
    assert (rule(google, "size").minimum, rule(google, "size").since) == (100, None)
    assert (rule(google, "size_from_2027").minimum, rule(google, "size_from_2027").since) == (500, date(2027, 1, 31))


def test_several_are_chosen_once_each_in_their_order() -> None:
    assert [market.name for market in chosen(" Zalando, amazon,zalando,")] == ["zalando", "amazon"]
    assert chosen(" , ") == ()


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(RequestError, match=r"marketplace: no marketplace is called 'amazn'; nearest: amazon"):
        chosen("amazn")


def test_a_users_file_changes_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    path = user_file(tmp_path, {"amazon": {"rules": {"fill": {"min": 0.7}, "zoom": None}}})
    ours, theirs = marketplaces()["amazon"], marketplaces(path)["amazon"]
    assert (rule(theirs, "fill").minimum, rule(theirs, "fill").level) == (0.7, "fail")
    assert (rule(theirs, "fill").source, rule(theirs, "fill").confidence) == ("mine.json", "user")
    assert {each.name for each in ours.rules} - {each.name for each in theirs.rules} == {"zoom"}
    assert theirs.make == ours.make
    assert marketplaces(path)["zalando"] == marketplaces()["zalando"]


def test_a_users_file_adds_a_marketplace_like_a_known_one(tmp_path: Path) -> None:
    content = {
        "My-Shop": {
            "like": "shopify",
            "title": "My shop",
            "make": {"size": {"value": "1200x1200"}},
            "rules": {"square": {"measure": "ratio", "equals": 1, "within": 0.01}},
        }
    }
    path = user_file(tmp_path, content)
    market = chosen("my-shop", path)[0]
    assert (market.title, market.settings()["size"], market.settings()["format"]) == ("My shop", "1200x1200", "jpeg")
    assert len(market.rules) == len(marketplaces()["shopify"].rules) + 1
    assert "my-shop" not in marketplaces()


def test_the_environment_names_a_users_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = user_file(tmp_path, {"mine": {"rules": {"size": {"measure": "width", "min": 5}}}})
    monkeypatch.setenv("PRODSHOT_MARKETPLACES", str(path))
    assert rule(marketplaces()["mine"], "size").minimum == 5
    path.write_text(json.dumps({"mine": {"rules": {"size": {"measure": "width", "min": 777}}}}))
    assert rule(marketplaces()["mine"], "size").minimum == 777, "a file that was changed is read again"


BROKEN = [
    ('{"amazon": {\n "rules": {\n  "fill": {"min": 0.8,}\n}}}', r"mine.json, line 3: .+"),
    ('{"amazon": {\n "rules": {\n  "fill": {"mim": 0.8}\n}}}', r"line 3, field amazon.rules.fill.mim: .*nearest: min"),
    ('{"amazon": {\n "rules": {\n  "fill": {\n   "min": "much"}}}}', r"line 4, field amazon.*min: 'much' is not"),
    ('{"amazon": {"rules": {"fill": {"min": true}}}}', r"field amazon.rules.fill.min: True is not a number"),
    ('{"new": {"rules": {\n"a": {"measure": "widht", "min": 1}}}}', r"line 2, field new.*measure: .*nearest: width"),
    ('{"new": {"rules": {\n"a": {"measure": "width"}}}}', r"field new.rules.a.measure: the rule says no figure"),
    ('{"new": {"rules": {"a": {"measure": "format", "min": 1}}}}', r"a.min: format is compared by one_of"),
    ('{"new": {"rules": {"a": {"measure": "format", "one_of": "JPEG"}}}}', r"a.one_of: 'JPEG' is not a list"),
    ('{"new": {"rules": {"a": {"measure": "width", "min": 1, "level": "no"}}}}', r"a.level: 'no' is no level"),
    ('{"new": {"rules": {"a": {"measure": "width", "min": 1, "from": "soon"}}}}', r"a.from: 'soon' is not a day"),
    ('{"new": {"rules": {"a": {"measure": "width", "min": 9, "max": 1}}}}', r"a.min: 9 is above max, 1"),
    ('{"new": {"like": "amazn"}}', r"field new.like: no marketplace is called 'amazn'"),
    ('{"new": {"make": {"size": {"source": "x"}}}}', r"new.make.size.value: a setting's value is missing"),
    ('{"new": {"make": {"size": "5x5"}}}', r"new.make.size: '5x5' is not an object"),
    ('{"amazon": {"rules": {\n"fil": {"min": 0.8}}}}', r"line 2, field amazon.rules.fil.measure: there is none"),
    ('{"new": {\n"makes": {}}}', r"line 2, field new.makes: unknown field; nearest: make"),
    ('["amazon"]', r"is not an object"),
    ('{"new": 7}', r"field new: '7' is not an object"),
    ('{"a": {"title": "x"},\n"a": {"title": "y"}}', r"line 2, field a: it is given twice"),
    ("[" * 100_000, r"nested too deeply|line 1"),
    ('{"ok": {},\n"a, b": {}}', r"line 2, field a, b: 'a, b' is no name"),
    ('{" a": {}}', r"field  a: ' a' is no name"),
    ('{"new": {"title": 3}}', r"field new.title: 3 is not text"),
    ('{"new": {"rules": {"a": {"measure": "width", "min": 1, "source": 3}}}}', r"a.source: 3 is not text"),
]


@pytest.mark.parametrize("text, message", BROKEN)
def test_a_broken_file_is_refused_with_line_and_field(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RulesError, match=message):
        marketplaces(user_file(tmp_path, text))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        ('"fill": {"value": 7}', r"line 2, field new.make.fill.*fill: 7 is too large"),
        ('"format": {"value": "webm"}', r"line 2, field new.make.format.*'webm' is not a choice"),
        ('"sizze": {"value": "9x9"}', r"line 2, field new.make.sizze.*size"),
    ],
)
def test_a_setting_out_of_range_is_refused_with_line_and_field(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: str, message: str
) -> None:
    monkeypatch.setenv("PRODSHOT_MARKETPLACES", "")
    path = user_file(tmp_path, f'{{"new": {{"like": "ebay", "make": {{\n{make}}}}}}}')
    with pytest.raises(RequestError, match=message):
        use_rules(path)
    use_rules(user_file(tmp_path, '{"new": {"like": "ebay", "make": {"fill": {"value": 0.7}}}}'))
    with pytest.raises(RequestError, match=r"rules: .*line 1, field new.makes"):
        use_rules(user_file(tmp_path, '{"new": {"makes": {}}}'))


def test_a_file_that_is_not_there_or_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(RulesError, match="cannot be read: No such file"):
        marketplaces(tmp_path / "none.json")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(RulesError, match="not text in UTF-8"):
        marketplaces(tmp_path / "bytes.json")
    with pytest.raises(RulesError, match="cannot be read"):
        marketplaces(tmp_path)


def test_the_docs_name_every_measure_and_marketplace_and_their_example_is_read(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "packshot.md").read_text(encoding="utf-8")
    assert [name for name in (*MEASURES, *ASKED_FOR) if f"`{name}`" not in page] == []
    example = page.split("```json\n")[1].split("```")[0]
    assert "my-shop" in marketplaces(user_file(tmp_path, example))
