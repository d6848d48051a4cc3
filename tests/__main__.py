"""`python3 -m tests [pytest arguments]`: the whole suite in its own environment, on a machine with only Python.

Makes or reuses `.venvs/tests`, the environments with the WebUIs' pins and those of the other Pythons, fetches the lite
weights, then runs ruff, mypy and pytest. With arguments only pytest runs, with them. Ends in pytest's own closing line.
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor

from lib_prodshot.interpreter import refuse_wrong_python

refuse_wrong_python()

from lib_prodshot.bootstrap import ROOT, BootstrapError, prepare, run_in  # noqa: E402 - an old Python cannot read it
from tests import environments  # noqa: E402

WORKERS = ["-n", str(max(2, min(4, os.cpu_count() or 1))), "--dist", "loadgroup", "--no-loadscope-reorder"]
"""For the whole suite: much of it waits for processes of its own, so two workers pay on any machine."""


def main() -> int:
    """Run everything; returns the exit code of the first step that failed."""
    os.chdir(ROOT)
    # the workers, and the processes they start, share the cores: threads of their own would only wait for one another
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    arguments = sys.argv[1:]
    try:
        return _run(arguments)
    except BootstrapError as error:
        print(f"tests: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("tests: interrupted; the same command goes on from here", file=sys.stderr)
        return 130


def _run(arguments: list[str]) -> int:
    _prepare_all()
    steps = [["-m", "lib_prodshot", "weights", "fetch", "lite"]]
    if not arguments:
        steps += [["-m", "ruff", "check", "."], ["-m", "mypy"]]
    steps.append(["-m", "pytest", *(arguments or WORKERS)])
    for step in steps:
        print("tests:", " ".join(step[1:]), flush=True)
        code = run_in(environments.TESTS, step)
        if code:
            return code
    return 0


def _prepare_all() -> None:
    """Make the environments, two at a time. Where those with pins or of another Python cannot be, their tests skip and
    say why.

    In CI that is an error: there every test is to run.
    """
    reason = environments.why_no_pins()
    others = [environment for environment in environments.OTHER_PYTHONS.values() if environment.python]
    wanted = [environments.TESTS, *([] if reason else environments.PINS.values()), *others]
    if not reason:
        prepare(environments.TORCH)
    with ThreadPoolExecutor(2) as pool:
        tests, *more = (pool.submit(prepare, environment) for environment in wanted)
    tests.result()
    try:
        for made in more:
            made.result()
    except BootstrapError as error:
        reason = str(error)
    if reason and os.environ.get("CI"):
        raise BootstrapError(reason)
    if reason:
        print(f"tests: some tests under pins or other Pythons are skipped: {reason}", file=sys.stderr)


if __name__ == "__main__":
    raise SystemExit(main())
