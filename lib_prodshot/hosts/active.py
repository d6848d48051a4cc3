"""The active host: the WebUI that this process runs in, detected by its importable modules."""

from __future__ import annotations

import importlib.util

from lib_prodshot.hosts.compatibility.interface_changes import incompatibility_message
from lib_prodshot.hosts.interface import Host, HostUnavailable

_HOST: list[Host] = []


def inside_webui() -> bool:
    """Whether a WebUI's modules can be imported here; imports none of them."""
    try:
        return importlib.util.find_spec("modules.processing") is not None
    except ModuleNotFoundError:
        return False


def host() -> Host:
    """The active host. Raises `HostUnavailable` without a WebUI or with one of an unknown interface."""
    if not _HOST:
        _HOST.append(_detect())
    return _HOST[0]


def _detect() -> Host:
    if not inside_webui():
        raise HostUnavailable("no WebUI runs in this process; use the command line, or name a WebUI with --webui")
    try:
        from lib_prodshot.hosts.webui import WebUI

        return WebUI()
    except (ImportError, AttributeError) as error:
        raise HostUnavailable(incompatibility_message(error)) from error


def incompatibility() -> str:
    """Why Prodshot cannot run in this WebUI, as a message for its user; empty if it can.

    Calls whatever the panel is built from, so that a changed interface is reported there instead of breaking the page.
    """
    try:
        here = host()
        here.option("prodshot_show")
        here.names()
        here.missing_features()
    except HostUnavailable as error:
        return str(error)
    except Exception as error:
        return incompatibility_message(error)
    return ""
