"""The WebUI's entry point: accordion, script of the same name, and callbacks; all else is in `lib_prodshot`."""

from __future__ import annotations

from typing import Any

from modules import scripts

from lib_prodshot.hosts.active import host
from lib_prodshot.hosts.generation import hooks
from lib_prodshot.hosts.interface import HostUnavailable
from lib_prodshot.webui import callbacks, options
from lib_prodshot.webui.panel.panel import TITLE, draw_hidden, draw_panel


class ProdshotAccordion(scripts.Script):  # type: ignore[misc]
    """Looks at every output, beside other scripts. Also what looks at outputs for the script: hooks are its alone.

    It stands first: the API finds an always-on script of this title only if no selectable one comes before it.
    """

    def title(self) -> str:
        """The title that both share."""
        return TITLE

    def show(self, is_img2img: bool) -> Any:
        """Always there, for its hooks; whether it is drawn is another matter."""
        return scripts.AlwaysVisible

    def ui(self, is_img2img: bool) -> list[Any]:
        """The panel behind a checkbox; where the settings page hides it, arguments for the API's callers only."""
        if not _shows("accordion"):
            return draw_hidden(is_img2img, self.elem_id)
        return _draw(self, is_img2img, with_enabled=True)

    def before_process(self, p: Any, *args: Any) -> None:
        """A generation begins."""
        # a tab that no browser has opened yet has given no arguments out (forge-again): then these are other scripts'
        hooks.before(p, () if self.args_from is None else args)

    def post_sample(self, p: Any, ps: Any, *args: Any) -> None:
        """Sampling has ended."""
        hooks.sampled(p)

    def postprocess_image_after_composite(self, p: Any, pp: Any, *args: Any) -> None:
        """A picture is finished and about to be saved."""
        hooks.each_picture(p, pp)

    def postprocess(self, p: Any, processed: Any, *args: Any) -> None:
        """A generation has ended."""
        hooks.after(p, processed)


class ProdshotScript(scripts.Script):  # type: ignore[misc]
    """txt2img: generates, then looks at every output. img2img: looks at the input before anything is sampled."""

    def title(self) -> str:
        """The title that both share."""
        return TITLE

    def show(self, is_img2img: bool) -> bool:
        """In the Script drop-down, unless the settings page hides it."""
        return _shows("script")

    def ui(self, is_img2img: bool) -> list[Any]:
        """The panel."""
        return _draw(self, is_img2img, with_enabled=False)

    def run(self, p: Any, *args: Any) -> Any:
        """Run in place of a plain generation."""
        return hooks.run(p, self, args)


def _shows(part: str) -> bool:
    try:
        return part in str(host().option("prodshot_show", options.SHOW[0]))
    except HostUnavailable:
        # the panel says why
        return True


def _draw(script: scripts.Script, is_img2img: bool, with_enabled: bool) -> list[Any]:
    panel = draw_panel(is_img2img, script.elem_id, with_enabled)
    script.infotext_fields = panel.infotext_fields
    script.paste_field_names = panel.paste_field_names
    return panel.components


callbacks.register()
