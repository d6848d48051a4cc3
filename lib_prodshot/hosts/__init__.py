"""Adapters to the WebUI: the only rooms that import its `modules`. Entry point: `active.host()`."""
