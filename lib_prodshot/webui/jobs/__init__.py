"""Long work that a client or a tab starts, watches and cancels, whatever its kind."""
