"""A list of folders below a field that takes a path: from one to the folders in it, as far as the page may go."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from lib_prodshot.errors import RequestError
from lib_prodshot.hosts.active import host
from lib_prodshot.hosts.server_paths import allowed_folders, open_for_page, page_is_trusted
from lib_prodshot.webui.gradio_compat import unsaved

MOST = 500
"""Folders that are listed of one folder at most."""


@dataclass(frozen=True)
class FolderPicker:
    """A button that opens the list, and the list."""

    browse: Any
    choice: Any

    @classmethod
    def draw(cls, browse: Any, elem_id: str) -> FolderPicker:
        """Draw the list that the button `browse` opens."""
        choice = gr.Radio(
            [],
            label="Folders here",
            info="The folder above, this one, and those in it.",
            visible=False,
            interactive=True,
            elem_id=elem_id,
            elem_classes=["prodshot-field", "prodshot-folders"],
        )
        return cls(browse, unsaved(choice))

    def connect(self, field: Any) -> None:
        """Let the list follow `field`, and write what is chosen into it."""
        quiet = {"show_progress": False, "queue": False}
        self.browse.click(
            lambda text: gr.update(choices=folders_from(text), value=None, visible=True),
            [field],
            [self.choice],
            **quiet,
        )
        self.choice.input(_chosen, [self.choice, field], [field, self.choice], **quiet)


def _chosen(choice: str | None, text: str) -> tuple[Any, Any]:
    if not choice:
        return gr.update(), gr.update()
    return choice, gr.update(choices=folders_from(choice), value=choice)


def folders_from(text: str) -> list[str]:
    """The folders to go to from the one that `text` names: the one above it, itself, those in it. Where it may not be
    opened, or is none, the folders to begin with."""
    try:
        place = open_for_page("folder", text)
        inside = sorted(str(path) for path in place.iterdir() if path.is_dir() and not path.name.startswith("."))
    except (RequestError, OSError):
        return _beginnings()
    return [*_above(place), str(place), *inside[:MOST]]


def _beginnings() -> list[str]:
    own = [Path.home(), host().data_path()] if page_is_trusted() else []
    return [str(path) for path in dict.fromkeys([*allowed_folders(), *own]) if path.is_dir()]


def _above(place: Path) -> list[str]:
    try:
        return [str(open_for_page("folder", str(place.parent)))] if place.parent != place else []
    except RequestError:
        return []
