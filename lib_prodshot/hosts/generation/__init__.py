"""Prodshot's script and accordion within a generation of the WebUI: hooks, session, results, infotext."""
