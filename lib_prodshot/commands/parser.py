"""A parser of command lines whose every mistake is one line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

from lib_prodshot.commands.console import shown


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` that names the mistake alone (the usage of a command with 90 settings would bury it), and the
    nearest option for one that nobody knows. Parsers of sub-commands are of this class, too."""

    def error(self, message: str) -> NoReturn:
        """End with exit code 2 and one line."""
        print(shown(f"prodshot: {message} (all options: {self.prog} --help)"), file=sys.stderr)
        sys.exit(2)

    # mypy: the two overloads of the parent's have one meaning here
    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As the parent's, but what is left over is an error of the command that it was given to."""
        known, left = super().parse_known_args(args, namespace)
        if left:
            self.error(self._unknown(left))
        return known, left

    def _unknown(self, left: Sequence[str]) -> str:
        option = next((word for word in left if word.startswith("--")), "").partition("=")[0]
        near = get_close_matches(option, list(self._option_string_actions), n=1, cutoff=0.6) if option else []
        if near:
            return f"there is no option {option}; the nearest is {near[0]}"
        return f"unrecognized arguments: {' '.join(left)}"
