"""Registers the WebUI's callbacks: settings page, X/Y/Z axes, tabs, kinds of jobs, routes."""

from __future__ import annotations

from typing import Any


def register() -> None:
    """Register every callback. Called once, when the WebUI loads `scripts/prodshot.py`."""
    from lib_prodshot.hosts.compatibility.callbacks import register as register_callback
    from lib_prodshot.hosts.generation import hooks
    from lib_prodshot.webui import options, tabs
    from lib_prodshot.webui.jobs import kinds as job_kinds
    from lib_prodshot.webui.panel import axes

    job_kinds.register()
    register_callback("ui_settings", options.add_options, __file__)
    register_callback("before_ui", axes.add_axes, __file__)
    register_callback("ui_tabs", tabs.draw_tabs, __file__)
    register_callback("image_saved", hooks.image_saved, __file__)
    register_callback("app_started", serve, __file__)


def serve(_demo: Any, app: Any) -> None:
    """Add our routes to the WebUI's server where its owner has switched the API on (`--api`, `--nowebui`); what a job
    wrote can be read from the page without it."""
    from lib_prodshot.hosts.active import host
    from lib_prodshot.webui.jobs import files as job_files

    job_files.add_page_route(app)
    if not (host().flag("api", False) or host().flag("nowebui", False)):
        return
    from lib_prodshot.webui.api import routes

    routes.add_routes(app)
