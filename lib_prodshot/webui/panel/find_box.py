"""The panel's Find: boxes, scores and mask on a picture before anything is generated, and the finder's state line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr

from lib_prodshot.corrections import fingerprint
from lib_prodshot.errors import PictureError
from lib_prodshot.request import Request, settings
from lib_prodshot.webui import picture_codes
from lib_prodshot.webui.gradio_compat import javascript, unsaved, upload_only
from lib_prodshot.webui.messages import failed
from lib_prodshot.webui.panel.finder_line import FinderLine, show_state

if TYPE_CHECKING:
    from lib_prodshot.pictures import LoadedPicture

SEEN = "seen:"


@dataclass
class FindBox:
    """Find's components; they are drawn at three places of the panel and tied to the settings' by `connect`."""

    elem_id: Callable[[str], str]
    tab: str
    button: Any
    line: FinderLine | None = None
    result: Any = None
    picture: Any = None
    given: Any = None

    def draw_state(self) -> None:
        """The finder's state line."""
        self.line = FinderLine.draw(self.elem_id)

    def draw_result(self) -> None:
        """Where Find shows what it saw; empty and without height until then."""
        self.result = gr.HTML("", elem_id=self.elem_id("result"), elem_classes=["prodshot-result"])

    def draw_picture(self) -> None:
        """A place for a picture to try on; without one Find takes the tab's own."""
        own = "img2img's picture" if self.tab == "img2img" else "the picture selected in the gallery"
        self.picture = gr.Image(
            type="pil",
            image_mode="RGBA",
            label=f"Picture for Find (empty: {own})",
            elem_id=self.elem_id("picture"),
            elem_classes=["prodshot-picture"],
            height=160,
            **upload_only(),
        )
        self.given = gr.Textbox("", visible=False, elem_id=self.elem_id("given"))
        unsaved(self.picture), unsaved(self.given)

    def connect(self, components: Sequence[Any]) -> None:
        """Let Find read the settings' components (in schema order)."""
        assert self.line is not None
        products, finder = (self._among(components, name) for name in ("products", "finder"))
        places = [place for place, known in enumerate(settings()) if known.name in ("boxes", "mask_edits")]
        told = f"'{self.tab}', args, '{self.elem_id('')}', {places}"
        for begins in (self.button.click, products.submit):
            begins(
                find,
                [self.picture, self.given, *components],
                [self.result, *self.line.shown],
                queue=False,
                **javascript(f"(...args) => window.prodshot ? window.prodshot.find({told}) : args"),
            )
        self.line.connect(finder)

    def _among(self, components: Sequence[Any], name: str) -> Any:
        return next(known for known in components if known.elem_id == self.elem_id(name))


def draw(elem_id: Callable[[str], str], tab: str) -> FindBox:
    """Draw the Find button; the rest of the box is drawn by its methods, further down the panel."""
    button = gr.Button("Find", variant="secondary", min_width=60, elem_id=elem_id("find"), scale=0)
    button.elem_classes = [*(button.elem_classes or []), "prodshot-find"]
    return FindBox(elem_id, tab, unsaved(button))


def find(picture: Any, given: str, *values: Any) -> tuple[Any, ...]:
    """What Find shows: result, then the finder's line.

    `picture` is the uploaded one (PIL) or None, `given` the tab's own as a data URL, sent by our script, or 'seen:' and
    the fingerprint of a picture that was looked at before, which need not be sent again.
    """
    # the pipeline is loaded by the first use, not by the page
    from lib_prodshot.hosts.pil import loaded_from
    from lib_prodshot.webui import service
    from lib_prodshot.webui.panel import preview

    try:
        request = Request.from_arguments(values)
        loaded = _SEEN.get(given)
        if loaded is None:
            loaded = loaded_from(picture) if picture is not None else service.read_picture(_decoded(given))
            _remember(f"{SEEN}{fingerprint(loaded.seen())}", loaded)
        seen = service.detect(loaded, request, with_candidates=True)
        return (preview.html_of(loaded, seen.outcome, request, seen.takes_points), *show_state(request.finder))
    except Exception as error:
        return (failed(error, "Find"), *FinderLine.unchanged())


_SEEN: dict[str, LoadedPicture] = {}
"""The last pictures that Find looked at."""

_MOST_SEEN = 2


def _remember(name: str, loaded: LoadedPicture) -> None:
    _SEEN.pop(name, None)
    _SEEN[name] = loaded
    for former in list(_SEEN)[:-_MOST_SEEN]:
        _SEEN.pop(former, None)


def _decoded(given: str) -> bytes:
    if given.startswith(SEEN):
        raise PictureError("the WebUI no longer has this picture: press Find again, which sends it")
    if not given:
        raise PictureError("there is no picture to look at: choose one in the tab, or put one into the Find tab")
    try:
        return picture_codes.decode(given)
    except PictureError as error:
        raise PictureError("the browser sent something that is not a picture") from error
