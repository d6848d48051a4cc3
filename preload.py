"""Command-line options of the WebUI that Prodshot adds; read before anything else of the WebUI exists."""

from __future__ import annotations

import argparse


def preload(parser: argparse.ArgumentParser) -> None:
    """Called by the WebUI with its parser."""
    parser.add_argument(
        "--prodshot-allow-dir",
        action="append",
        default=[],
        metavar="DIR",
        help="let Prodshot's API work on pictures beneath this folder of the server; may be given several times",
    )
