"""`prodshot train check` on 65 photographs of 12 megapixels: is it done in 2 seconds, and does it see what a full
decode sees?

Photographs are scikit-image's, enlarged to 4000×3000 with a camera's noise and saved as JPEG. The same files are then
damaged: cut off at random places, and with random bytes changed. Run:

    python -m benchmarks.training [--photographs 65] [--rounds 5] [--damaged 200]

Prints the command's wall-clock and processor time, and both as a share of decoding the files in full (Pillow, as many
threads as processors), measured in turns. Exits with 1 when the command needs more than 2 seconds of every processor
(its wall-clock time is above that on a machine that does something else as well), or when the reduced decode passes a
damaged file that the full decode refuses.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from lib_prodshot.training.dataset.photographs import read_photograph

SIZE = (4000, 3000)
LIMIT = 2.0
NAMES = ("coffee.png", "motorcycle_left.png", "chelsea.png", "astronaut.png", "rocket.jpg")


def make_photographs(folder: Path, count: int) -> list[Path]:
    """`count` different photographs with captions."""
    from skimage import data

    folder.mkdir()
    noise = np.random.default_rng(0).normal(0, 5, (SIZE[1], SIZE[0], 1)).astype(np.float32)
    paths = []
    for number in range(count):
        with Image.open(Path(data.__file__).parent / NAMES[number % len(NAMES)]) as image:
            found = image.convert("RGB")
        share = 0.5 + 0.5 * (number // len(NAMES)) / max(1, count // len(NAMES))
        cut = found.crop((0, 0, int(found.width * share), int(found.height * share)))
        large = np.asarray(cut.resize(SIZE, Image.Resampling.BICUBIC), np.float32)
        noisy = large + np.roll(noise, number * 31, axis=1)
        path = folder / f"{number:03}.jpg"
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(path, quality=90)
        path.with_suffix(".txt").write_text(f"ppzocketv2, a product on table {number}", encoding="utf-8")
        paths.append(path)
    return paths


def check(folder: Path) -> None:
    """The command itself, in a process of its own: its start counts too."""
    line = [sys.executable, "-m", "lib_prodshot", "train", "check", str(folder), "--tag", "ppzocketv2"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert "steps an epoch" in done.stdout, done.stdout + done.stderr


def decode_in_full(paths: list[Path]) -> None:
    """What any check that looks at every pixel must spend."""
    with ThreadPoolExecutor(max(2, os.cpu_count() or 1)) as pool:
        list(pool.map(is_decoded, paths))


def is_decoded(path: Path) -> bool:
    try:
        with Image.open(path) as image:
            image.load()
    except Exception:
        return False
    return True


def spent(work: Callable[[], None]) -> tuple[float, float]:
    """Wall-clock and processor seconds."""
    before, start = _processor(), time.perf_counter()
    work()
    return time.perf_counter() - start, _processor() - before


def _processor() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def damaged_files(paths: list[Path], folder: Path, count: int) -> list[Path]:
    """Copies that are cut off, or have a run of bytes changed after the header."""
    chance = random.Random(0)
    folder.mkdir()
    made = []
    for number in range(count):
        data = bytearray(chance.choice(paths).read_bytes())
        place = chance.randrange(1024, len(data) - 64)
        if number % 2:
            del data[place:]
        else:
            data[place : place + 32] = chance.randbytes(32)
        made.append(folder / f"{number:03}.jpg")
        made[-1].write_bytes(data)
    return made


def missed(paths: list[Path]) -> list[str]:
    """Files that a full decode refuses and the reduced one takes."""
    with ThreadPoolExecutor(max(2, os.cpu_count() or 1)) as pool:
        whole = list(pool.map(is_decoded, paths))
        reduced = list(pool.map(lambda path: not read_photograph(path).problem, paths))
    refused = len(paths) - sum(whole)
    print(f"damaged: {len(paths)} files, {refused} refused in full, {len(paths) - sum(reduced)} reduced")
    return [path.name for path, full, ours in zip(paths, whole, reduced) if ours and not full]


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--photographs", type=int, default=65)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--damaged", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "photos"
        paths = make_photographs(folder, options.photographs)
        size = sum(path.stat().st_size for path in paths) / len(paths)
        print(f"{len(paths)} photographs of {SIZE[0]}×{SIZE[1]}, {size / 1e6:.1f} MB each; {os.cpu_count()} processors")
        check(folder)
        rounds = [(spent(lambda: check(folder)), spent(lambda: decode_in_full(paths))) for _ in range(options.rounds)]
        fastest = min(ours[0] for ours, _ in rounds)
        each = statistics.median(ours[1] for ours, _ in rounds) / (os.cpu_count() or 1)
        for number, (ours, full) in enumerate(rounds, 1):
            print(f"round {number}: check {ours[0]:.2f} s ({ours[1]:.2f} s of processors), {ours[1] / full[1]:.2f} of")
            print(f"         a full decode's processor time, {ours[0] / full[0]:.2f} of its wall-clock time")
        ratio = statistics.median(ours[1] / full[1] for ours, full in rounds)
        print(f"median share of a full decode's processor time: {ratio:.2f}; fastest round: {fastest:.2f} s")
        print(f"median of each processor: {each:.2f} s; limit: {LIMIT:.2f} s")
        passed = missed(damaged_files(paths, Path(place) / "damaged", options.damaged))
    if passed:
        print(f"passed by the reduced decode, refused by the full one: {', '.join(passed)}")
    return 1 if passed or each > LIMIT else 0


if __name__ == "__main__":
    raise SystemExit(main())
