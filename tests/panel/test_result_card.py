"""The result card's text: what each check of a packshot says, and the file that was checked."""

from __future__ import annotations

import base64
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="tested where FastAPI and gradio are: under the WebUIs' pins")
pytest.importorskip("gradio", reason="tested where FastAPI and gradio are: under the WebUIs' pins")

from PIL import Image

from lib_prodshot.hosts.generation import recent
from lib_prodshot.hosts.generation.shop_files import ShopFile
from lib_prodshot.outcome import Outcome, Packshot, PackshotAudit, StepRecord, Verdict
from lib_prodshot.webui.panel.result_card import card_of

RULE = {"rule": "fill", "measured": 0.6, "required": "at least 0.85", "status": "fail", "fix": "let it fill <more>"}


def packshot(marketplace: str, *rules: dict[str, Any]) -> Packshot:
    check = {"marketplace": marketplace, "passed": not rules, "rules": list(rules)} if marketplace else None
    audit = PackshotAudit(0, 9)
    made = {"ground": "white", "frame_scale": 2.0}
    return Packshot(marketplace, None, None, "jpeg", 95, 0, (8, 8), 0.6, 0.3, 1.0, made, audit, check=check)


def card(*packshots: Packshot) -> str:
    outcome = Outcome(Verdict("found", ""), ("bag",), "lite", audit=PackshotAudit(0, 9), packshots=list(packshots))
    pictures = [Image.new("RGB", size) for size in ((8, 6), (8, 8))]
    files = {"amazon": ShopFile("a'b-amazon.jpg", b"bytes")}
    recent.remember(recent.Result(*pictures, outcome, (), None, "script", "text", files=files), ["text"])
    return card_of("text")


def test_each_check_is_a_badge_with_its_reasons_and_its_file() -> None:
    shown = card(packshot("amazon"), packshot("tall", RULE))
    assert "prodshot-badge prodshot-pass'><span>amazon</span> <b>Pass</b>" in shown
    assert "prodshot-badge prodshot-fail'><span>tall</span> <b>Fail</b>" in shown
    assert "fill: 0.6, required: at least 0.85; let it fill &lt;more&gt;" in shown
    code = base64.b64encode(b"bytes").decode()
    assert f"download='a&#x27;b-amazon.jpg' href='data:application/octet-stream;base64,{code}'" in shown
    assert shown.count("Save file") == 1
    assert "amazon: ground white, frame scale 2.0; tall: ground white" in shown
    assert "Pixels changed inside the product" in shown and "outside the mask" not in shown


def test_a_frame_of_its_own_stands_beside_the_old_picture_and_is_not_laid_over_it() -> None:
    shown = card(packshot(""))
    assert shown.count("class='prodshot-canvas'") == 2 and "prodshot-pair" in shown and "prodshot-compare" not in shown
    outcome = Outcome(Verdict("found", ""), ("bag",), "lite", audit=PackshotAudit(0, 9), packshots=[packshot("")])
    pictures = [Image.new("RGB", (8, 6)) for _ in range(2)]
    recent.remember(recent.Result(*pictures, outcome, (), None, "script", "same", files={}), ["same"])
    same = card_of("same")
    assert same.count("class='prodshot-canvas'") == 1 and "prodshot-compare" in same and "prodshot-pair" not in same


MISSING = "text was not checked: rapidocr is missing"


def gate(number: int, said: str, **named: str) -> StepRecord:
    return StepRecord("gates", 1, {"try": number, "gates": said, **named})


@pytest.mark.parametrize(
    ("records", "kind", "word", "reasons"),
    [
        ([gate(1, "pass")], "pass", "Pass", []),
        (
            [gate(1, "fail", failed="growth, text"), gate(2, "pass", not_checked="text")],
            "pass",
            "Pass",
            ["text: not checked"],
        ),
        ([gate(1, "fail", failed="growth, text"), gate(2, "fail", failed="text")], "fail", "Fail", ["text: fail"]),
        ([gate(1, "not checked", not_checked="growth")], "not-checked", "Not checked", ["growth: not checked"]),
        (
            [gate(1, "pass", not_checked="text", why_not_checked=MISSING)],
            "pass",
            "Pass",
            [MISSING],
        ),
        # two scenes, of which the first failed
        ([gate(1, "fail", failed="growth"), gate(1, "pass")], "fail", "Fail", ["growth: fail"]),
    ],
)
def test_gates_are_a_badge(records: list[StepRecord], kind: str, word: str, reasons: list[str]) -> None:
    outcome = Outcome(Verdict("found", ""), ("bag",), "lite", steps=records)
    pictures = [Image.new("RGB", (8, 6)) for _ in range(2)]
    recent.remember(recent.Result(*pictures, outcome, (), None, "script", "gated", files={}), ["gated"])
    shown = card_of("gated")
    assert f"prodshot-badge prodshot-{kind}'><span>Gates</span> <b>{word}</b>" in shown
    assert [
        reason
        for reason in ("growth: fail", "text: fail", "growth: not checked", "text: not checked", MISSING)
        if reason in shown
    ] == reasons


def test_without_a_marketplace_there_is_nothing_to_pass() -> None:
    shown = card(packshot(""))
    assert "prodshot-badge" not in shown and "Save file" not in shown
