"""Prints versions, GPUs and options of the trainer as JSON: `python probe.py CHECKOUT PROGRAM…`, run by the trainer's
Python. The first program must start; of others that do not, no options are printed.

The last line of the output is the marker below and the JSON; whatever the imports print precedes it.
Imports no Prodshot.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

MARKER = "prodshot-probe:"
PACKAGES = (
    "accelerate",
    "bitsandbytes",
    "diffusers",
    "prodigyopt",
    "lion_pytorch",
    "tensorboard",
    "transformers",
    "xformers",
)


def probe(checkout: str, programs: list[str]) -> dict[str, Any]:
    """What this Python and this checkout of sd-scripts offer."""
    os.chdir(checkout)
    sys.path.insert(0, checkout)
    import torch

    numbers = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    gpus = [torch.cuda.get_device_properties(number) for number in numbers]
    return {
        "python": "{}.{}.{}".format(*sys.version_info[:3]),
        "torch": torch.__version__,
        "gpus": [{"name": gpu.name, "bytes": gpu.total_memory} for gpu in gpus],
        "packages": {name: _version(name) for name in PACKAGES if importlib.util.find_spec(name)},
        "programs": {name: _options(name, is_needed=name == programs[0]) for name in programs},
    }


def _options(program: str, is_needed: bool) -> dict[str, Any]:
    """The options of a program by name. Raises whatever it raises where it is needed."""
    try:
        parser = importlib.import_module(Path(program).stem).setup_parser()
    except Exception:
        if is_needed:
            raise
        return {}
    return {action.dest: _option(action) for action in parser._actions}


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name.replace("_", "-"))
    except importlib.metadata.PackageNotFoundError:
        return ""


def _option(action: argparse.Action) -> dict[str, Any]:
    kind = action.type if isinstance(action.type, type) else str
    return {
        "flag": action.nargs == 0,
        "many": action.nargs in ("*", "+"),
        "type": kind.__name__,
        "choices": list(action.choices) if action.choices else [],
    }


if __name__ == "__main__":
    print("\n" + MARKER + json.dumps(probe(str(Path(sys.argv[1]).resolve()), sys.argv[2:])))
