"""Finders inside a WebUI: loaded once and kept, with room made for them, and out of the way when it samples."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lib_prodshot.finding.finder import Finder
from lib_prodshot.finding.interface import Find, Findings, Picture
from lib_prodshot.finding.registry import choose
from lib_prodshot.hosts.compatibility.gpu_memory import FINDER_BYTES, Memory, on_gpu
from lib_prodshot.products import ProductClass

_KEPT: dict[tuple[str, Path | None], Finder] = {}
_GUARD = threading.Lock()


@dataclass(frozen=True)
class HostFinder(Finder):
    """A finder that makes room for itself each time it looks and leaves the GPU afterwards, for the WebUI is about to
    sample; its models are ordinary ones although a host may load them while it samples (the Forge family does so under
    `inference_mode`)."""

    memory: Memory | None = None
    said: Callable[[str], None] = lambda text: None

    def find(
        self,
        picture: Picture,
        classes: Sequence[ProductClass],
        text_threshold: float = 0.25,
        clock: Callable[[], float] | None = None,
    ) -> Findings:
        """As `Finder.find`."""
        self.said(f"Prodshot: looking for {', '.join(product.name for product in classes)}")
        movable = [part for part in (self.detector, self.segmenter) if hasattr(part, "offload")]
        room = self.memory.make_room(FINDER_BYTES) if self.memory and movable else nullcontext()
        with room, ordinary_tensors():
            try:
                return super().find(picture, classes, text_threshold, clock)
            finally:
                if on_gpu():
                    for part in movable:
                        part.offload()


@contextmanager
def ordinary_tensors() -> Iterator[None]:
    """Where torch is at hand: no gradients, but no inference tensors either, which a kept model must not be made of."""
    torch: Any = sys.modules.get("torch")
    if torch is None:
        yield
        return
    with torch.inference_mode(False), torch.no_grad():
        yield


@contextmanager
def lend(
    name: str, models_dir: Path | None, memory: Memory, said: Callable[[str], None], keep: bool
) -> Iterator[HostFinder]:
    """The finder that `registry.choose` picks; loaded at the first call. Not kept: its models are unloaded after.

    Raises `FinderUnavailable` and `WeightsError`.
    """
    finder = _loaded(name, models_dir, said)
    try:
        yield HostFinder(finder.name, finder.detector, finder.segmenter, memory, said)
    finally:
        if not keep:
            finder.unload()


def _loaded(name: str, models_dir: Path | None, said: Callable[[str], None]) -> Finder:
    backend = choose(name, models_dir).backend
    key = (backend.name, models_dir)
    with _GUARD:
        if key not in _KEPT:
            said(f"Prodshot: loading the {backend.name} finder")
            with ordinary_tensors():
                _KEPT[key] = backend.load(models_dir)
        return _KEPT[key]


Answer = tuple[Picture, Sequence[ProductClass], Findings]


@dataclass(frozen=True)
class RememberingFinder(Finder):
    """A finder that looks at a picture once, however many variants are made of it."""

    inner: Finder | None = None
    answers: list[Answer] = field(default_factory=list)

    @classmethod
    def around(cls, inner: Finder, answers: list[Answer]) -> RememberingFinder:
        """Remember in `answers` what `inner` answers."""
        return cls(inner.name, inner.detector, inner.segmenter, inner, answers)

    def find(
        self,
        picture: Picture,
        classes: Sequence[ProductClass],
        text_threshold: float = 0.25,
        clock: Callable[[], float] | None = None,
    ) -> Findings:
        """As `Finder.find`."""
        assert self.inner is not None
        for known, asked, findings in self.answers:
            if asked == classes and np.array_equal(known, picture):
                return findings
        findings = self.inner.find(picture, classes, text_threshold, clock)
        self.answers[:] = [(picture, classes, findings)]
        return findings


@dataclass(frozen=True)
class RestrictedFinder(Finder):
    """A finder that sees the whole picture but keeps only what lies in `region` (H×W uint8, 255 = inside), such as a
    mask that the user has drawn."""

    inner: Finder | None = None
    region: npt.NDArray[np.uint8] | None = None

    @classmethod
    def around(cls, inner: Finder, region: npt.NDArray[np.uint8]) -> RestrictedFinder:
        """Keep what `inner` finds in `region`."""
        return cls(inner.name, inner.detector, inner.segmenter, inner, region)

    def find(
        self,
        picture: Picture,
        classes: Sequence[ProductClass],
        text_threshold: float = 0.25,
        clock: Callable[[], float] | None = None,
    ) -> Findings:
        """As `Finder.find`, each soft mask cut to the region; finds that lie wholly outside are left out."""
        assert self.inner is not None and self.region is not None
        findings = self.inner.find(picture, classes, text_threshold, clock)
        cut = [Find(find.box, np.where(self.region > 127, find.soft_mask, np.uint8(0))) for find in findings.finds]
        inside = tuple(find for find in cut if find.soft_mask.any())
        notes = (*findings.notes, "only inside the drawn mask") if findings.finds else findings.notes
        return replace(findings, finds=inside, notes=notes)
