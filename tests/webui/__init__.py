"""End to end: a real WebUI with this checkout as its extension, driven over HTTP and by a real browser.

PRODSHOT_WEBUI_DIR names an installed AUTOMATIC1111, PRODSHOT_FORGE_DIR a Forge, PRODSHOT_REFORGE_DIR a reForge (each
with its `venv`, or with the Python that PRODSHOT_WEBUI_PYTHON and so on name). Nothing is written into the
installation: the server runs on a data folder of its own, with a tiny random checkpoint and ControlNet made for the
run. Without a WebUI all is skipped.
"""
