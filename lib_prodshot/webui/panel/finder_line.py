"""The line that says which finder is ready, with the buttons that fetch one, and what the WebUI itself is missing."""

from __future__ import annotations

import html
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from lib_prodshot.hosts.active import host
from lib_prodshot.webui.gradio_compat import small_button, unsaved
from lib_prodshot.webui.panel.finder_state import FETCHING, LABELS, FinderState, state_of

_LOG = logging.getLogger("prodshot")

_QUIET = {"show_progress": False, "queue": False}


@dataclass(frozen=True)
class FinderLine:
    """The line, one button for each finder that can be fetched, one that stops a download, and the hidden one that our
    script presses to refresh the line."""

    state: Any
    get: dict[str, Any]
    stop: Any
    refresh: Any

    @classmethod
    def draw(cls, elem_id: Callable[[str], str]) -> FinderLine:
        """Draw all of them."""
        with gr.Row(elem_classes=["prodshot-state-row"]):
            # gradio shows an empty component as a loading one
            state = gr.HTML("", elem_id=elem_id("state"), elem_classes=["prodshot-state"])
            get = {name: _hidden(small_button(f"Get {LABELS[name]}", elem_id(f"get_{name}"))) for name in LABELS}
            stop = _hidden(small_button("Stop", elem_id("get_stop")))
            refresh = small_button("Refresh", elem_id("refresh"))
            refresh.elem_classes = [*refresh.elem_classes, "prodshot-hidden"]
        return cls(unsaved(state), get, stop, refresh)

    @property
    def shown(self) -> list[Any]:
        """What `show_state` fills."""
        return [self.state, *self.get.values(), self.stop]

    @staticmethod
    def unchanged() -> tuple[Any, ...]:
        """Updates that leave all of `shown` as it is."""
        return tuple(gr.update() for _ in range(2 + len(LABELS)))

    def connect(self, finder: Any) -> None:
        """Let the line follow the component of the setting 'finder'."""
        self.refresh.click(show_state, [finder], self.shown, **_QUIET)
        finder.change(show_state, [finder], self.shown, **_QUIET)
        for name, button in self.get.items():
            button.click(_getter(name), [finder], self.shown, **_QUIET)
        self.stop.click(stop_fetching, [finder], self.shown, **_QUIET)


def _hidden(button: Any) -> Any:
    button.visible = False
    return button


def show_state(finder: str) -> tuple[Any, ...]:
    """The line and its buttons, as gradio updates."""
    try:
        state = state_of(finder)
    except Exception:
        _LOG.exception("the finder's state cannot be told")
        state = FinderState("missing", "The finder's state cannot be told; the console has the reason.")
    return (_line(state, _missing_features()), *_buttons(state))


def fetch(name: str, finder: str) -> tuple[Any, ...]:
    """Start downloading the missing weights of the finder `name`; the line goes on about `finder`."""
    FETCHING.start(name)
    return show_state(finder)


def stop_fetching(finder: str) -> tuple[Any, ...]:
    """Stop the download; what has arrived is kept."""
    FETCHING.stop()
    FETCHING.wait(2)
    return show_state(finder)


def _getter(name: str) -> Callable[[str], tuple[Any, ...]]:
    return lambda finder: fetch(name, finder)


def _buttons(state: FinderState) -> list[Any]:
    """The first offer stands out where there is no finder at all."""
    offers = {offer.finder: offer.label for offer in state.offers}
    first = next(iter(offers), "") if state.level == "missing" else ""
    shown = [
        gr.update(value=offers[name], visible=True, variant="primary" if name == first else "secondary")
        if name in offers
        else gr.update(visible=False)
        for name in LABELS
    ]
    return [*shown, gr.update(visible=state.level == "working")]


def _missing_features() -> tuple[str, ...]:
    """The WebUI's own features that are missing, one sentence each."""
    try:
        return host().missing_features()
    except Exception:
        _LOG.exception("the WebUI's missing features cannot be listed")
        return ()


def _line(state: FinderState, missing: Sequence[str] = ()) -> str:
    bar = f"<progress max='1' value='{state.share:.3f}'></progress>" if state.level == "working" else ""
    line = f"<span class='prodshot-dot prodshot-{state.level}'></span><span>{html.escape(state.text)}</span>{bar}"
    line += f"<div>{html.escape(state.own_models)}</div>" if state.own_models else ""
    return line + "".join(f"<div class='prodshot-lack'>{html.escape(feature)}</div>" for feature in missing)
