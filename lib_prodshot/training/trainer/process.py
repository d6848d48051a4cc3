"""sd-scripts as a subprocess: streamed output, and termination with all its children."""

from __future__ import annotations

import codecs
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from lib_prodshot.training.errors import TrainerError
from lib_prodshot.training.recipe.recipe import Recipe
from lib_prodshot.training.trainer.sd_scripts import Trainer

CHUNK = 1 << 16
TERMINATION_TIMEOUT = 10.0
"""Seconds between terminating a process and killing it."""

_LINE_ENDS = re.compile(r"(\r\n|\r|\n)")


@dataclass(frozen=True)
class Line:
    """One line of output; `final` is false for a state of a progress bar that the next one overwrites."""

    text: str
    final: bool


class TrainerProcess:
    """A running subprocess and its children. Raises `TrainerError` when it cannot be started."""

    def __init__(self, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        try:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                # a Ctrl-C in the terminal goes to Prodshot alone, which terminates the process itself
                start_new_session=os.name != "nt",
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
        except OSError as error:
            raise TrainerError(f"{command[0]} does not start: {error}") from error
        self.pid = self._process.pid
        self.creation_time = creation_time(self.pid)

    def lines(self) -> Iterator[Line]:
        """Yield every line until the process has closed its output."""
        assert self._process.stdout is not None
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        left = ""
        while chunk := os.read(self._process.stdout.fileno(), CHUNK):
            parts = _LINE_ENDS.split(left + decoder.decode(chunk))
            left = parts.pop()
            for text, end in zip(parts[::2], parts[1::2]):
                yield Line(text, final=end != "\r")
        if left:
            yield Line(left, final=True)

    def wait(self) -> int:
        """Wait for the exit code; negative for the signal that ended the process."""
        return self._process.wait()

    def terminate(self) -> None:
        """Terminate the process and its children (data loaders, the processes of other GPUs), and kill what remains."""
        children: list[psutil.Process] = []
        with suppress(psutil.NoSuchProcess):
            children = psutil.Process(self.pid).children(recursive=True)
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.terminate()
        self._process.terminate()
        # only subprocess may wait for our own child: if psutil did, its exit code would be lost
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(TERMINATION_TIMEOUT)
        _, alive = psutil.wait_procs(children, timeout=TERMINATION_TIMEOUT if children else 0)
        for child in alive:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        self._process.kill()


def creation_time(pid: int) -> float:
    """When a process was created, 0 when there is none: together with the process id this is unique."""
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return 0.0


def is_alive(pid: int, created_at: float) -> bool:
    """Whether the process with this id and creation time still runs."""
    return (
        bool(pid)
        and abs(creation_time(pid) - created_at) < 1.0
        and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    )


def command(trainer: Trainer, recipe: Recipe, configs: tuple[Path, Path], options: Sequence[str]) -> list[str]:
    """The command line: both configuration files and the options of this start; several processes go through
    `accelerate launch`."""
    training, dataset = configs
    script = [
        str(trainer.checkout / recipe.model.script),
        "--config_file",
        str(training),
        "--dataset_config",
        str(dataset),
        *options,
    ]
    if recipe.processes == 1 and recipe.machines == 1:
        return [str(trainer.python), *script]
    return [str(trainer.python), "-m", "accelerate.commands.launch", *launch_options(recipe), *script]


def launch_options(recipe: Recipe) -> list[str]:
    """The options of `accelerate launch`, all of them, so that no configuration file of the user's changes any."""
    values = {
        "num_processes": recipe.processes,
        "num_machines": recipe.machines,
        "machine_rank": recipe.machine_rank,
        "mixed_precision": recipe.mixed_precision,
        "dynamo_backend": "no",
        "num_cpu_threads_per_process": recipe.num_cpu_threads_per_process,
        "main_process_ip": recipe.main_process_ip or None,
        "main_process_port": recipe.main_process_port,
    }
    options = [part for name, value in values.items() if value is not None for part in (f"--{name}", str(value))]
    return ["--multi_gpu", *options]
