"""Callbacks, kept by name for the tests to call."""

from collections import defaultdict

registered = defaultdict(list)


def _register(name):
    def register(callback, *, name=None):
        registered[kind].append(callback)

    kind = name
    return register


on_app_started = _register("app_started")
on_before_ui = _register("before_ui")
on_ui_settings = _register("ui_settings")
on_ui_tabs = _register("ui_tabs")
on_script_unloaded = _register("script_unloaded")
on_before_reload = _register("before_reload")
on_infotext_pasted = _register("infotext_pasted")
on_image_saved = _register("image_saved")


class ImageSaveParams:
    def __init__(self, image, p, filename, pnginfo):
        self.image, self.p, self.filename, self.pnginfo = image, p, filename, pnginfo


def image_saved_callback(params):
    for callback in registered["image_saved"]:
        callback(params)
