"""What we hang into the WebUI besides the script itself: settings page, X/Y/Z axes, HTTP routes."""

from __future__ import annotations

from typing import Any


def register() -> None:
    """Register every callback. Called once, when the WebUI loads `scripts/prodshot.py`."""
    from lib_prodshot.hosts.registering import register as hang
    from lib_prodshot.webui import axes, options

    hang("ui_settings", options.add_options, __file__)
    hang("before_ui", axes.add_axes, __file__)
    hang("app_started", serve, __file__)


def serve(_demo: Any, app: Any) -> None:
    """Add our routes to the WebUI's server where its owner has switched the API on (`--api`, `--nowebui`)."""
    from lib_prodshot.hosts.current import host

    if not (host().flag("api", False) or host().flag("nowebui", False)):
        return
    from lib_prodshot.webui import routes

    routes.add_routes(app)
