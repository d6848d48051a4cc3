"""The WebUI around us: the only rooms that import its `modules`. Start at `current.host()`."""
