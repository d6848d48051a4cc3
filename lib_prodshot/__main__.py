"""`python3 -m lib_prodshot COMMAND`: the command line, and on a bare machine the demo with all that it needs.

The demo always runs in its own environment, `.venvs/demo`, whatever the Python that calls it has installed; the
other commands run in the Python that calls them.
"""

import sys

from lib_prodshot.interpreter import refuse_wrong_python

refuse_wrong_python()

from lib_prodshot.bootstrap import (  # noqa: E402 - an old Python cannot read that file
    DEMO,
    BootstrapError,
    inside,
    is_checkout,
    is_whole,
    run_in,
)

# import name → what pip calls it; the rooms of the command line import these
NEEDED = {
    "numpy": "numpy",
    "cv2": "opencv-python-headless",
    "PIL": "pillow",
    "pydantic": "pydantic",
    "skimage": "scikit-image",
    "tqdm": "tqdm",
}


def main() -> int:
    """Run one command; returns the exit code."""
    if sys.argv[1:2] == ["demo"] and is_checkout() and not inside(DEMO):
        return _demo_in_its_environment()
    missing = _missing()
    if missing:
        print(f"prodshot: {_how_to_get(missing)}", file=sys.stderr)
        return 1
    from lib_prodshot.cli import main as run_command

    return run_command()


def _demo_in_its_environment() -> int:
    try:
        return run_in(DEMO, ["-m", "lib_prodshot", *sys.argv[1:]])
    except BootstrapError as error:
        print(f"prodshot: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("prodshot: interrupted; the same command goes on from here", file=sys.stderr)
        return 130


def _missing() -> list[str]:
    from importlib.util import find_spec

    return [package for module, package in NEEDED.items() if find_spec(module) is None]


def _how_to_get(missing: list[str]) -> str:
    lacking = f"this Python lacks {', '.join(missing)}"
    if not is_checkout():
        return f"{lacking}: run {sys.executable} -m pip install {' '.join(missing)}"
    arguments = " ".join(sys.argv[1:]) or "--help"
    if is_whole(DEMO):
        return f"{lacking}: run {DEMO.interpreter()} -m lib_prodshot {arguments}"
    return (
        f"{lacking}: run python3 -m lib_prodshot demo once (it makes an environment in this folder), "
        f"then {DEMO.interpreter()} -m lib_prodshot {arguments}"
    )


if __name__ == "__main__":
    raise SystemExit(main())
