"""What decoders print by themselves: nothing of it reaches the terminal, and their switches stand as before."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, features

from lib_prodshot.errors import PictureError
from lib_prodshot.pictures import quiet, read


def damaged(compression: str) -> bytes:
    pixels = np.random.default_rng(3).integers(0, 255, (64, 64, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "TIFF", compression=compression)
    data = bytearray(file.getvalue())
    data[2000:2400] = bytes(400)
    return bytes(data)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "jpeg"])
def test_a_damaged_tiff_prints_nothing(compression: str, capfd: pytest.CaptureFixture[str]) -> None:
    if quiet._libtiff_handler() is None:
        pytest.skip("Pillow's libtiff cannot be reached here")
    data = damaged(compression)
    try:
        read(data)
    except PictureError as error:
        assert "damaged" in str(error)
    assert capfd.readouterr().err == ""


def test_libtiff_is_loud_without_the_switch(capfd: pytest.CaptureFixture[str]) -> None:
    """So that the test above can fail: afterwards libtiff prints again, as others in this process may want."""
    if quiet._libtiff_handler() is None or not features.check("libtiff"):
        pytest.skip("Pillow's libtiff cannot be reached here")
    with quiet.libtiff(), quiet.libtiff():
        pass
    with pytest.raises(OSError):
        Image.open(io.BytesIO(damaged("tiff_lzw"))).load()
    assert "LZW" in capfd.readouterr().err
