"""Stand-ins for the package lang-sam, which no registry carries: both generations' objects, round tiny real models.

They say what 0.1 and 0.2 call their parts and leave behind in the process what importing 0.2 on a GPU does. That the
package itself is so was seen with its own code at 0.1 (2024-08), 0.2.0 and 0.2.3; where it is installed, the protocol
suite runs with it.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest


def put_in_place(patch: pytest.MonkeyPatch, generation: str, detector: Path, vocabulary: Path, segmenter: Path) -> None:
    """Let `import lang_sam` give the package of this generation ('0.1' or '0.2')."""
    module: Any = ModuleType("lang_sam")
    module.__spec__ = ModuleSpec("lang_sam", None)
    parts = {"0.1": _first, "0.2": _second}[generation]
    module.LangSAM = lambda: _changed(SimpleNamespace(**parts(detector, vocabulary, segmenter)))
    patch.setitem(sys.modules, "lang_sam", module)


def _first(detector: Path, vocabulary: Path, segmenter: Path) -> dict[str, Any]:
    from segment_anything import SamPredictor

    from lib_prodshot.finding.langsam import groundingdino, segment_anything

    module = groundingdino.load(detector, vocabulary, reference=True).module
    return {"groundingdino": module, "sam": SamPredictor(segment_anything.load(segmenter, reference=True).module)}


def _second(detector: Path, vocabulary: Path, segmenter: Path) -> dict[str, Any]:
    from segment_anything import SamPredictor

    from lib_prodshot.finding.langsam import huggingface, segment_anything

    loaded = huggingface.load_detector(detector, vocabulary, True)
    gdino = SimpleNamespace(model=loaded.module, processor=SimpleNamespace(tokenizer=loaded.tokenizer))
    predictor = SamPredictor(segment_anything.load(segmenter, reference=True).module)
    return {"gdino": gdino, "sam": SimpleNamespace(predictor=predictor)}


def _changed(made: Any) -> Any:
    """Leave the process as the package's import leaves it: an autocast entered for good, and TF32."""
    import torch

    torch.autocast("cpu", dtype=torch.bfloat16).__enter__()
    torch.set_autocast_enabled(True)
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    return made
