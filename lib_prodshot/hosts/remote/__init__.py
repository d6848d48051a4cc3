"""A WebUI on another machine, over HTTP: a client for its routes, and inpaint passes run by it."""

from lib_prodshot.hosts.remote.client import RemoteError, RemoteWebUI

__all__ = ["RemoteError", "RemoteWebUI"]
