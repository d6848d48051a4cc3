"""What matting leaves behind of the old ground."""

from __future__ import annotations

import numpy as np

from lib_prodshot.packshot.cutout import CutOut
from lib_prodshot.packshot.residue import cleared, unveiled


def cut(alpha: np.ndarray) -> CutOut:  # type: ignore[type-arg]
    rgb = np.zeros((*alpha.shape, 3), np.uint8)
    return CutOut.of(rgb, alpha.astype(np.float32), rgb, np.zeros(alpha.shape, np.uint8))


def test_a_veil_and_specks_go_and_the_soft_edge_stays() -> None:
    alpha = np.zeros((80, 120))
    alpha[20:60, 30:90] = 1
    alpha[18:20, 30:90] = 0.05
    alpha[60, 30:90], alpha[61, 30:90] = 0.6, 0.2
    wanted = alpha.copy()
    alpha[5:18, 30:90] = 0.06  # a shadow that was taken for a little of the product
    alpha[70:74, 5:9] = 0.4  # a speck of ground
    alpha[70:74, 100:104] = wanted[70:74, 100:104] = 0.9  # a part of the product that stands alone
    assert np.array_equal(cleared(cut(alpha)).alpha, wanted.astype(np.float32))


def test_an_edge_that_was_enlarged_is_no_veil_for_some_pixels_and_ripples_are_nothing() -> None:
    alpha = np.zeros((80, 120))
    alpha[40:60, 30:90] = 1
    alpha[30:40, 30:90] = 0.09
    alpha[10:30, 30:90] = 0.01
    alpha[60:63, 30:90] = 0.001
    wanted = np.zeros((80, 120), np.float32)
    wanted[40:60, 30:90], wanted[32:40, 30:90] = 1, 0.09
    assert np.array_equal(cleared(cut(alpha), 8).alpha, wanted)


def test_in_the_frame_a_piece_that_was_framed_stays() -> None:
    alpha = np.zeros((80, 120))
    alpha[20:60, 30:90] = 1
    alpha[70:74, 5:9] = 0.4
    given = cut(alpha)
    assert unveiled(given, 8) is given and cleared(given).alpha[72, 7] == 0


def test_in_the_frame_what_was_torn_off_a_soft_edge_goes() -> None:
    alpha = np.zeros((80, 120))
    alpha[20:60, 30:90] = 1
    wanted = alpha.copy()
    alpha[62:64, 40:44] = 0.02
    assert np.array_equal(unveiled(cut(alpha), 8).alpha, wanted.astype(np.float32))


def test_in_the_frame_a_piece_that_the_box_does_not_hang_on_goes() -> None:
    alpha = np.zeros((80, 120))
    alpha[20:60, 30:90] = 1
    alpha[30:50, 40:80] = 0
    wanted = alpha.copy()
    alpha[38:42, 58:62] = 0.2
    assert np.array_equal(unveiled(cut(alpha), 8).alpha, wanted.astype(np.float32))


def test_a_faint_strap_that_hangs_on_the_product_stays() -> None:
    alpha = np.zeros((80, 120))
    alpha[40:60, 30:90] = 1
    alpha[10:40, 60] = 0.3
    given = cut(alpha)
    assert cleared(given) is given, "nothing to clear, nothing copied"
