"""The LangSAM backend: selects implementations and weights of GroundingDINO and Segment Anything, and loads them.

Order of preference: groundingdino-py and segment-anything; Hugging Face's transformers for what they cannot do (from
transformers 5 on, groundingdino-py cannot run), filled from the same files; an installed lang-sam, when there are no
weights of ours. A newer model's file that the user put there (`own_files.py`) comes before all of them where
transformers can run it. Environment variables ask for one by name: `PRODSHOT_LANGSAM` for an implementation,
`PRODSHOT_DETECTOR` and `PRODSHOT_SAM` for weights, `PRODSHOT_REFERENCE` for the packages' own layers.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from lib_prodshot.errors import FinderUnavailable, pip_install_extra
from lib_prodshot.finding.finder import Backend, Finder
from lib_prodshot.finding.interface import Detector, Segmenter
from lib_prodshot.finding.langsam import (
    groundingdino,
    huggingface,
    lang_sam_package,
    mm_grounding_dino,
    sam2,
    sam_hq,
    segment_anything,
)
from lib_prodshot.finding.langsam.own_files import OwnFile, own_files
from lib_prodshot.finding.models.recognition import Role, architecture, unmet_requirement
from lib_prodshot.provenance import Model
from lib_prodshot.weights import catalogue, how_to_get, look_for, models_of

DETECTORS = ("groundingdino-swint", "groundingdino-swinb")
SEGMENTERS = ("sam-vit-b", "sam-vit-l", "sam-vit-h")
"""The smallest first: the order on a CPU. With a GPU the largest that is there is taken."""

MOBILE = "mobile-sam"
META_SAM2 = "sam2.1-hiera-tiny"
NEWER_DETECTORS: dict[str, Callable[..., Detector]] = {"mm-grounding-dino": mm_grounding_dino.detector}
NEWER_SEGMENTERS: dict[str, Callable[..., Segmenter]] = {"sam2": sam2.segmenter, "sam-hq": sam_hq.segmenter}
"""By the names of their architectures."""

VOCABULARY = "bert-vocab"
IMPLEMENTATIONS = ("groundingdino-py", "transformers", "lang-sam")
PREFERRED = "groundingdino-py", "segment-anything"
"""Detector and segmenter where both packages can run."""

NO_FILE = "no file of it is here; docs/finders.md says which ones serve and where they go."
ALL_PACKAGES = f"in Prodshot's folder run {pip_install_extra('langsam')}, which brings all of LangSAM's packages"


@dataclass(frozen=True)
class Plan:
    """The selected implementations and files of detector and segmenter, and the missing requirements."""

    detector: str
    detector_weights: Path | None
    vocabulary: Path | None
    segmenter: str
    segmenter_weights: Path | None
    missing: tuple[str, ...]
    notes: tuple[str, ...] = ()
    """Sentences on files of the user's that are not used, and why."""
    to_fetch: tuple[str, ...] = ()
    """Names of the catalogue's weights that are missing."""

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
    """Select by installed packages, verified weights, a user's own files and environment variables; loads nothing."""
    asked = os.environ.get("PRODSHOT_LANGSAM", "")
    asked_detector, asked_sam = (os.environ.get(name, "") for name in ("PRODSHOT_DETECTOR", "PRODSHOT_SAM"))
    missing = _wrong_name("PRODSHOT_LANGSAM", asked, IMPLEMENTATIONS)
    bare = [name for name in ("torch", "torchvision") if find_spec(name) is None]
    missing += [f"{' and '.join(bare)} missing: {ALL_PACKAGES}."] if bare else []
    if asked == "lang-sam":
        return Plan(
            "lang-sam", None, None, "lang-sam", None, (*missing, *_listed(lang_sam_package.missing_requirement()))
        )
    own = () if asked == PREFERRED[0] else own_files(models_dir)
    detector = _own(own, "detector", asked_detector, on_gpu) or _published_detector(asked, asked_detector, models_dir)
    segmenter = _own(own, "segmenter", asked_sam, on_gpu) or _published_segmenter(asked, asked_sam, models_dir, on_gpu)
    vocabulary = _first((VOCABULARY,), models_dir)
    missing += [] if bare else [*_listed(detector.lacks), *_listed(segmenter.lacks)]
    found = ((detector.name, detector.weights), (segmenter.name, segmenter.weights), (VOCABULARY, vocabulary))
    lacking = [entry for name, path in found if path is None for entry in catalogue() if entry.name == name]
    missing += [f"{how_to_get(entry, models_dir)}." for entry in lacking]
    nothing_asked = not (asked or asked_detector or asked_sam)
    if missing and nothing_asked and find_spec("torch") and not lang_sam_package.missing_requirement():
        return Plan("lang-sam", None, None, "lang-sam", None, ())
    return Plan(
        detector.implementation,
        detector.weights,
        vocabulary,
        segmenter.implementation,
        segmenter.weights,
        tuple(dict.fromkeys(missing)),
        tuple(file.problem for file in own if file.problem),
        tuple(entry.name for entry in lacking),
    )


@dataclass(frozen=True)
class _Half:
    """What finds or masks: its implementation, the name and file of its weights, what is missing beside the file."""

    implementation: str
    name: str
    weights: Path | None
    lacks: str = ""


def _own(own: Sequence[OwnFile], role: Role, asked: str, on_gpu: bool) -> _Half | None:
    """The user's own file for a role: the one asked for, runnable or not; else the smallest that can run here (with a
    GPU the largest)."""
    ordered = sorted(own, key=lambda file: (file.size, str(file.path)), reverse=on_gpu)
    if asked:
        named = [file for file in ordered if file.is_called(asked) and file.role in (role, "both", None)]
        chosen = next((file for file in sorted(named, key=lambda file: bool(file.problem))), None)
    else:
        chosen = next((file for file in ordered if file.role == role and not file.problem), None)
    if chosen is None:
        return None
    name = chosen.architecture.name if chosen.architecture else "unknown"
    return _Half(name, name, chosen.path, chosen.problem)


def _published_detector(asked: str, asked_detector: str, models_dir: Path | None) -> _Half:
    implementation, lacks = _implementation(asked, PREFERRED[0], groundingdino.missing_requirement())
    if asked_detector in NEWER_DETECTORS:
        return _Half(asked_detector, asked_detector, None, f"{asked_detector}: {NO_FILE}")
    wrong = _wrong_name("PRODSHOT_DETECTOR", asked_detector, (*DETECTORS, *NEWER_DETECTORS))
    if wrong:
        return _Half(implementation, asked_detector, None, wrong[0])
    names = (asked_detector,) if asked_detector else DETECTORS
    return _Half(implementation, names[0], _first(names, models_dir), lacks)


def _published_segmenter(asked: str, asked_sam: str, models_dir: Path | None, on_gpu: bool) -> _Half:
    implementation, lacks = _implementation(asked, PREFERRED[1], segment_anything.missing_requirement())
    if asked_sam == "sam2":
        asked_sam = META_SAM2
    elif asked_sam in NEWER_SEGMENTERS:
        return _Half(asked_sam, asked_sam, None, f"{asked_sam}: {NO_FILE}")
    wrong = _wrong_name("PRODSHOT_SAM", asked_sam, (*SEGMENTERS, MOBILE, META_SAM2, *NEWER_SEGMENTERS))
    if wrong:
        return _Half(implementation, asked_sam, None, wrong[0])
    name, weights = _segmenter_weights(asked_sam, models_dir, on_gpu)
    if name == MOBILE:
        implementation, lacks = MOBILE, "" if find_spec("mobile_sam") else "The package mobile_sam is missing."
    if name == META_SAM2:
        implementation, lacks = "sam2", unmet_requirement(architecture("sam2"), META_SAM2)
    return _Half(implementation, name, weights, lacks)


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
    else MobileSAM's where its package is installed, else SAM 2.1's where transformers can run it."""
    if asked:
        return asked, _first((asked,), models_dir)
    order = [*(reversed(SEGMENTERS) if on_gpu else SEGMENTERS), *((MOBILE,) if find_spec("mobile_sam") else ())]
    order += [] if unmet_requirement(architecture("sam2"), META_SAM2) else [META_SAM2]
    available = ((name, _first((name,), models_dir)) for name in order)
    return next(((name, path) for name, path in available if path is not None), (SEGMENTERS[0], None))


def _first(names: Sequence[str], models_dir: Path | None) -> Path | None:
    """The first of these weights that is available and verified."""
    entries = {entry.name: entry for entry in catalogue()}
    found = (look_for(entries[name], models_dir).path for name in names)
    return next((path for path in found if path is not None), None)


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
    if chosen.detector in NEWER_DETECTORS:
        detector = NEWER_DETECTORS[chosen.detector](*files, reference=reference, device=device)
    elif chosen.detector == "transformers":
        detector = huggingface.detector(*files, reference=reference, device=device)
    else:
        detector = groundingdino.detector(*files, reference=reference, device=device)
    packages = huggingface.segmenter if chosen.segmenter == "transformers" else segment_anything.segmenter
    make_segmenter = NEWER_SEGMENTERS.get(chosen.segmenter, packages)
    segmenter = make_segmenter(chosen.segmenter_weights, multimask=multimask, reference=reference, device=device)
    weights = (
        *_models(chosen.detector, chosen.detector_weights),
        *_models(chosen.segmenter, chosen.segmenter_weights),
    )
    return Finder("langsam", detector, segmenter, weights=weights)


def _models(implementation: str, weights: Path) -> tuple[Model, ...]:
    """What a picture says of a file: the catalogue's name, or for a user's own its architecture and its name."""
    return models_of((weights,)) or (Model("finder", f"{implementation} ({weights.name})"),)


def _on_gpu(device: str | None) -> bool:
    if device is not None:
        return not device.startswith("cpu")
    if find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()


def describe(models_dir: Path | None = None) -> str:
    """Which models find and mask here, and which files of the user's do not and why: for `doctor`."""
    chosen = plan(models_dir, on_gpu=_on_gpu(None))
    taken = [] if chosen.missing else [f"{chosen.reason}."]
    return " ".join([*taken, *(f"Not used: {note}" for note in chosen.notes)])


def to_fetch(models_dir: Path | None = None) -> Sequence[str]:
    """Names of weights that are missing; none of a half that a model of the user's own does."""
    return plan(models_dir).to_fetch


def own_models() -> Sequence[str]:
    """Titles of the newer models that transformers can run here, from files that the user brings."""
    kinds = (architecture(name) for name in (*NEWER_DETECTORS, *NEWER_SEGMENTERS))
    return [kind.title for kind in kinds if not unmet_requirement(kind, kind.name)]


BACKEND = Backend("langsam", missing_requirements, load, describe, to_fetch, own_models)
