"""Installs the trainer: sd-scripts at the pinned commit, and a virtual environment for it alone.

No other environment is read or changed: not the WebUI's, nor the one that this program runs in.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lib_prodshot.bootstrap import STAMP, BootstrapError, Environment, clean_variables, find_python, prepare
from lib_prodshot.downloads import megabytes
from lib_prodshot.training.errors import TrainerError
from lib_prodshot.training.trainer import sd_scripts
from lib_prodshot.training.trainer.sd_scripts import COMMIT, REPOSITORY, TAG, Trainer, TrainerInfo

PYTHONS = ("3.11", "3.10", "3.12")
"""Versions of Python that the packages sd-scripts pins are all built for, the best tried one first."""

GIGA = 1_000_000_000


@dataclass(frozen=True)
class Torch:
    """One PyTorch build: its pip requirements, and its approximate sizes in bytes to download and on disk."""

    requirements: tuple[str, ...]
    download: int
    disk: int
    description: str


def _wheels(kind: str, torch: str, vision: str, download: int, disk: int, description: str) -> Torch:
    pages = f"--extra-index-url=https://download.pytorch.org/whl/{kind}"
    return Torch((pages, f"torch=={torch}+{kind}", f"torchvision=={vision}+{kind}"), download, disk, description)


TORCHES = {
    # the version that sd-scripts is tested with; its README names the one for the RTX 50 series
    "cu124": _wheels("cu124", "2.6.0", "0.21.0", 3 * GIGA, 7 * GIGA, "NVIDIA GPUs up to the RTX 40 series"),
    "cu128": _wheels("cu128", "2.8.0", "0.23.0", 4 * GIGA, 8 * GIGA, "NVIDIA RTX 50 series"),
    "cpu": _wheels("cpu", "2.6.0", "0.21.0", GIGA // 2, 3 * GIGA // 2, "no GPU: slow, for trying out"),
    "pip": Torch(("torch>=2.6", "torchvision"), 3 * GIGA, 6 * GIGA, "whatever pip's own index has"),
}
OTHER_PACKAGES = (GIGA // 2, GIGA)
"""Download and disk sizes of all packages but PyTorch, in bytes."""

CHECKOUT_SIZE = 30_000_000


@dataclass(frozen=True)
class SetupPlan:
    """The plan of a setup: `checkout` is where sd-scripts is or will be; `provided`: by the user, so not fetched."""

    folder: Path
    checkout: Path
    provided: bool
    torch: str
    python: str

    @property
    def download(self) -> int:
        """Bytes to download, about."""
        return TORCHES[self.torch].download + OTHER_PACKAGES[0] + (0 if self._has_checkout() else CHECKOUT_SIZE)

    @property
    def disk(self) -> int:
        """Bytes on disk, about."""
        return TORCHES[self.torch].disk + OTHER_PACKAGES[1] + (0 if self._has_checkout() else CHECKOUT_SIZE)

    def to_text(self) -> str:
        """The plan for people, sizes first."""
        source = "the given checkout" if self.provided else f"{REPOSITORY} {TAG}"
        existing = next(path for path in (self.folder, *self.folder.parents) if path.exists())
        free = megabytes(shutil.disk_usage(existing).free)
        place = self.folder / ".venvs" / ENVIRONMENT
        return "\n".join(
            (
                f"download: about {megabytes(self.download)}; disk: about {megabytes(self.disk)} of {free} free",
                f"sd-scripts: {self.checkout} ({source})",
                f"environment: {place}, its own, made with {self.python}; nothing else is changed",
                f"PyTorch: {self.torch}, {TORCHES[self.torch].description}",
            )
        )

    @property
    def is_installed(self) -> bool:
        """Whether an earlier setup's environment exists, so that little more is needed."""
        return (self.folder / ".venvs" / ENVIRONMENT / STAMP).is_file()

    def _has_checkout(self) -> bool:
        return (self.checkout / sd_scripts.SCRIPT).is_file()


ENVIRONMENT = "trainer"


def plan(checkout: Path | None = None, torch: str = "auto", folder: Path | None = None) -> SetupPlan:
    """Plan a setup without changing anything. Raises `TrainerError`."""
    where = folder or sd_scripts.trainer_folder()
    if checkout is not None and not (checkout / sd_scripts.SCRIPT).is_file():
        raise TrainerError(f"{checkout} is no checkout of sd-scripts: it has no {sd_scripts.SCRIPT}")
    python = find_python(PYTHONS)
    if python is None:
        raise TrainerError(f"sd-scripts needs Python {', '.join(PYTHONS[:-1])} or {PYTHONS[-1]}, and none is installed")
    chosen = choose_torch() if torch == "auto" else torch
    target = (checkout or where / "sd-scripts").absolute()
    return SetupPlan(where.absolute(), target, checkout is not None, chosen, python)


def install(plan: SetupPlan, report: Callable[[str], None] = print) -> tuple[Trainer, TrainerInfo]:
    """Install the trainer; an interrupted setup is resumed. Raises `TrainerError`."""
    plan.folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(plan.folder).free
    if free < plan.disk and not plan.is_installed:
        raise TrainerError(
            f"{megabytes(plan.disk)} are needed and the disk that holds {plan.folder} has {megabytes(free)} free: free "
            "some space, or name another folder with --folder"
        )
    if not plan.provided:
        fetch_checkout(plan.checkout, report)
    environment = Environment(ENVIRONMENT, requirements=requirements(plan), python=plan.python)
    try:
        python = prepare(environment, plan.folder)
    except BootstrapError as error:
        raise TrainerError(f"{error}{_other_index(plan, str(error))}") from error
    trainer = Trainer(plan.checkout, python)
    report("starting sd-scripts once to see that it can")
    info = trainer.info(plan.folder / "probes", refresh=True)
    sd_scripts.save_location(trainer, plan.folder)
    commit = trainer.commit
    if commit and commit != COMMIT:
        report(f"note: {plan.checkout} is at {commit[:8]}; Prodshot is tried with {TAG} ({COMMIT[:8]})")
    return trainer, info


def _other_index(plan: SetupPlan, reason: str) -> str:
    """The option to try where PyTorch's own index cannot be reached or lacks the build, and pip's may do."""
    if plan.torch == "pip" or not re.search(r"package index", reason):
        return ""
    return " Where only PyTorch's own index is out of reach, `--torch pip` takes PyTorch from pip's."


def fetch_checkout(target: Path, report: Callable[[str], None] = print) -> None:
    """Fetch sd-scripts at the pinned commit into `target`, atomically. Raises `TrainerError`."""
    if (target / sd_scripts.SCRIPT).is_file():
        return
    if shutil.which("git") is None:
        advice = f"install git, or unpack {REPOSITORY} {TAG} yourself and name its folder with --sd-scripts"
        raise TrainerError(f"git is not installed: {advice}")
    report(f"getting sd-scripts {TAG} from {REPOSITORY}")
    if target.exists() and any(target.iterdir()):
        raise TrainerError(f"{target} holds something else than sd-scripts: take it away, or name another --folder")
    part = target.with_name(target.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    _git("init", "--quiet", str(part))
    _git("-C", str(part), "fetch", "--quiet", "--depth", "1", REPOSITORY, COMMIT)
    _git("-C", str(part), "-c", "advice.detachedHead=false", "checkout", "--quiet", COMMIT)
    if target.exists():
        target.rmdir()
    part.rename(target)


def requirements(plan: SetupPlan) -> tuple[str, ...]:
    """The pip requirements: PyTorch, and the pins of the checkout's own requirements.txt."""
    file = plan.checkout / "requirements.txt"
    try:
        lines = [line.split("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise TrainerError(f"{file} cannot be read: {error.strerror}") from error
    # "-e ." would install the checkout's `library` as a package; it is found by path. On machines without screen
    # libraries only the headless OpenCV can be imported
    packages = [re.sub(r"^opencv-python(?=\W|$)", "opencv-python-headless", line) for line in lines]
    packages = [line for line in packages if line and not line.startswith("-")]
    if plan.torch == "cpu" or sys.platform == "darwin":
        packages = [line for line in packages if not line.startswith("bitsandbytes")]
    return (*TORCHES[plan.torch].requirements, *packages)


def choose_torch() -> str:
    """Choose the PyTorch build for this machine's GPU, by nvidia-smi."""
    if sys.platform == "darwin":
        return "pip"
    command = ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        capabilities = [float(line) for line in answer.stdout.split()]
    except (OSError, subprocess.SubprocessError, ValueError):
        return "cpu"
    if not capabilities:
        return "cpu"
    return "cu128" if max(capabilities) >= 12 else "cu124"


def _git(*arguments: str) -> None:
    answer = subprocess.run(["git", *arguments], capture_output=True, text=True, env=clean_variables(), check=False)
    if answer.returncode:
        lines = answer.stderr.strip().splitlines() or ["no reason given"]
        advice = "or get it another way and name its folder with --sd-scripts"
        raise TrainerError(f"git could not bring sd-scripts ({lines[-1]}): look at the network, {advice}")
