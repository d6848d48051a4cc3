"""Picks the host this process runs in, by what can be imported, never by name."""

from __future__ import annotations

import importlib.util

from lib_prodshot.hosts.compatibility.interface_changes import sentence
from lib_prodshot.hosts.interface import Host, HostUnavailable

_HOST: list[Host] = []


def inside_webui() -> bool:
    """Whether a WebUI's modules can be imported here; imports none of them."""
    try:
        return importlib.util.find_spec("modules.processing") is not None
    except ModuleNotFoundError:
        return False


def host() -> Host:
    """The WebUI around us. Raises `HostUnavailable` where there is none, or none we know how to speak to."""
    if not _HOST:
        _HOST.append(_pick())
    return _HOST[0]


def _pick() -> Host:
    if not inside_webui():
        raise HostUnavailable("no WebUI runs in this process; use the command line, or name a WebUI with --webui")
    try:
        from lib_prodshot.hosts.webui import WebUI

        return WebUI()
    except (ImportError, AttributeError) as error:
        raise HostUnavailable(sentence(error)) from error


def incompatibility() -> str:
    """Why Prodshot cannot work in this WebUI, for its user to read; empty where it can.

    Asks for whatever the panel is drawn from: an interface that moved is to be told there, not by a page that breaks.
    """
    try:
        here = host()
        here.option("prodshot_show")
        here.names()
        here.missing_features()
    except HostUnavailable as error:
        return str(error)
    except Exception as error:
        return sentence(error)
    return ""
