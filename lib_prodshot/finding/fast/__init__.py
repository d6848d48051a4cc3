"""Faster layers with the same outputs, for models that the packages' own loaders built.

Each module here swaps submodules of one model instance for wrappers that share its weights; the packages themselves
are never patched, since other extensions of the WebUI use them too. `restore` takes the wrappers out again. A wrapper
whose operation is missing on a device or for a dtype calls the layer that it wraps (`probe.py`).

Importing these modules loads torch; import them inside functions.
"""
