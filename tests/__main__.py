"""`python3 -m tests [pytest arguments]`: the whole suite in its own environment, on a machine with only Python.

Makes or reuses `.venvs/tests`, the environments with the WebUIs' pins and those of the other Pythons, fetches the lite
weights, then runs ruff and pytest, and mypy beside them. With arguments only pytest runs, with them. Ends in pytest's
own closing line.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from lib_prodshot.interpreter import refuse_wrong_python

refuse_wrong_python()

from lib_prodshot.bootstrap import ROOT, BootstrapError, prepare, run_in  # noqa: E402 - an old Python cannot read it
from tests import environments  # noqa: E402

WORKERS = ["-n", str(min(6, (os.cpu_count() or 1) + 2)), "--dist", "loadscope", "--no-loadscope-reorder"]
"""For the whole suite: much of it waits for servers, browsers and pauses. Two workers only wait for the pages' suites
of the two sets of pins, which leave a core half idle for minutes, so two more than there are cores pay."""


def main() -> int:
    """Run everything; returns the exit code of the first step that failed."""
    os.chdir(ROOT)
    # the workers, and the processes they start, share the cores: threads of their own would only wait for one another
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    _keep_bytecode()
    arguments = sys.argv[1:]
    try:
        return _run(arguments)
    except BootstrapError as error:
        print(f"tests: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("tests: interrupted; the same command goes on from here", file=sys.stderr)
        return 130


def _keep_bytecode() -> None:
    """Let every process of the run share compiled modules, beside the environments and not in the checkout.

    The suite starts hundreds of processes, and half of each one's start was compiling the packages that it imports.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ.setdefault("PYTHONPYCACHEPREFIX", str(ROOT / ".venvs" / "bytecode"))


def _run(arguments: list[str]) -> int:
    weights = ["-m", "lib_prodshot", "weights", "fetch", "lite"]
    if arguments:
        with _prepared_meanwhile():
            code = _step(weights)
        return code or _step(["-m", "pytest", *arguments])
    # without its cache mypy takes most of a minute of one core, and nothing waits for it
    with ThreadPoolExecutor(1) as beside:
        with _prepared_meanwhile():
            types = beside.submit(_step, ["-m", "mypy"])
            # collected once alone: the workers, which all begin at the same file, would each compile all modules
            for step in (weights, ["-m", "ruff", "check", "."], ["-m", "pytest", "--collect-only", "-qq", "-rN"]):
                code = _step(step)
                if code:
                    return code
        code = _step(["-m", "pytest", *WORKERS])
        if types.result():
            print("tests: mypy has found something; it is said above", file=sys.stderr)
        return code or types.result()


def _step(argv: list[str]) -> int:
    print("tests:", " ".join(argv[1:]), flush=True)
    return run_in(environments.TESTS, argv)


UVS_NAMES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "constraint": "UV_CONSTRAINT",
}
"""pip's settings that say where packages come from, and uv's variables for the same."""


def _let_uv_follow_pip() -> None:
    """uv reads none of pip's settings, and they say where a machine without a GPU has its torch from."""
    command = [str(environments.UV.interpreter()), "-m", "pip", "config", "list"]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    # a section of the file such as global.index-url; a variable such as :env:.index-url comes first, and decides
    for section, name, value in re.findall(r"^(\S+?)\.([\w-]+)='(.*)'$", said, re.MULTILINE):
        if name in UVS_NAMES and section in (":env:", "global", "install"):
            os.environ.setdefault(UVS_NAMES[name], " ".join(value.replace("\\n", " ").split()))
    os.environ.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")


@contextmanager
def _prepared_meanwhile() -> Iterator[None]:
    """Make the suite's own environment, then the block runs while the others are made, two at a time.

    Where those with pins or of another Python cannot be, their tests skip and say why. In CI that is an error: there
    every test is to run.
    """
    uv = prepare(environments.UV).with_name("uv.exe" if os.name == "nt" else "uv")
    _let_uv_follow_pip()
    reason = environments.why_no_pins()
    pinned = [] if reason else [*environments.HOSTS.values(), *environments.PINS.values()]
    others = [environment for environment in environments.OTHER_PYTHONS.values() if environment.python]
    with ThreadPoolExecutor(2) as pool:
        made = [pool.submit(prepare, environment, uv=uv) for environment in others]
        if pinned:
            prepare(environments.TORCH, uv=uv)
        made += [pool.submit(prepare, environment, uv=uv) for environment in pinned]
        prepare(environments.TESTS, uv=uv)
        yield
    try:
        for one in made:
            one.result()
    except BootstrapError as error:
        reason = str(error)
    if reason and os.environ.get("CI"):
        raise BootstrapError(reason)
    if reason:
        print(f"tests: some tests under pins or other Pythons are skipped: {reason}", file=sys.stderr)


if __name__ == "__main__":
    raise SystemExit(main())
