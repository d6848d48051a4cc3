"""Refuses a Python that Prodshot does not run on; written so that Python 3.6 can read it and print the sentence."""

import sys

OLDEST = (3, 10)
NEWEST = (3, 13)


def wrong_python(version: tuple = sys.version_info[:2]) -> str:  # type: ignore[type-arg]
    """One sentence saying which Python is needed, or an empty text when `version` (major, minor) is a right one."""
    if OLDEST <= tuple(version[:2]) <= NEWEST:
        return ""
    return (
        f"it needs Python {OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]}, and this is Python "
        f"{version[0]}.{version[1]}: run the same command with one of those, for example python3.11."
    )


def refuse_wrong_python() -> None:
    """End the program with that sentence and exit code 2 unless this is a right Python."""
    sentence = wrong_python()
    if sentence:
        print(f"prodshot: {sentence}", file=sys.stderr)
        raise SystemExit(2)
