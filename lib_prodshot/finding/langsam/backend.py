"""The LangSAM backend: selects implementations and weights of GroundingDINO and Segment Anything, and loads them.

Order of preference: groundingdino-py and segment-anything; Hugging Face's transformers for what they cannot do (from
transformers 5 on, groundingdino-py cannot run), filled from the same files; an installed lang-sam, when there are no
weights of ours. Environment variables ask for one by name: `PRODSHOT_LANGSAM` for an implementation, `PRODSHOT_SAM`
for a segmenter's weights, `PRODSHOT_REFERENCE` for the packages' own layers.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from lib_prodshot.errors import FinderUnavailable
from lib_prodshot.finding.finder import Backend, Finder
from lib_prodshot.finding.interface import Detector, Segmenter
from lib_prodshot.finding.langsam import groundingdino, huggingface, lang_sam_package, segment_anything
from lib_prodshot.weights import catalogue, how_to_get, look_for, models_of

DETECTORS = ("groundingdino-swint", "groundingdino-swinb")
SEGMENTERS = ("sam-vit-b", "sam-vit-l", "sam-vit-h")
"""The smallest first: the order on a CPU. With a GPU the largest that is there is taken."""

MOBILE = "mobile-sam"
VOCABULARY = "bert-vocab"
IMPLEMENTATIONS = ("groundingdino-py", "transformers", "lang-sam")
PREFERRED = "groundingdino-py", "segment-anything"
"""Detector and segmenter where both packages can run."""

ALL_PACKAGES = "in Prodshot's folder run pip install '.[langsam]', which brings all of LangSAM's packages"


@dataclass(frozen=True)
class Plan:
    """The selected implementations and files of detector and segmenter, and the missing requirements."""

    detector: str
    detector_weights: Path | None
    vocabulary: Path | None
    segmenter: str
    segmenter_weights: Path | None
    missing: tuple[str, ...]

    @property
    def reason(self) -> str:
        """One clause for `doctor`: implementations and files, or what is missing."""
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
    """Select by installed packages, verified weights and environment variables; loads nothing."""
    asked, asked_sam = os.environ.get("PRODSHOT_LANGSAM", ""), os.environ.get("PRODSHOT_SAM", "")
    missing = [
        *_wrong_name("PRODSHOT_LANGSAM", asked, IMPLEMENTATIONS),
        *_wrong_name("PRODSHOT_SAM", asked_sam, (*SEGMENTERS, MOBILE)),
    ]
    bare = [name for name in ("torch", "torchvision") if find_spec(name) is None]
    missing += [f"{' and '.join(bare)} missing: {ALL_PACKAGES}."] if bare else []
    if asked == "lang-sam":
        return Plan(
            "lang-sam", None, None, "lang-sam", None, (*missing, *_listed(lang_sam_package.missing_requirement()))
        )
    detector, missing_detector = _implementation(asked, PREFERRED[0], groundingdino.missing_requirement())
    segmenter, missing_segmenter = _implementation(asked, PREFERRED[1], segment_anything.missing_requirement())
    detector_weights, vocabulary = _first(DETECTORS, models_dir), _first((VOCABULARY,), models_dir)
    name, segmenter_weights = _segmenter_weights(asked_sam, models_dir, on_gpu)
    if name == MOBILE:
        segmenter, missing_segmenter = MOBILE, "" if find_spec("mobile_sam") else "The package mobile_sam is missing."
    missing += [] if bare else [*_listed(missing_detector), *_listed(missing_segmenter)]
    found = ((DETECTORS[0], detector_weights), (name, segmenter_weights), (VOCABULARY, vocabulary))
    missing += [how for wanted, path in found if path is None for how in _how_to_get(wanted, models_dir)]
    if missing and not (asked or asked_sam) and find_spec("torch") and not lang_sam_package.missing_requirement():
        return Plan("lang-sam", None, None, "lang-sam", None, ())
    return Plan(detector, detector_weights, vocabulary, segmenter, segmenter_weights, tuple(missing))


def _wrong_name(variable: str, asked: str, known: Sequence[str]) -> list[str]:
    return [f"{variable} is {asked!r}; it may be {', '.join(known)}."] if asked and asked not in known else []


def _listed(sentence: str) -> list[str]:
    return [sentence] if sentence else []


def _implementation(asked: str, preferred: str, missing: str) -> tuple[str, str]:
    """The implementation of detector or segmenter and its missing requirement: the preferred package, or transformers
    where that cannot run or transformers was asked for."""
    if asked == "transformers":
        return "transformers", huggingface.missing_requirement()
    if missing and asked != PREFERRED[0] and not huggingface.missing_requirement():
        return "transformers", ""
    return preferred, missing


def _segmenter_weights(asked: str, models_dir: Path | None, on_gpu: bool) -> tuple[str, Path | None]:
    """Name and file of the segmenter's weights: those asked for, else the smallest available (with a GPU the largest),
    else MobileSAM's where its package is installed."""
    if asked:
        return asked, _first((asked,), models_dir) if asked in (*SEGMENTERS, MOBILE) else None
    order = [*(reversed(SEGMENTERS) if on_gpu else SEGMENTERS), *((MOBILE,) if find_spec("mobile_sam") else ())]
    available = ((name, _first((name,), models_dir)) for name in order)
    return next(((name, path) for name, path in available if path is not None), (SEGMENTERS[0], None))


def _first(names: Sequence[str], models_dir: Path | None) -> Path | None:
    """The first of these weights that is available and verified."""
    entries = {entry.name: entry for entry in catalogue()}
    found = (look_for(entries[name], models_dir).path for name in names)
    return next((path for path in found if path is not None), None)


def _how_to_get(name: str, models_dir: Path | None) -> list[str]:
    return [f"{how_to_get(entry, models_dir)}." for entry in catalogue() if entry.name == name]


def missing_requirements(models_dir: Path | None = None) -> Sequence[str]:
    """One sentence for each package or file that is missing; empty when the finder can run."""
    return plan(models_dir).missing


def load(
    models_dir: Path | None = None,
    *,
    reference: bool | None = None,
    multimask: bool = False,
    device: str | None = None,
) -> Finder:
    """Build the finder; its models are loaded at their first use and stay in memory.

    `reference` keeps the packages' own layers instead of `finding.fast`'s (default: whether PRODSHOT_REFERENCE is
    set), `multimask` takes SAM's best of three masks, `device` is a torch device (default: the GPU if CUDA has one,
    else the CPU). Raises `FinderUnavailable`.
    """
    chosen = plan(models_dir, on_gpu=_on_gpu(device))
    if chosen.missing:
        raise FinderUnavailable(f"the langsam finder cannot run here: {' '.join(chosen.missing)}")
    if chosen.detector == "lang-sam":
        return Finder("langsam", *lang_sam_package.pair(multimask, device))
    assert chosen.detector_weights is not None and chosen.vocabulary is not None
    assert chosen.segmenter_weights is not None
    files = chosen.detector_weights, chosen.vocabulary
    reference = bool(os.environ.get("PRODSHOT_REFERENCE")) if reference is None else reference
    detector: Detector
    segmenter: Segmenter
    if chosen.detector == "transformers":
        detector = huggingface.detector(*files, reference=reference, device=device)
    else:
        detector = groundingdino.detector(*files, reference=reference, device=device)
    make_segmenter = huggingface.segmenter if chosen.segmenter == "transformers" else segment_anything.segmenter
    segmenter = make_segmenter(chosen.segmenter_weights, multimask=multimask, reference=reference, device=device)
    weights = models_of((chosen.detector_weights, chosen.segmenter_weights))
    return Finder("langsam", detector, segmenter, weights=weights)


def _on_gpu(device: str | None) -> bool:
    if device is not None:
        return not device.startswith("cpu")
    if find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()


BACKEND = Backend("langsam", missing_requirements, load)
