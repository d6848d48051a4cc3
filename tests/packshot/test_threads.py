"""The same packshot, whatever number of threads BLAS has: its products and sums are rounded in another order."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from lib_prodshot.bootstrap import ROOT
from lib_prodshot.packshot.sums import conjugate_gradients, least_squares, weighted

MADE = """
import hashlib

import cv2
import numpy as np

from lib_prodshot.packshot import cutout, grounds, matting, residue, scenes, shadows
from lib_prodshot.packshot.framing import Frame, frame, parse_size
from lib_prodshot.packshot.placement import identity

HEIGHT, WIDTH = 500, 700
rng = np.random.default_rng(5)
mask = cv2.ellipse(np.zeros((HEIGHT, WIDTH), np.uint8), (350, 240), (260, 180), 20, 0, 360, 255, -1)
soft = cv2.GaussianBlur(mask, (0, 0), 5)
slope = np.linspace(150, 230, WIDTH)[None, :, None] + np.linspace(0, 20, HEIGHT)[:, None, None]
share = cv2.GaussianBlur(mask, (0, 0), 3)[..., None] / 255
plain = share * (90, 60, 40) + (1 - share) * slope
rgb = np.clip(plain + rng.normal(0, 3, (HEIGHT, WIDTH, 3)), 0, 255).astype(np.uint8)
band = cv2.dilate(mask, np.ones((17, 17))) - cv2.erode(mask, np.ones((17, 17)))


def told(name, *planes):
    print(name, *(hashlib.sha256(np.ascontiguousarray(plane).tobytes()).hexdigest() for plane in planes))


assert np.count_nonzero(band) > 10_000  # so many and more are added up by several threads
told("matted", matting.solve(rgb, mask, band, soft))
own = residue.cleared(cutout.by_matte(rgb, mask, soft)[0])
told("cut out", own.shares.opacity, own.shares.shares, own.colours)
framed = frame(own, Frame(parse_size("300x300"), 0.85))
small = framed.placement.placed_cutout(framed.cutout)
told("framed", small.picture, small.shares.opacity, small.shares.shares, small.colours)
place = identity(HEIGHT, WIDTH)
for name, where in (("blurred", place), ("blurred, framed", framed.placement)):
    told(name, grounds.blurred(own, where))
told("soft", shadows.soft(own.shares, 1.0, 1.0).rows(0, HEIGHT))
told("kept", shadows.kept(own, place).rows(0, HEIGHT))
surface = shadows._unshadowed(rgb, mask == 0)
told("light", surface.factors)
told("scene", *scenes.lit(rng.integers(60, 90, rgb.shape, np.uint8), own, place, 1.0))
"""


def made(threads: int) -> str:
    env = {**os.environ, "OPENBLAS_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run([sys.executable, "-c", MADE], capture_output=True, text=True, env=env, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_no_bit_hangs_on_the_number_of_threads() -> None:
    assert made(1).splitlines() == made(2).splitlines()


def test_sums_are_those_of_a_matrix_product() -> None:
    rng = np.random.default_rng(3)
    weights = np.tril(np.triu(rng.random((40, 60), np.float32)), 7)
    rows = rng.random((60, 100), np.float32)
    assert np.allclose(weighted(weights, rows), weights.astype(np.float64) @ rows, rtol=1e-6)
    terms = rng.random((6, 1000))
    values = rng.random(1000)
    assert np.allclose(least_squares(terms, values), np.linalg.lstsq(terms.T, values, rcond=None)[0], rtol=1e-8)


def test_conjugate_gradients_solve_and_say_when_they_do_not() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    count = 4000
    matrix = sparse.diags([-1.0, 2.1, -1.0], [-1, 0, 1], shape=(count, count), format="csr", dtype=np.float32)
    wanted = np.random.default_rng(3).random(count, np.float32)
    right = matrix @ wanted
    found = conjugate_gradients(matrix, right, np.zeros_like(wanted), 1e-5, 200)
    assert found is not None and found.dtype == np.float32 and np.allclose(found, wanted, atol=1e-3)
    assert conjugate_gradients(matrix, right, np.zeros_like(wanted), 1e-5, 5) is None
    assert conjugate_gradients(matrix, right, wanted, 1e-3, 1) is not None, "nothing is left to do"
