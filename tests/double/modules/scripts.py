"""Scripts and their runner: every hook is wrapped, so that what it raises never stops a generation."""

import re

from modules import errors

AlwaysVisible = object()

_HOOKS = (
    "setup",
    "before_process",
    "process",
    "before_process_batch",
    "process_batch",
    "process_before_every_sampling",
    "post_sample",
    "postprocess_batch",
    "postprocess_batch_list",
    "postprocess_image",
    "postprocess_maskoverlay",
    "postprocess_image_after_composite",
    "postprocess",
)


class PostSampleArgs:
    def __init__(self, samples):
        self.samples = samples


class PostprocessImageArgs:
    def __init__(self, image):
        self.image = image


class PostProcessMaskOverlayArgs:
    def __init__(self, index, mask_for_overlay, overlay_image):
        self.index, self.mask_for_overlay, self.overlay_image = index, mask_for_overlay, overlay_image


class PostprocessBatchListArgs:
    def __init__(self, images):
        self.images = images


class Script:
    name = None
    section = None
    filename = None
    args_from = None
    args_to = None
    alwayson = False
    is_txt2img = False
    is_img2img = False
    tabname = None
    group = None
    create_group = True
    infotext_fields = None
    paste_field_names = None
    api_info = None
    setup_for_ui_only = False
    controls = None

    def title(self):
        raise NotImplementedError

    def ui(self, is_img2img):
        pass

    def show(self, is_img2img):
        return True

    def run(self, p, *args):
        pass

    def setup(self, p, *args):
        pass

    def before_process(self, p, *args):
        pass

    def process(self, p, *args):
        pass

    def before_process_batch(self, p, *args, **kwargs):
        pass

    def process_before_every_sampling(self, p, *args, **kwargs):
        pass

    def process_batch(self, p, *args, **kwargs):
        pass

    def postprocess_batch(self, p, *args, **kwargs):
        pass

    def postprocess_batch_list(self, p, pp, *args, **kwargs):
        pass

    def post_sample(self, p, ps, *args):
        pass

    def postprocess_image(self, p, pp, *args):
        pass

    def postprocess_maskoverlay(self, p, ppmo, *args):
        pass

    def postprocess_image_after_composite(self, p, pp, *args):
        pass

    def postprocess(self, p, processed, *args):
        pass

    def elem_id(self, item_id):
        title = re.sub(r"[^a-z_0-9]", "", re.sub(r"\s", "_", self.title().lower()))
        return f"script_{self.tabname + '_' if self.tabname else ''}{title}_{item_id}"


class ScriptRunner:
    def __init__(self):
        self.scripts = []
        self.selectable_scripts = []
        self.alwayson_scripts = []
        self.callback_map = {}

    def add(self, script, slots):
        """For tests: what the page does when it draws a script that returns so many components."""
        first = max([1, *(other.args_to for other in self.scripts)])
        script.args_from, script.args_to, script.name = first, first + slots, script.title().lower()
        script.alwayson = script.show(False) is AlwaysVisible
        self.scripts.append(script)
        (self.alwayson_scripts if script.alwayson else self.selectable_scripts).append(script)
        return script

    def run(self, p, *args):
        script_index = args[0]
        if script_index == 0 or script_index is None:
            return None
        script = self.selectable_scripts[script_index - 1]
        return script.run(p, *args[script.args_from : script.args_to])

    def ordered_scripts(self, method_name):
        """As the real one: cached by the hook's name, and good for any runner with as many scripts."""
        count, scripts = self.callback_map.get(method_name, (-1, None))
        if count != len(self.alwayson_scripts):
            scripts = list(self.alwayson_scripts)
            self.callback_map[method_name] = len(scripts), scripts
        return scripts

    def setup_scrips(self, p, *, is_ui=True):
        self._call("setup", p)

    def _call(self, hook, p, *handed, **kwargs):
        for script in self.ordered_scripts(hook):
            try:
                args = p.script_args[script.args_from : script.args_to]
                getattr(script, hook)(p, *handed, *args, **kwargs)
            except Exception:
                errors.report(f"Error running {hook}: {script.filename}", exc_info=True)


def _hook(name):
    def call(self, p, *handed, **kwargs):
        self._call(name, p, *handed, **kwargs)

    return call


for _name in _HOOKS[1:]:
    setattr(ScriptRunner, _name, _hook(_name))

scripts_txt2img = ScriptRunner()
scripts_img2img = ScriptRunner()
scripts_data = []
