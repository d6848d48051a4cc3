"""Implementation of `Host` for AUTOMATIC1111 and its forks; their differences are handled in `compatibility`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

from PIL import Image

from lib_prodshot.editing import EditSupport
from lib_prodshot.errors import OutputError
from lib_prodshot.finding.finder import Finder
from lib_prodshot.hosts import finder_cache, installed
from lib_prodshot.hosts.compatibility import edit_models
from lib_prodshot.hosts.compatibility.controlnet import find_script, pick_controlnet
from lib_prodshot.hosts.compatibility.gpu_memory import pick_memory
from lib_prodshot.hosts.interface import Names, Saved
from lib_prodshot.hosts.nested_pass.backend import NestedPassBackend
from lib_prodshot.hosts.nested_pass.parent import inherited_defaults
from lib_prodshot.hosts.training import WebUITraining
from lib_prodshot.hosts.upscaling import HostUpscaler
from lib_prodshot.inpainting import ControlLists, PassDefaults

_SAVED_AS = "already_saved_as"

_EXACT_SAVING = {"stealth_pnginfo_option": "None", "stealth_pnginfo_opt": "None"}
"""Settings under which files hold the exact pixels: Forge and reForge (by different names) hide the infotext in the
lowest bits of colours or transparency, even if the option was never set."""

_HOOKS = {
    "postprocess_image_after_composite": "This WebUI shows scripts no finished picture: the accordion, and the script "
    "on txt2img, do nothing; use the script on img2img.",
    "post_sample": "This WebUI does not tell scripts when it has sampled: whether ControlNet took part cannot be said.",
}
"""Hooks that Prodshot uses, and what is missing without each."""

_FAMILIES = (
    ("modules_forge.forge_version", "Forge family"),
    ("modules_forge", "Forge family"),
)


class WebUI:
    """The active WebUI, through modules that every fork has."""

    def __init__(self) -> None:
        self._shared = import_module("modules.shared")
        self._paths = import_module("modules.paths")
        import_module("modules.processing")
        self._memory = pick_memory()

    @property
    def name(self) -> str:
        """For messages only."""
        return next((name for module, name in _FAMILIES if _importable(module)), "AUTOMATIC1111")

    @property
    def version(self) -> str:
        """The WebUI's git tag or commit, as it tells it itself."""
        with suppress(Exception):
            return str(import_module("modules.launch_utils").git_tag())
        return "unknown"

    def models_path(self) -> Path:
        """The WebUI's models folder."""
        return Path(self._paths.models_path)

    def data_path(self) -> Path:
        """The WebUI's data folder."""
        return Path(self._paths.data_path)

    def option(self, key: str, default: Any = None) -> Any:
        """A value of the settings page."""
        return self._shared.opts.data.get(key, default)

    def flag(self, name: str, default: Any = None) -> Any:
        """A value of the command line."""
        return getattr(self._shared.cmd_opts, name, default)

    def api_credentials(self) -> dict[str, str]:
        """From --api-auth 'user:password,user:password'."""
        pairs = (pair.partition(":") for pair in str(self.flag("api_auth") or "").split(",") if ":" in pair)
        return {user: password for user, _, password in pairs}

    def names(self) -> Names:
        """Installed checkpoints, samplers, schedulers and ControlNet models."""
        control = self._control_lists(refresh=False)
        return Names(installed.checkpoints(), installed.samplers(), installed.schedulers(), control)

    def no_inpainting(self) -> str:
        """Why this WebUI has nothing to inpaint with yet: no checkpoint, or one in use of which it cannot be told."""
        if not installed.checkpoints():
            return "this WebUI has no checkpoint yet"
        known = installed.family("") != "other"
        return "" if known else "it cannot be told whether this WebUI's checkpoint can inpaint"

    def edit_support(self) -> EditSupport:
        """What there is for the engine edit."""
        return edit_models.support(import_module("modules.scripts").scripts_img2img)

    def has_lora(self, name: str) -> bool:
        """Whether a LoRA of this name is installed, as the WebUI listed them last."""
        return installed.has_lora(name)

    def missing_features(self) -> tuple[str, ...]:
        """Missing hooks and ControlNet."""
        return (*self._missing_hooks(), *self._missing_control())

    def _missing_hooks(self) -> tuple[str, ...]:
        base = import_module("modules.scripts").Script
        return tuple(missing for hook, missing in _HOOKS.items() if not hasattr(base, hook))

    def _missing_control(self) -> tuple[str, ...]:
        lists = self._control_lists(refresh=False)
        if lists is None:
            return ("ControlNet is not installed: product shapes are not held; install sd-webui-controlnet.",)
        if not lists.models:
            return ("ControlNet has no model: product shapes are not held; install control_v11f1p_sd15_depth.",)
        return ()

    def _control_lists(self, refresh: bool) -> ControlLists | None:
        scripts = import_module("modules.scripts")
        found = (find_script(runner) for runner in (scripts.scripts_img2img, scripts.scripts_txt2img))
        script = next((script for script in found if script is not None), None)
        # while the page is drawn, slots are not given out yet
        slots = 0 if script is None else max((script.args_to or 0) - (script.args_from or 0), 1)
        return None if script is None else pick_controlnet().lists(slots, refresh)

    def queue_lock(self) -> AbstractContextManager[Any]:
        """The lock that lets one generation run at a time."""
        lock: AbstractContextManager[Any] = import_module("modules.call_queue").queue_lock
        return lock

    @contextmanager
    def job(self, title: str) -> Iterator[None]:
        """Context for a job outside of any generation."""
        state = self._shared.state
        with self.queue_lock():
            state.begin(job=title)
            try:
                yield
            finally:
                state.end()
                state.textinfo = None
                state.interrupted = state.skipped = False

    def say(self, text: str) -> None:
        """Set the text of the progress bar."""
        self._shared.state.textinfo = text or None

    def warn(self, text: str) -> None:
        """Print a message and show a toast if the calling page is known."""
        print(f"Prodshot: {text}")
        with suppress(Exception):
            import_module("gradio").Warning(f"Prodshot: {text}")

    def interrupted(self) -> bool:
        """Whether the user asked to interrupt, skip or stop."""
        state = self._shared.state
        return bool(state.interrupted or state.skipped or state.stopping_generation)

    def interrupt(self) -> None:
        """Interrupt sampling."""
        self._shared.state.interrupt()

    def models_dir(self) -> Path:
        """The folder of finders' weights: the settings page's, else ours in the WebUI's models folder."""
        text = str(self.option("prodshot_models_dir", "") or "").strip()
        return Path(text).expanduser() if text else self.models_path() / "prodshot"

    def use_finder(self, name: str = "auto") -> AbstractContextManager[Finder]:
        """Context with a cached finder (unloaded afterwards if the settings page says so)."""
        keep = bool(self.option("prodshot_keep_loaded", True))
        return finder_cache.use_finder(name, self.models_dir(), self._memory, self.say, keep)

    def inpainting_backend(self, parent: Any = None, index: int = 0) -> NestedPassBackend:
        """The inpainting backend for picture `index` of `parent`."""
        defaults = PassDefaults() if parent is None else inherited_defaults(parent, index)
        return NestedPassBackend(parent, defaults, pick_controlnet())

    def training(self) -> WebUITraining:
        """The training services."""
        return WebUITraining(self._memory, self.queue_lock())

    def upscaler(self, name: str) -> HostUpscaler:
        """The WebUI's upscaler of that name. Raises `RequestError`."""
        return HostUpscaler(name, self._shared.sd_upscalers)

    def save(self, picture: Image.Image, parent: Any, index: int, infotext: str, suffix: str = "") -> Saved:
        """Save a picture beside the host's own, with its naming and format. Raises `OutputError`."""
        defaults = inherited_defaults(parent, index)
        target = parent.outpath_samples
        kind = self.option("samples_format", "png")
        # what is written may be changed on the way, by other extensions and by forks
        written = picture.copy()
        try:
            with patch.dict(self._shared.opts.data, _EXACT_SAVING):
                path, _ = import_module("modules.images").save_image(
                    written, target, "", defaults.seed, defaults.prompt, kind, info=infotext, p=parent, suffix=suffix
                )
        except OSError as error:
            raise OutputError(f"the picture could not be written to {target}: {error}") from error
        # by this the page's gallery shows the file instead of writing another
        setattr(picture, _SAVED_AS, path)
        return Saved(Path(path), infotext)

    def lossy_format(self) -> str:
        """The WebUI's file format if it is lossy; empty if lossless."""
        kind = str(self.option("samples_format", "png")).lower()
        if kind == "webp" and self.option("webp_lossless", False):
            return ""
        return kind if kind in ("jpg", "jpeg", "webp", "avif") else ""


def _importable(module: str) -> bool:
    try:
        import_module(module)
    except ImportError:
        return False
    return True
