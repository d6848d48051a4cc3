"""The result card under the gallery: before and after, mask and boxes, verdict, what ran, and the audit's figures.

Our script (`javascript/prodshot_result.js`) asks for it by the infotext that the gallery shows.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import gradio as gr

from lib_prodshot.outcome import GatesAnswer
from lib_prodshot.webui.gradio_compat import javascript, small_button, unsaved
from lib_prodshot.webui.messages import failed, said

_FIGURES = {
    "changed_outside": "Pixels changed outside the mask",
    "changed_inside": "Pixels changed inside the product",
    "delta_e_mean": "Colour shift inside the mask (ΔE2000)",
    "delta_e_p95": "Colour shift, 95th percentile (ΔE2000)",
}
"""Figures of an audit, by its key: those of a retouched picture, and of a packshot."""

TEXTS = (
    *("Before", "After", "Before and after", "Do it again with another seed", "Keep the old one"),
    *("What ran", "Needs review", "Set by the marketplace", *_FIGURES.values()),
    *("Pass", "Fail", "Not checked", "Gates", "Save file"),
    "The old picture was kept.",
)
"""Every text of the card that is the same for all results: keys of the localisation files."""

_SEED = re.compile(r"(?:^|[\s,])Seed: (\d+)")


@dataclass(frozen=True)
class ResultCard:
    """The card's hidden components: our script presses the buttons and shows the card under the gallery."""

    shown: Any
    asked: Any
    refresh: Any
    keep: Any

    @classmethod
    def draw(cls, elem_id: Callable[[str], str], tab: str) -> ResultCard:
        """Draw and connect them."""
        hidden = ["prodshot-hidden"]
        shown = gr.HTML("", elem_id=elem_id("card"), elem_classes=hidden)
        asked = unsaved(gr.Textbox("", visible=False, elem_id=elem_id("card_asked")))
        refresh, keep = (
            small_button(text, elem_id(name))
            for text, name in (("Refresh", "card_refresh"), ("Keep the old one", "card_keep"))
        )
        quiet = {"show_progress": False, "queue": False}
        for button, answer in ((refresh, card_of), (keep, keep_old)):
            button.elem_classes = [*button.elem_classes, *hidden]
            button.click(
                answer, [asked], [shown], **quiet, **javascript(f"() => [window.prodshotResult.asked('{tab}')]")
            )
        return cls(shown, asked, refresh, keep)


def card_of(infotext: str) -> str:
    """The card of the result with this infotext; empty where it is not known (any more)."""
    from lib_prodshot.hosts.generation import recent

    try:
        key = recent.key_of(infotext)
        result = recent.recall(key)
        return _card(key, result) if result is not None else ""
    except Exception as error:
        return failed(error, "The result card")


def keep_old(infotext: str) -> str:
    """Put the old picture in the result's place, and show that."""
    from lib_prodshot.hosts.generation import recent

    try:
        recent.reject(recent.key_of(infotext))
    except Exception as error:
        return failed(error, "Keeping the old picture") + card_of(infotext)
    return card_of(infotext)


def _card(key: str, result: Any) -> str:
    import numpy as np

    from lib_prodshot.webui.panel import preview

    outcome = result.outcome
    width, height = result.after.size
    is_found = outcome.status == "found" and not result.is_rejected
    before, after = (np.asarray(image.convert("RGB")) for image in (result.before, result.after))
    layers = [preview.picture_layer(after if is_found else before, "prodshot-after")]
    # the frame of a packshot is another picture: where mask and boxes lie in it, they do not tell
    is_same_frame = before.shape == after.shape
    if is_found and is_same_frame:
        layers.append(preview.picture_layer(before, "prodshot-before"))
    if is_found and is_same_frame and result.alpha is not None:
        layers.append(preview.mask_layer(result.alpha))
    if outcome.detections and (is_same_frame or not is_found):
        layers.append(preview.box_layer(outcome.detections, *result.before.size))
    frame = preview.canvas(layers, width, height)
    if is_found and not is_same_frame:
        frame = _side_by_side(preview.canvas([preview.picture_layer(before)], *result.before.size), frame)
    badges = "".join(map(_badge, _badges(result))) if is_found else ""
    slider = _SLIDER if is_found and is_same_frame else ""
    toggles = preview.toggles(key, is_on=False) if is_found and is_same_frame else ""
    inside = (
        f"{preview.verdict(outcome)}{said(TEXTS[-1]) if result.is_rejected else ''}{toggles}{frame}{slider}"
        f"{badges}{_figures(result)}{preview.remarks(outcome.notes)}{_buttons(result) if is_found else ''}"
    )
    # by this our script tells whether the card is another one
    version = f"{key}-{crc32(inside.encode()):08x}"
    return (
        f"<div class='prodshot-preview prodshot-card prodshot-is-{outcome.status}' data-key='{key}' "
        f"data-version='{version}'{_facts(result)}>{inside}</div>"
    )


def _side_by_side(before: str, after: str) -> str:
    """Two frames that cannot lie over each other."""
    shown = ((TEXTS[0], before), (TEXTS[1], after))
    figures = (f"<figure>{frame}<figcaption>{text}</figcaption></figure>" for text, frame in shown)
    return f"<div class='prodshot-pair'>{''.join(figures)}</div>"


_SLIDER = (
    f"<div class='prodshot-compared'><span>{TEXTS[0]}</span><input type='range' class='prodshot-compare' min='0' "
    f"max='100' value='50' aria-label='{TEXTS[2]}'><span>{TEXTS[1]}</span></div>"
)


@dataclass(frozen=True)
class _Badge:
    """One check of the result: of what, pass, fail or not checked, why not, and a file to be saved (name and bytes)."""

    title: str
    status: str
    reasons: tuple[str, ...] = ()
    file: tuple[str, bytes] | None = None


def _badges(result: Any) -> Iterator[_Badge]:
    """The checks of a result: whether it is still the same product, and what each marketplace says of its packshot."""
    gates = GatesAnswer.of(record.figures for record in result.outcome.steps)
    if gates is not None:
        yield _Badge("Gates", gates.status, gates.reasons)
    for made in result.outcome.packshots:
        if made.check is None:
            continue
        failed = [rule for rule in made.check["rules"] if rule["status"] == "fail"]
        reasons = tuple(
            f"{rule['rule']}: {rule['measured']}, required: {rule['required']}; {rule['fix']}" for rule in failed
        )
        file = result.files.get(made.marketplace)
        yield _Badge(made.marketplace, "fail" if failed else "pass", reasons, (file.name, file.data) if file else None)


def _badge(badge: _Badge) -> str:
    from lib_prodshot.webui.panel import preview

    word = {"pass": "Pass", "fail": "Fail"}.get(badge.status, "Not checked")
    kind = badge.status.replace(" ", "-")
    link = ""
    if badge.file:
        name, data = badge.file
        address = f"data:application/octet-stream;base64,{base64.b64encode(data).decode()}"
        link = f"<a download='{html.escape(name, quote=True)}' href='{address}'>Save file</a>"
    return (
        f"<p class='prodshot-check'><span class='prodshot-badge prodshot-{kind}'>"
        f"<span>{html.escape(badge.title)}</span> <b>{word}</b></span> {link}</p>{preview.remarks(badge.reasons)}"
    )


def _facts(result: Any) -> str:
    """What our script needs to do it again."""
    seed = _SEED.search(result.infotext)
    return f" data-source='{result.source}' data-seed='{seed[1] if seed else ''}'"


def _figures(result: Any) -> str:
    rows = "".join(
        f"<tr><th scope='row'>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
        for name, value in _told(result)
    )
    return f"<table><tbody>{rows}</tbody></table>" if rows else ""


def _told(result: Any) -> Iterator[tuple[str, str]]:
    if result.ran:
        yield "What ran", "; ".join(result.ran)
    if result.outcome.needs_review:
        yield "Needs review", "; ".join(result.outcome.needs_review)
    made = [f"{made.marketplace}: {_settings(made.made)}" for made in result.outcome.packshots if made.made]
    if made:
        yield "Set by the marketplace", "; ".join(made)
    told = result.outcome.audit.to_json() if result.outcome.audit is not None else {}
    for key, name in _FIGURES.items():
        if told.get(key) is not None:
            yield name, str(told[key])


def _settings(made: Mapping[str, Any]) -> str:
    """'ground white, fill 0.85'."""
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in made.items())


def _buttons(result: Any) -> str:
    """A retouch has no seed: done again it is the same."""
    wanted = [("again", "Do it again with another seed")] if result.ran else []
    wanted.append(("keep", "Keep the old one"))
    return (
        "<div class='prodshot-tools'>"
        + "".join(
            f"<button type='button' class='prodshot-tool prodshot-{kind}'>{text}</button>" for kind, text in wanted
        )
        + "</div>"
    )
