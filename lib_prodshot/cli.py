"""The command line: one file for each command in `lib_prodshot.commands`.

Exit codes: 0 done (also when pictures were skipped), 1 when any picture failed or something could not be done,
2 for wrong usage, 130 when interrupted.
"""

from __future__ import annotations

import argparse
import errno
import io
import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from lib_prodshot import __version__
from lib_prodshot.commands.console import shown
from lib_prodshot.commands.parser import Parser
from lib_prodshot.errors import ProdshotError, RequestError, this_python

EXTRAS = {
    "onnxruntime": "lite",
    "imagehash": "train",
    "psutil": "train",
    "tomli": "train",
    "tomli_w": "train",
    "torch": "blip",
    "transformers": "blip",
    "ray": "cluster",
}
"""Packages that only some commands need, and the extra of pyproject.toml that brings each."""

DISK_ERRORS = (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT)
"""What a disk may answer without naming a path: full, broken, not writable, over the quota."""

COMMANDS = ("detect", "enhance", "packshot", "batch", "check", "train", "demo", "settings", "weights", "doctor")


def build_parser(argv: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The parser with the commands that `argv` needs; each command module adds its own options and sets `run`."""
    parser = Parser(prog="prodshot", description="Find a product, enhance it, leave the rest alone.")
    parser.add_argument("--version", action="version", version=f"prodshot {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in _needed(argv):
        import_module(f"lib_prodshot.commands.{name}").add_parser(subparsers)
    return parser


def _needed(argv: Sequence[str]) -> Sequence[str]:
    """Only what the line names is imported, for the settings of all commands take a quarter of a second to describe:
    its command, or nothing for the version; without either (help, a mistake) all."""
    first = argv[0] if argv else ""
    if first == "--version":
        return ()
    return (first,) if first in COMMANDS else COMMANDS


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; errors are one line on standard error, never a traceback."""
    argv = sys.argv[1:] if argv is None else argv
    arguments = build_parser(argv).parse_args(argv)
    # warnings of Pillow about a damaged tag help nobody: a picture that cannot be read is told in a sentence
    warnings.filterwarnings("ignore", module="PIL")
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        # a terminal that lacks a letter is no reason to stop
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return int(arguments.run(arguments))
    except ProdshotError as error:
        print(shown(f"prodshot: {error}"), file=sys.stderr)
        return 2 if isinstance(error, RequestError) else 1
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        advice = f"in Prodshot's folder run {this_python()} -m pip install '.[{EXTRAS[package]}]'"
        print(f"prodshot: this needs the package {package}, which is not installed: {advice}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # the reader of our output has gone (such as `| head`): not an error of ours
        sys.stderr.close()
        return 0
    except OSError as error:
        if not _is_of_the_system(error):
            raise
        named = f"{error.filename}: " if error.filename is not None else ""
        print(shown(f"prodshot: {named}{error.strerror}"), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("prodshot: interrupted", file=sys.stderr)
        return 130


def _is_of_the_system(error: OSError) -> bool:
    """Whether this is about a path of the user or a disk, and not about our own files, which would be a bug of ours."""
    if not error.strerror:
        return False
    if error.filename is None:
        return error.errno in DISK_ERRORS
    return Path(__file__).parent not in Path(os.fsdecode(error.filename)).absolute().parents
