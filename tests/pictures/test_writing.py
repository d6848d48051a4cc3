"""No half-written output, masks beside results, and the usual permissions."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lib_prodshot import pictures
from lib_prodshot.errors import OutputError
from tests.pictures.photographs import CASES, changed_inside


def test_nothing_is_left_behind_when_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = pictures.read(CASES["png-rgb"][0])
    result = pictures.restore(picture, *changed_inside(picture))
    target = tmp_path / "b.png"
    target.write_bytes(b"the older result")

    def fail(self: Image.Image, file: io.BufferedWriter, *arguments: object, **options: object) -> None:
        file.write(b"half a picture")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OutputError, match="cannot be written: No space left on device"):
        pictures.write(result, target)
    assert [path.name for path in tmp_path.iterdir()] == ["b.png"]
    assert target.read_bytes() == b"the older result"
    with pytest.raises(OutputError, match="No such file or directory"):
        pictures.write(result, tmp_path / "absent" / "b.png")


@pytest.mark.once
@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
@pytest.mark.parametrize("name", ["png-rgb", "png-rgb-16", "tiff-rgb", "bmp-rgb", "webp-lossless"])
def test_a_full_disk_leaves_nothing(name: str, tmp_path: Path) -> None:
    """The operating system's own refusal, by a limit of 512 bytes on any file."""
    data, suffix, _, output_suffix = CASES[name]
    (tmp_path / f"in{suffix}").write_bytes(data)
    script = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from lib_prodshot import errors, pictures
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
picture = pictures.read(Path(sys.argv[1]))
result = pictures.restore(picture, picture.rgb, np.zeros(picture.size, np.uint8))
resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512))
try:
    pictures.write(result, Path(sys.argv[2]))
except errors.OutputError as error:
    print("refused", error)
"""
    (tmp_path / "out").mkdir()
    target = tmp_path / "out" / f"b{output_suffix}"
    command = [sys.executable, "-c", script, str(tmp_path / f"in{suffix}"), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
    assert done.stdout.startswith("refused"), done.stderr
    assert list((tmp_path / "out").iterdir()) == []


def test_masks_are_written_as_8_bit_grey(tmp_path: Path) -> None:
    mask = np.array([[0, 128, 255]], np.uint8)
    pictures.write_grey(mask, tmp_path / "m.png")
    with Image.open(tmp_path / "m.png") as image:
        assert image.mode == "L"
        np.testing.assert_array_equal(np.asarray(image), mask)


def test_new_files_have_the_usual_permissions(tmp_path: Path) -> None:
    picture = pictures.read(CASES["png-rgb"][0])
    pictures.write(pictures.restore(picture, *changed_inside(picture)), tmp_path / "b.png")
    (tmp_path / "plain").write_bytes(b"")
    assert (tmp_path / "b.png").stat().st_mode == (tmp_path / "plain").stat().st_mode
