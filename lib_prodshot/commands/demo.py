"""`prodshot demo`: the main job on real photographs, those that scikit-image ships.

`python3 -m lib_prodshot demo` runs this in an environment of its own (see `lib_prodshot.bootstrap`); from here on it
is `prodshot enhance`, the report and the contact sheet, nothing made for the occasion.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from lib_prodshot.errors import PictureError

PRODUCTS = "coffee cup, motorcycle"

PHOTOGRAPHS = {
    "coffee.png": "found",
    "motorcycle_left.png": "found",
    "moon.png": "skipped",
    "chelsea.png": "skipped",
    "astronaut.png": "skipped",
    "rocket.jpg": "skipped",
}
"""Files in scikit-image's data folder and the verdict that anyone would give."""


def add_parser(subparsers: Any) -> None:
    """Describe the command."""
    parser = subparsers.add_parser("demo", help="find, enhance and skip on real photographs, with report and sheet")
    parser.add_argument("--out", type=Path, default=Path("prodshot-demo"), metavar="DIR", help="default: %(default)s")
    parser.add_argument("--models-dir", type=Path, help="look for weights here first (also: PRODSHOT_MODELS)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Fetch the lite weights, enhance the photographs, draw the sheet; exit code 1 when a verdict is not right."""
    from lib_prodshot.commands import weights as weights_command
    from lib_prodshot.jobs.report.contact_sheet import write_contact_sheet
    from lib_prodshot.jobs.report.report import read_report
    from lib_prodshot.weights import look_for, select

    photographs = find_photographs()
    missing = [entry for entry in select(["lite"]) if look_for(entry, arguments.models_dir).path is None]
    weights_command.fetch_weights(missing, arguments.models_dir)
    print(f"looking for {PRODUCTS} in {len(photographs)} photographs", flush=True)
    code = _enhance(photographs, arguments)
    title = f"Prodshot demo: {PRODUCTS}"
    sheet, page = write_contact_sheet(arguments.out, title)
    lines = {Path(line["file"]).name: line for line in read_report(arguments.out)}
    right = True
    for photograph in photographs:
        line = lines[photograph.name]
        right &= line["status"] == PHOTOGRAPHS[photograph.name]
        print(f"  {photograph.name:20} {line['status']:8} {line['reason']}")
    print(f"pictures, masks, report.jsonl, report.csv: {arguments.out.resolve()}")
    print(f"contact sheet: {os.path.relpath(sheet)} and {os.path.relpath(page)}")
    if not right:
        print("a verdict is not the one that the picture deserves")
    return code if right else 1


def find_photographs() -> list[Path]:
    """The photographs in scikit-image's data folder. Raises `PictureError` when it ships them no more."""
    import skimage.data

    folder = Path(skimage.data.__file__).parent
    missing = [name for name in PHOTOGRAPHS if not (folder / name).is_file()]
    if missing:
        raise PictureError(f"scikit-image has no {', '.join(missing)} in {folder}: install scikit-image 0.21 to 0.26")
    return [folder / name for name in PHOTOGRAPHS]


def _enhance(photographs: list[Path], arguments: argparse.Namespace) -> int:
    """Run `prodshot enhance` with the options that anyone would type."""
    from lib_prodshot.commands import enhance

    parser = argparse.ArgumentParser()
    enhance.add_parser(parser.add_subparsers())
    options = ["--products", PRODUCTS, "--finder", "lite", "--out", str(arguments.out)]
    if arguments.models_dir:
        options += ["--models-dir", str(arguments.models_dir)]
    typed = parser.parse_args(["enhance", *map(str, photographs), *options])
    return int(typed.run(typed))
