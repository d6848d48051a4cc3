"""Starts a real WebUI on a data folder of its own, speaks HTTP to it, and ends it. Standard library and Pillow only."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from lib_prodshot.bootstrap import ROOT

HARNESS = Path(__file__).parent / "harness"
TINY = Path(__file__).parent / "tiny.py"

TINY_CONFIG = "tiny-config"
"""The folder in a data folder by which the harness tells a host of the tiny checkpoint."""

COMMON_FLAGS = (
    "--skip-prepare-environment",
    "--skip-torch-cuda-test",
    "--skip-version-check",
    "--skip-python-version-check",
    "--no-download-sd-model",
    "--disable-console-progressbars",
    "--api",
    "--server-name=127.0.0.1",
)
FLAGS = {
    "a1111": ("--use-cpu=all", "--no-half", "--precision=full", "--opt-sdp-attention", "--do-not-download-clip"),
    "forge": ("--always-cpu", "--all-in-fp32", "--attention-pytorch"),
    "reforge": ("--always-cpu", "--all-in-fp32", "--attention-pytorch"),
    "classic": ("--always-cpu", "--all-in-fp32", "--attention-pytorch"),
    "neo": ("--cpu", "--force-fp32", "--use-pytorch-cross-attention"),
}
NOT_KNOWN = {"a1111": ("--skip-python-version-check",), "neo": ("--no-download-sd-model",)}
"""Common flags that a host's argument parser refuses."""

READY = "Startup time:"
"""The line after which a WebUI may be spoken to: requests before it can kill the server."""

SETTINGS = {
    "live_previews_enable": False,
    "save_to_dirs": False,
    "grid_save": False,
    "samples_filename_pattern": "[seed]",
}

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class NotStarted(Exception):
    """The WebUI did not come up; carries the end of its log."""


@dataclass(frozen=True)
class Installation:
    """A WebUI on this machine: which kind, where, and the Python that runs it."""

    host: str
    folder: Path
    python: Path


@dataclass
class Server:
    """A running WebUI."""

    installation: Installation
    data: Path
    process: subprocess.Popen[bytes]
    port: int
    log: Path
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str) -> Any:
        return self._speak(path, None)[1]

    def post(self, path: str, body: Any) -> Any:
        """The answer's JSON; fails for any status but 200."""
        status, answer = self._speak(path, body)
        assert status == 200, (path, status, str(answer)[:2000], self.tail())
        return answer

    def refused(self, path: str, body: Any) -> tuple[int, Any]:
        """Status and answer of a request that is not to be accepted."""
        return self._speak(path, body)

    def _speak(self, path: str, body: Any) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        try:
            with _OPENER.open(request, timeout=600) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            text = error.read()
            try:
                return error.code, json.loads(text)
            except ValueError:
                return error.code, text.decode(errors="replace")

    def counts(self) -> dict[str, Any]:
        """What has been sampled so far."""
        return self.get("/harness/counts")  # type: ignore[no-any-return]

    def text(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def tail(self, lines: int = 40) -> str:
        return "\n".join(self.text().splitlines()[-lines:])

    def outputs(self) -> set[Path]:
        """Every picture that the WebUI has written; classic and neo call the folder `output`."""
        return {path for folder in self.data.glob("output*") for path in folder.rglob("*.png")}

    def stop(self) -> None:
        """End the server and whatever it started."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(30)


def encode(image: Image.Image) -> str:
    """A picture as the API takes it."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def decode(text: str) -> Image.Image:
    """A picture as the API gives it."""
    image = Image.open(io.BytesIO(base64.b64decode(text.split(",")[-1])))
    image.load()
    return image


def make_tiny_models(installation: Installation, folder: Path) -> None:
    """The tiny models, made once and kept until `tiny.py` changes."""
    stamp, wanted = folder / "made-by.txt", TINY.read_text(encoding="utf-8")
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return
    shutil.rmtree(folder, ignore_errors=True)
    command = [str(installation.python), str(TINY), str(installation.folder), str(folder)]
    done = subprocess.run(command, cwd=installation.folder, env=quiet_environment(), capture_output=True, text=True)
    if done.returncode:
        raise NotStarted(f"the tiny models could not be made:\n{done.stderr[-3000:]}")
    stamp.write_text(wanted, encoding="utf-8")


def _make_tiny_config(installation: Installation, folder: Path) -> None:
    """A description of the tiny checkpoint in Forge's and neo's own form: their SD1.5 with the tiny widths. Other hosts
    have nothing of the kind."""
    folder.mkdir(exist_ok=True)
    source = installation.folder / "backend" / "huggingface" / "runwayml" / "stable-diffusion-v1-5"
    if not source.is_dir():
        return
    shutil.copytree(source, folder, dirs_exist_ok=True)
    text = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    widths = [32, 64, 128, 128]
    changes: dict[str, dict[str, Any]] = {
        "text_encoder/config.json": {**text, "projection_dim": 64},
        "vae/config.json": {"block_out_channels": widths, "layers_per_block": 1},
        "unet/config.json": {"block_out_channels": widths, "cross_attention_dim": 64, "attention_head_dim": 1},
    }
    for name, values in changes.items():
        file = folder / name
        file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def overlaid(installation: Installation, folder: Path) -> Installation:
    """The same WebUI run by a virtual environment that sees its packages and keeps its own apart."""
    command = [str(installation.python), "-m", "venv", "--without-pip", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (base,) = installation.python.parent.parent.glob("lib/python*/site-packages")
    (site / "webui.pth").write_text(f"{base}\n")
    return Installation(installation.host, installation.folder, folder / "bin" / "python")


def run_installer(installation: Installation) -> str:
    """Run our `install.py` as the WebUI's launcher does; returns what it said."""
    environment = {**os.environ, "PYTHONPATH": str(installation.folder)}
    command = [str(installation.python), str(ROOT / "install.py")]
    done = subprocess.run(command, cwd=installation.folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise NotStarted(f"install.py failed:\n{done.stdout}\n{done.stderr}")
    return done.stdout


def lay_out(
    installation: Installation, data: Path, models: Path, finder_models: Path | None, ours: bool, **settings: Any
) -> None:
    """A data folder with links to the tiny models and the extensions; `ours` False leaves Prodshot out, `settings` are
    those of the WebUI's settings page, beside the suite's own."""
    for kind in sorted((models / "models").iterdir()):
        target = data / "models" / kind.name
        target.mkdir(parents=True, exist_ok=True)
        for file in kind.iterdir():
            _link(target / file.name, file)
    extensions = data / "extensions"
    extensions.mkdir(parents=True, exist_ok=True)
    _link(extensions / HARNESS.name, HARNESS)
    controlnet = installation.folder / "extensions" / "sd-webui-controlnet"
    if installation.host == "a1111" and controlnet.is_dir():
        _link(extensions / controlnet.name, controlnet)
    for extra in os.environ.get("PRODSHOT_TEST_EXTENSIONS", "").split(os.pathsep):
        if extra:
            _link(extensions / Path(extra).name, Path(extra))
    if ours:
        _link(extensions / "sd-webui-prodshot", ROOT)
    previews = installation.folder / "models" / "VAE-approx"
    if previews.is_dir():
        # reForge fetches them at every call where they are missing
        _link(data / "models" / "VAE-approx", previews)
    if finder_models is not None:
        _link(data / "models" / "prodshot", finder_models)
    _make_tiny_config(installation, data / TINY_CONFIG)
    (data / "config.json").write_text(json.dumps({**SETTINGS, **_settings_version(installation), **settings}))


def _settings_version(installation: Installation) -> dict[str, str]:
    """neo starts only with settings that name its version of them; its launcher has that."""
    launcher = (installation.folder / "modules" / "launch_utils.py").read_text(encoding="utf-8")
    return dict(re.findall(r"^(VERSION_UID)\b[^=]*= \"(.+)\"$", launcher, re.MULTILINE))


def _link(place: Path, target: Path) -> None:
    if not place.exists():
        place.symlink_to(target)


def quiet_environment(**more: str) -> dict[str, str]:
    """No network, one thread, nothing written beside the sources."""
    quiet = {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "GRADIO_ANALYTICS_ENABLED": "False",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "NO_ALBUMENTATIONS_UPDATE": "1",
        "no_proxy": "*",
    }
    return {**os.environ, "OMP_NUM_THREADS": "1", **quiet, **more}


def start(installation: Installation, data: Path, *flags: str, wait: float = 300, **environment: str) -> Server:
    """Start the WebUI and wait for its ready line. Raises `NotStarted`."""
    port, log = _free_port(), data / "webui.log"
    common = [flag for flag in COMMON_FLAGS if flag not in NOT_KNOWN.get(installation.host, ())]
    command = [str(installation.python), "launch.py", *common, *FLAGS[installation.host]]
    # gradio 4 serves nothing from outside of the data folder by itself, not even the WebUI's own scripts
    command += [f"--port={port}", f"--data-dir={data}", f"--gradio-allowed-path={installation.folder}", *flags]
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            cwd=installation.folder,
            env=quiet_environment(PRODSHOT_TINY_CONFIG=str(data / TINY_CONFIG), **environment),
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = Server(installation, data, process, port, log)
    end = time.monotonic() + wait
    # without its page classic says so before it listens
    while READY not in server.text() or not _listens(port):
        if process.poll() is not None or time.monotonic() > end:
            server.stop()
            raise NotStarted(f"{installation.host} did not start:\n{server.tail()}")
        time.sleep(0.3)
    return server


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
