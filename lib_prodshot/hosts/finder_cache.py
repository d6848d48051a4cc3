"""Cache of loaded finders inside the WebUI, with GPU memory reserved for them while they run.

`restricted_to` and `cached_per_picture` wrap a finder for one generation.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lib_prodshot.finding.finder import Finder
from lib_prodshot.finding.interface import Find, Findings, Picture
from lib_prodshot.finding.registry import choose
from lib_prodshot.hosts.compatibility.gpu_memory import FINDER_BYTES, Memory, on_gpu
from lib_prodshot.products import ProductClass

_CACHE: dict[tuple[str, Path | None], Finder] = {}
_LOCK = threading.Lock()


@contextmanager
def use_finder(
    name: str, models_dir: Path | None, memory: Memory, report: Callable[[str], None], keep: bool
) -> Iterator[Finder]:
    """The finder that `registry.choose` picks, loaded at its first use; unloaded afterwards unless `keep`.

    `report` is called with progress texts. Raises `FinderUnavailable` and `WeightsError`.
    """
    finder = _load_cached(name, models_dir, report)
    try:
        yield sharing_gpu(finder, memory, report)
    finally:
        if not keep:
            finder.unload()


def _load_cached(name: str, models_dir: Path | None, report: Callable[[str], None]) -> Finder:
    backend = choose(name, models_dir).backend
    key = (backend.name, models_dir)
    with _LOCK:
        if key not in _CACHE:
            report(f"Prodshot: loading the {backend.name} finder")
            with ordinary_tensors():
                _CACHE[key] = backend.load(models_dir)
        return _CACHE[key]


def sharing_gpu(finder: Finder, memory: Memory, report: Callable[[str], None]) -> Finder:
    """`finder` with GPU memory reserved around each call, and its models offloaded after it: sampling comes next.

    Its models are made of ordinary tensors although a host may load them while it samples (the Forge family samples
    under `inference_mode`).
    """
    movable: list[Any] = [part for part in (finder.detector, finder.segmenter) if hasattr(part, "offload")]

    def find(call: Callable[[], Findings], _picture: Picture, classes: Sequence[ProductClass]) -> Findings:
        report(f"Prodshot: looking for {', '.join(product.name for product in classes)}")
        with memory.reserve(FINDER_BYTES) if movable else nullcontext(), ordinary_tensors():
            try:
                return call()
            finally:
                if on_gpu():
                    for part in movable:
                        part.offload()

    return finder.wrapped(find)


@contextmanager
def ordinary_tensors() -> Iterator[None]:
    """Disable gradients and `inference_mode`, if torch is loaded: cached models must not hold inference tensors."""
    torch: Any = sys.modules.get("torch")
    if torch is None:
        yield
        return
    with torch.inference_mode(False), torch.no_grad():
        yield


CachedFindings = list[tuple[Picture, Sequence[ProductClass], Findings]]


def cached_per_picture(finder: Finder, cache: CachedFindings) -> Finder:
    """`finder` run once for consecutive calls with the same picture and classes; the last findings are in `cache`."""

    def find(call: Callable[[], Findings], picture: Picture, classes: Sequence[ProductClass]) -> Findings:
        for known, asked, findings in cache:
            if asked == classes and np.array_equal(known, picture):
                return findings
        findings = call()
        cache[:] = [(picture, classes, findings)]
        return findings

    # what gates segment is another picture each time, and must not take the place of the one that is asked for again
    return finder.wrapped(find, around_segment=False)


def restricted_to(region: npt.NDArray[np.uint8], finder: Finder) -> Finder:
    """`finder` run on the whole picture, each soft mask cut to `region` (H×W uint8, 255 = inside).

    Finds wholly outside, such as outside of a mask drawn by the user, are left out and told as `outside`. A picture of
    another size, such as a packshot's frame, has no such region.
    """

    def find(call: Callable[[], Findings], picture: Picture, _classes: Sequence[ProductClass]) -> Findings:
        findings = call()
        if picture.shape[:2] != region.shape:
            return findings
        cut = [Find(find.box, np.where(region > 127, find.soft_mask, np.uint8(0))) for find in findings.finds]
        inside = tuple(find for find in cut if find.soft_mask.any())
        outside = tuple(find.box for find in cut if not find.soft_mask.any())
        notes = (*findings.notes, "only inside the drawn mask") if findings.finds else findings.notes
        return replace(findings, finds=inside, notes=notes, outside=outside)

    return finder.wrapped(find)
