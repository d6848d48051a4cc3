"""The LangSAM finder: which implementation of GroundingDINO and of Segment Anything runs here, with which weights.

In this order: groundingdino-py and segment-anything; Hugging Face's transformers for what they cannot do (from
transformers 5 on, groundingdino-py cannot run), filled from the same files; an installed lang-sam, when there are no
weights of ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from lib_prodshot.errors import FinderUnavailable
from lib_prodshot.finding import groundingdino, hf, langsam_package, sam
from lib_prodshot.finding.interface import Detector, Finder, Segmenter
from lib_prodshot.finding.registry import Backend
from lib_prodshot.weights import catalogue, how_to_get, look_for

DETECTORS = ("groundingdino-swint", "groundingdino-swinb")
SEGMENTERS = ("sam-vit-b", "sam-vit-l", "sam-vit-h")
"""The smallest first: the order on a CPU. With a GPU the largest that is there is taken."""

MOBILE = "mobile-sam"
VOCABULARY = "bert-vocab"


@dataclass(frozen=True)
class Plan:
    """What would be loaded: an implementation and a file for each half, and what is missing for it."""

    detector: str
    detector_weights: Path | None
    vocabulary: Path | None
    segmenter: str
    segmenter_weights: Path | None
    missing: tuple[str, ...]

    @property
    def reason(self) -> str:
        """One clause for `doctor`: who does what with which file."""
        if self.missing:
            return " ".join(self.missing)
        if self.detector == "lang-sam":
            return "the installed lang-sam finds and masks, with weights of its own"
        assert self.detector_weights is not None and self.segmenter_weights is not None
        return (
            f"{self.detector} finds with {self.detector_weights.name},"
            f" {self.segmenter} masks with {self.segmenter_weights.name}"
        )


def plan(models_dir: Path | None = None, on_gpu: bool = False) -> Plan:
    """See what is installed and which verified weights are there; loads nothing."""
    missing = [f"The package {name} is missing." for name in ("torch", "torchvision") if find_spec(name) is None]
    order = tuple(reversed(SEGMENTERS)) if on_gpu else SEGMENTERS
    detector_weights, segmenter_weights = _first(DETECTORS, models_dir), _first(order, models_dir)
    if segmenter_weights is None and find_spec("mobile_sam"):
        segmenter_weights = _first((MOBILE,), models_dir)
    vocabulary = _first((VOCABULARY,), models_dir)
    detector = _implementation("groundingdino-py", groundingdino.lacking())
    segmenter = _implementation("segment-anything", sam.lacking())
    if not detector:
        missing.append(groundingdino.lacking())
    if not segmenter:
        missing.append(sam.lacking())
    found = ((DETECTORS[0], detector_weights), (SEGMENTERS[0], segmenter_weights), (VOCABULARY, vocabulary))
    missing += [_how_to_get(name, models_dir) for name, path in found if path is None]
    if missing and find_spec("torch") and not langsam_package.lacking():
        return Plan("lang-sam", None, None, "lang-sam", None, ())
    return Plan(detector, detector_weights, vocabulary, segmenter, segmenter_weights, tuple(missing))


def _implementation(preferred: str, lacks: str) -> str:
    """The preferred package, else transformers, else nothing."""
    if not lacks:
        return preferred
    return "" if hf.lacking() else "transformers"


def _first(names: Sequence[str], models_dir: Path | None) -> Path | None:
    """The first of these weights that is there and verified."""
    entries = {entry.name: entry for entry in catalogue()}
    found = (look_for(entries[name], models_dir).path for name in names)
    return next((path for path in found if path is not None), None)


def _how_to_get(name: str, models_dir: Path | None) -> str:
    return how_to_get(next(entry for entry in catalogue() if entry.name == name), models_dir) + "."


def lacking(models_dir: Path | None = None) -> Sequence[str]:
    """One sentence for each package or file that is missing; empty when the finder can run."""
    return plan(models_dir).missing


def load(
    models_dir: Path | None = None, *, reference: bool = False, multimask: bool = False, device: str | None = None
) -> Finder:
    """The finder; its models are loaded at their first use and kept.

    `reference` leaves the packages' own layers alone (`finding.fast` else), `multimask` takes SAM's best of three
    masks, `device` is a torch device (default: the GPU if CUDA has one, else the CPU). Raises `FinderUnavailable`.
    """
    chosen = plan(models_dir, on_gpu=_on_gpu(device))
    if chosen.missing:
        raise FinderUnavailable(f"the langsam finder cannot run here: {' '.join(chosen.missing)}")
    if chosen.detector == "lang-sam":
        return Finder("langsam", *langsam_package.pair(multimask, device))
    assert chosen.detector_weights is not None and chosen.vocabulary is not None
    assert chosen.segmenter_weights is not None
    files = chosen.detector_weights, chosen.vocabulary
    detector: Detector
    segmenter: Segmenter
    if chosen.detector == "transformers":
        detector = hf.detector(*files, reference=reference, device=device)
    else:
        detector = groundingdino.detector(*files, reference=reference, device=device)
    make_segmenter = hf.segmenter if chosen.segmenter == "transformers" else sam.segmenter
    segmenter = make_segmenter(chosen.segmenter_weights, multimask=multimask, reference=reference, device=device)
    return Finder("langsam", detector, segmenter)


def _on_gpu(device: str | None) -> bool:
    if device is not None:
        return not device.startswith("cpu")
    if find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()


BACKEND = Backend("langsam", lacking, load)
