"""`python -m tests.finding.tiny_files FOLDER`: tiny weights and the package's outputs, for a Python without it.

groundingdino-py does not run with transformers 5, so an environment with transformers below 5 writes both.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from tests.finding import tiny

DETECTOR, SEGMENTER, OUTPUTS = "tiny_dino.pth", "tiny_sam.pth", "outputs.pt"
VARIABLE = "PRODSHOT_TINY_FILES"
"""The environment variable that names the folder for the tests of the other Python."""


def look(model: Any) -> tuple[Any, Any]:
    """Logits of the caption's tokens and boxes of `tiny.picture()`, by any implementation."""
    from lib_prodshot.finding.models.preprocessing import detector_pixels
    from lib_prodshot.finding.models.runtime import inference

    with inference():
        logits, boxes = model.forward(detector_pixels(tiny.picture(), 160), tiny.CAPTION)
    return logits[:, :9], boxes


def write(folder: Path) -> None:
    """Both files of weights, and what groundingdino-py says of the picture."""
    import torch

    from benchmarks.random_models import write_detector, write_segmenter
    from lib_prodshot import weights
    from lib_prodshot.finding.langsam import groundingdino

    vocabulary = weights.fetch(weights.select(["bert-vocab"])[0])
    detector = write_detector(tiny.DETECTOR, vocabulary, folder / DETECTOR)
    write_segmenter(tiny.SEGMENTER, folder / SEGMENTER)
    torch.save(look(groundingdino.load(detector, vocabulary, reference=True)), folder / OUTPUTS)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
