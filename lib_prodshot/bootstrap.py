"""Virtual environments inside the checkout (`.venvs/NAME`): creation, update and reuse. Standard library only.

An environment is complete only when its stamp, written last, matches its recipe: an interrupted creation has no
stamp and is repeated, a changed recipe is installed on top. A complete environment is reused without network
access. No environment outside `.venvs` is read or changed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from lib_prodshot.locks import exclusive

ROOT = Path(__file__).resolve().parent.parent
STAMP = "prodshot.json"
LAYERS_FILE = "zz_prodshot_layers.pth"

# variables by which a surrounding environment or a user's pip settings would change ours
_FOREIGN_VARIABLES = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
_FOREIGN_PIP_SETTINGS = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_PYTHON")
_OWN_VARIABLES = {"PYTHONNOUSERSITE": "1", "PIP_USER": "0"}


class BootstrapError(Exception):
    """An environment that could not be created. The text is one plain sentence saying what to do."""


@dataclass(frozen=True)
class Environment:
    """The recipe of one environment.

    `extras` installs the project's own dependencies with these extras from pyproject.toml (None: not at all);
    `requirements` are resolved together with them, `alone` are installed afterwards without their dependencies.
    `layers` are environments of the same Python whose packages stand behind this one's own, so that large ones
    (torch) are installed once. `python` is the interpreter to make it from, this one unless told.
    """

    name: str
    extras: tuple[str, ...] | None = None
    requirements: tuple[str, ...] = ()
    alone: tuple[str, ...] = ()
    layers: tuple[Environment, ...] = ()
    python: str = sys.executable

    def folder(self, root: Path = ROOT) -> Path:
        """The environment's folder."""
        return root / ".venvs" / self.name

    def interpreter(self, root: Path = ROOT) -> Path:
        """The environment's own Python."""
        relative = "Scripts/python.exe" if os.name == "nt" else "bin/python"
        return self.folder(root) / relative


DEMO = Environment("demo", extras=("lite", "train"))


def run_in(environment: Environment, argv: Sequence[str], root: Path = ROOT, cwd: Path | None = None) -> int:
    """Make or reuse `environment`, run its Python with `argv`, and return the exit code (128 + signal if killed).

    Raises `BootstrapError`.
    """
    python = prepare(environment, root)
    process = subprocess.Popen([str(python), *argv], env=clean_variables(), cwd=cwd)
    while True:
        try:
            code = process.wait()
            return code if code >= 0 else 128 - code
        except KeyboardInterrupt:
            # the child got the same signal from the terminal and ends in its own way
            continue


def prepare(environment: Environment, root: Path = ROOT, uv: Path | None = None) -> Path:
    """Make, update or reuse `environment` and its layers; returns its Python. Raises `BootstrapError`.

    With `uv` (the executable) packages, pip itself among them, are installed by it where it can, which takes an eighth
    of pip's time.
    """
    for layer in environment.layers:
        prepare(layer, root, uv)
    if is_whole(environment, root):
        return environment.interpreter(root)
    with _os_errors_converted(environment, root):
        environment.folder(root).parent.mkdir(parents=True, exist_ok=True)
        with exclusive(root / ".venvs" / f"{environment.name}.lock", lambda: _print_waiting(environment)):
            if not is_whole(environment, root):
                _build(environment, root, uv)
    return environment.interpreter(root)


def is_whole(environment: Environment, root: Path = ROOT) -> bool:
    """Whether the environment is complete and was created by exactly this recipe."""
    python = environment.interpreter(root)
    return python.exists() and _read_stamp(environment, root).get("recipe") == _recipe(environment, root)


def inside(environment: Environment, root: Path = ROOT) -> bool:
    """Whether this process runs in `environment`."""
    return Path(sys.prefix).resolve() == environment.folder(root).resolve()


def is_checkout(root: Path = ROOT) -> bool:
    """Whether the package is in a checkout of the project, not an installed one."""
    return (root / "pyproject.toml").is_file()


def clean_variables() -> dict[str, str]:
    """This process's environment variables without those that make other environments' packages visible."""
    foreign = {*_FOREIGN_VARIABLES, *_FOREIGN_PIP_SETTINGS}
    return {**{name: value for name, value in os.environ.items() if name not in foreign}, **_OWN_VARIABLES}


def find_python(versions: Sequence[str]) -> str | None:
    """An interpreter of one of `versions` ("3.11"), the first that there is: this one, on the PATH, under pyenv."""
    for version in versions:
        for candidate in _candidates(version):
            if _version_of(candidate) == version:
                return candidate
    return None


def _candidates(version: str) -> Iterator[str]:
    yield sys.executable
    on_path = shutil.which(f"python{version}")
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    # a shim starts shells to find out which of those below is meant: half a second where a Python answers in a tenth
    if on_path and Path(on_path).parent != pyenv / "shims":
        yield on_path
    relative = "python.exe" if os.name == "nt" else "bin/python"
    for folder in sorted((pyenv / "versions").glob(f"{version}.*")):
        yield str(folder / relative)


@cache
def _version_of(python: str) -> str:
    if python == sys.executable:
        return "{}.{}".format(*sys.version_info[:2])
    question = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
    try:
        answer = subprocess.run([python, "-c", question], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""


def _recipe(environment: Environment, root: Path) -> dict[str, Any]:
    """The recipe as data; any change of it causes an update of the environment."""
    project = (root / "pyproject.toml").read_bytes() if environment.extras is not None else b""
    return {
        "python": f"{platform.machine()} {_version_of(environment.python)}",
        "root": str(root),
        "requirements": [*environment.requirements],
        "alone": [*environment.alone],
        "extras": [*(environment.extras or ())],
        "project": hashlib.sha256(project).hexdigest(),
        "layers": [[layer.name, _recipe(layer, root)] for layer in environment.layers],
    }


def _read_stamp(environment: Environment, root: Path) -> dict[str, Any]:
    try:
        stamp = json.loads((environment.folder(root) / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def _build(environment: Environment, root: Path, uv: Path | None) -> None:
    folder = environment.folder(root)
    stamp_file = folder / STAMP
    former = _read_stamp(environment, root)
    recipe = _recipe(environment, root)
    progress = _Progress(f"making the {environment.name} environment")
    kept = former.get("recipe", {})
    if (kept.get("python"), kept.get("root")) != (recipe["python"], recipe["root"]) or not _runs(environment, root):
        former = {}
        _create(environment, root, progress, uv)
    _write_layers(environment, root)
    wanted = _wanted(environment, root)
    if former.get("wanted") != wanted:
        # without its stamp, what an interrupted pip leaves can never pass for whole
        stamp_file.unlink(missing_ok=True)
        try:
            _install(environment, root, wanted, progress, uv)
        except BootstrapError:
            if former:
                _write_stamp(stamp_file, former)
            raise
    _write_stamp(stamp_file, {"recipe": recipe, "wanted": wanted})
    progress.end(f"the {environment.name} environment is ready in {os.path.relpath(folder)}")


def _create(environment: Environment, root: Path, progress: _Progress, uv: Path | None) -> None:
    folder = environment.folder(root)
    if environment.python == sys.executable and not all(map(importlib.util.find_spec, ("venv", "ensurepip"))):
        raise BootstrapError(_no_venv())
    if folder.exists():
        shutil.rmtree(folder)
    progress.show("making it anew")
    # ensurepip takes six seconds of processor time, and uv a tenth of one for the same
    without_pip = ["--without-pip"] if uv else []
    _run_to_create([environment.python, "-m", "venv", *without_pip, str(folder)], environment, root)
    if uv and not _install_by_uv(uv, environment, root, ["pip"]):
        _run_to_create([str(environment.interpreter(root)), "-m", "ensurepip"], environment, root)


def _run_to_create(command: Sequence[str], environment: Environment, root: Path) -> None:
    made = subprocess.run(command, capture_output=True, text=True, env=clean_variables(), check=False)
    if made.returncode == 0:
        return
    said = made.stdout + made.stderr
    if "ensurepip" in said or "No module named venv" in said:
        raise BootstrapError(_no_venv())
    _raise_for_disk(said, root)
    raise BootstrapError(f"python -m venv could not make {environment.folder(root)}: {_last_line(said)}")


def _no_venv() -> str:
    version = "{}.{}".format(*sys.version_info[:2])
    return (
        f"this Python {version} has no venv module: install it (on Debian and Ubuntu: apt install "
        f"python{version}-venv) and run the same command again."
    )


def _runs(environment: Environment, root: Path) -> bool:
    """Whether the environment's Python still starts (its base may have been removed or upgraded away)."""
    python = environment.interpreter(root)
    if not python.exists():
        return False
    try:
        return subprocess.run([str(python), "-c", ""], timeout=60, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def site_packages(environment: Environment, root: Path = ROOT) -> Path:
    """The environment's site-packages folder; the environment must exist."""
    folder = environment.folder(root)
    if os.name == "nt":
        return folder / "Lib" / "site-packages"
    return next((folder / "lib").glob("python3.*")) / "site-packages"


def _write_layers(environment: Environment, root: Path) -> None:
    """Append the layers' packages to the environment's path, by a .pth file that Python reads at each start."""
    behind = [str(site_packages(layer, root)) for layer in _all_layers(environment)]
    link = site_packages(environment, root) / LAYERS_FILE
    if behind:
        link.write_text("\n".join(behind) + "\n", encoding="utf-8")
    else:
        link.unlink(missing_ok=True)


def _all_layers(environment: Environment) -> tuple[Environment, ...]:
    found: dict[str, Environment] = {}
    for layer in environment.layers:
        for each in (layer, *_all_layers(layer)):
            found.setdefault(each.name, each)
    return tuple(found.values())


def _wanted(environment: Environment, root: Path) -> dict[str, list[str]]:
    """What pip is to install: 'together' with dependencies, then 'alone' without."""
    project = [] if environment.extras is None else _project_requirements(environment, root)
    return {"together": [*project, *environment.requirements], "alone": [*environment.alone]}


# Python 3.10 has no tomllib of its own; the environment's pip carries one
_READ_PROJECT = """
import json, sys
try:
    import tomllib
except ImportError:
    from pip._vendor import tomli as tomllib
with open(sys.argv[1], "rb") as file:
    project = tomllib.load(file)["project"]
extras = project["optional-dependencies"]
print(json.dumps(project["dependencies"] + [one for name in sys.argv[2:] for one in extras[name]]))
"""


def _project_requirements(environment: Environment, root: Path) -> list[str]:
    command = [str(environment.interpreter(root)), "-c", _READ_PROJECT, str(root / "pyproject.toml")]
    command.extend(environment.extras or ())
    answer = subprocess.run(command, capture_output=True, text=True, env=clean_variables(), check=False)
    if answer.returncode:
        raise BootstrapError(f"pyproject.toml could not be read: {_last_line(answer.stderr)}")
    requirements: list[str] = json.loads(answer.stdout)
    return requirements


def _install(
    environment: Environment, root: Path, wanted: Mapping[str, list[str]], progress: _Progress, uv: Path | None
) -> None:
    log = _log_of(environment, root)
    log.write_text("", encoding="utf-8")
    for options, requirements in (([], wanted["together"]), (["--no-deps"], wanted["alone"])):
        arguments = [*options, *requirements]
        if requirements and not (uv and _install_by_uv(uv, environment, root, arguments)):
            _pip(environment, root, arguments, log, progress)


def _install_by_uv(uv: Path, environment: Environment, root: Path, arguments: Sequence[str]) -> bool:
    """Whether uv installed them. It reads none of pip's settings: where it fails, pip is to try and to say why."""
    command = [str(uv), "pip", "install", "--python", str(environment.interpreter(root)), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=clean_variables(), check=False)
    with _log_of(environment, root).open("a", encoding="utf-8") as file:
        file.write(done.stdout + done.stderr)
    return done.returncode == 0


def _log_of(environment: Environment, root: Path) -> Path:
    return root / ".venvs" / f"{environment.name}.log"


def _pip(environment: Environment, root: Path, arguments: list[str], log: Path, progress: _Progress) -> None:
    command = [str(environment.interpreter(root)), "-m", "pip", "install", "--no-input", "--retries", "2"]
    # modules are compiled when first imported; most never are
    command += ["--disable-pip-version-check", "--progress-bar", "off", "--no-compile", *arguments]
    said: list[str] = []
    with log.open("a", encoding="utf-8") as file:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=clean_variables(),
        )
        assert process.stdout is not None
        try:
            for line in process.stdout:
                file.write(line)
                said.append(line.strip())
                progress.show(_condense(line))
        except BaseException:
            process.kill()
            raise
        finally:
            code = process.wait()
    if code:
        progress.end("")
        raise BootstrapError(_pip_failure("\n".join(said), root, log))


def _condense(line: str) -> str:
    """Shorten a line of pip's output; empty if it is of no interest."""
    words = line.split()
    if not words:
        return ""
    if words[0] in ("Collecting", "Downloading") and len(words) > 1:
        name = words[1].rpartition("/")[2]
        size = next((part for part in re.findall(r"\(([\d.]+ [kMG]B)\)", line)), "")
        return f"{words[0].lower()} {name} {size}".rstrip()
    if line.startswith("Installing collected packages"):
        return f"unpacking {line.count(',') + 1} packages"
    return "building a package" if words[0] == "Building" else ""


_NO_NETWORK = re.compile(
    r"NewConnectionError|NameResolutionError|Failed to establish|name resolution|ConnectTimeout|ReadTimeout|"
    r"Network is unreachable|ProxyError|ConnectionResetError|Connection refused|Max retries exceeded"
)


def _pip_failure(said: str, root: Path, log: Path) -> str:
    _raise_for_disk(said, root)
    if _NO_NETWORK.search(said):
        return (
            "the package index cannot be reached: connect this machine to the network (or set the proxy that pip "
            "is to use) and run the same command again."
        )
    missing = re.search(r"No matching distribution found for (\S+)", said)
    if missing:
        version = "{}.{}".format(*sys.version_info[:2])
        return (
            f"the package index has no {missing[1]} for Python {version} on {platform.system()} "
            f"{platform.machine()}: try another Python from 3.10 to 3.13, or look into {log}."
        )
    errors = [line for line in said.splitlines() if line.startswith("ERROR")]
    reason = _last_line("".join(errors[-1:]) or said)
    return f"pip could not install the packages ({reason}); all it said is in {log}."


def _raise_for_disk(said: str, root: Path) -> None:
    if "No space left on device" in said:
        raise BootstrapError(f"the disk that holds {root} is full: free some space and run the same command again.")


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "no reason given"


def _write_stamp(path: Path, stamp: Mapping[str, Any]) -> None:
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(stamp), encoding="utf-8")
    beside.replace(path)


def _print_waiting(environment: Environment) -> None:
    print(f"prodshot: another process is making the {environment.name} environment; waiting for it", file=sys.stderr)


@contextmanager
def _os_errors_converted(environment: Environment, root: Path) -> Iterator[None]:
    """Convert an OSError into a `BootstrapError` of one sentence."""
    try:
        yield
    except OSError as error:
        _raise_for_disk(str(error), root)
        message = (
            f"{environment.folder(root)} cannot be written ({error.strerror or error}): put the project into a folder "
            "that you may write to and run the same command from there."
        )
        raise BootstrapError(message) from error


class _Progress:
    """Progress line on standard error, rewritten in place on a terminal, printed once in a pipe."""

    def __init__(self, title: str, stream: Any = None, width: Callable[[], int] | None = None) -> None:
        self.title = title
        self.stream = stream or sys.stderr
        self.width = width or (lambda: shutil.get_terminal_size().columns)
        self.live = bool(getattr(self.stream, "isatty", lambda: False)())
        self.shown = False

    def show(self, what: str) -> None:
        """Show the current action; an empty text changes nothing."""
        if self.live and what:
            columns = max(20, self.width() - 1)
            self.stream.write("\r" + f"{self.title}: {what}"[:columns].ljust(columns))
        elif not self.live and not self.shown:
            self.stream.write(f"{self.title} (this happens once and takes a minute or two)\n")
        self.shown = self.shown or not self.live or bool(what)
        self.stream.flush()

    def end(self, what: str) -> None:
        """Finish the line; `what` is the last word, if anything was shown at all."""
        if not self.shown:
            return
        if self.live:
            columns = max(20, self.width() - 1)
            self.stream.write("\r" + " " * columns + "\r")
        if what:
            self.stream.write(what + "\n")
        self.stream.flush()
        self.shown = False
