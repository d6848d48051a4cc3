"""Room for a finder: asked for before it looks, given back before the WebUI samples, by each host's own means."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lib_prodshot.finding.finder import Finder
from lib_prodshot.hosts import finder_cache
from lib_prodshot.hosts.compatibility import flags, gpu_memory
from lib_prodshot.products import ProductClass
from tests.finders import BoxSegmenter, FixedDetector
from tests.hosts.calls import FLAGS_ADVISED
from tests.hosts.conftest import Double

pytestmark = pytest.mark.any_host

GB = 1 << 30


class FakeMemory:
    def __init__(self, told: list[str]) -> None:
        self.told = told

    @contextmanager
    def reserve(self, wanted: int) -> Iterator[None]:
        self.told.append("room")
        yield
        self.told.append("room given back")


def finder(told: list[str], movable: bool) -> Finder:
    detector, segmenter = FixedDetector(), BoxSegmenter()
    if movable:
        detector.offload = lambda: told.append("detector off")  # type: ignore[attr-defined]
        segmenter.offload = lambda: told.append("segmenter off")  # type: ignore[attr-defined]
    return finder_cache.sharing_gpu(Finder("fixed", detector, segmenter), FakeMemory(told), told.append)


def look(one: Finder) -> None:
    assert one.find(np.full((40, 40, 3), 200, np.uint8), (ProductClass("car", ("car",)),)).finds


def test_a_torch_finder_leaves_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(finder_cache, "on_gpu", lambda: True)
    look(finder(told, movable=True))
    assert told == ["Prodshot: looking for car", "room", "detector off", "segmenter off", "room given back"]


def test_without_a_gpu_nothing_is_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(finder_cache, "on_gpu", lambda: False)
    look(finder(told, movable=True))
    assert told == ["Prodshot: looking for car", "room", "room given back"]


def test_the_lite_finder_needs_no_room() -> None:
    told: list[str] = []
    look(finder(told, movable=False))
    assert told == ["Prodshot: looking for car"]


def fake_cuda(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    cuda = SimpleNamespace(is_available=lambda: True, mem_get_info=lambda: (free, 8 * GB))
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))  # type: ignore[arg-type]


@pytest.mark.parametrize(("free", "moves"), [(1 * GB, ["to cpu", "to device"]), (6 * GB, [])])
def test_a1111_moves_its_checkpoint_only_where_room_is_short(
    webui: Double, monkeypatch: pytest.MonkeyPatch, free: int, moves: list[str]
) -> None:
    fake_cuda(monkeypatch, free)
    done: list[str] = []
    monkeypatch.setattr(webui.sd_models, "send_model_to_cpu", lambda m: done.append("to cpu"))
    monkeypatch.setattr(webui.sd_models, "send_model_to_device", lambda m: done.append("to device"))
    chosen = gpu_memory.pick_memory()
    assert isinstance(chosen, gpu_memory.PlainMemory)
    with pytest.raises(ValueError, match="in the middle"), chosen.reserve(4 * GB):
        assert done == moves[:1]
        raise ValueError("in the middle")
    assert done == moves


def set_module(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> None:
    """Let one of a host's modules be imported, and the packages around it."""
    parts = module.__name__.split(".")
    for length in range(1, len(parts)):
        package = ModuleType(".".join(parts[:length]))
        package.__path__ = []
        monkeypatch.setitem(sys.modules, package.__name__, package)
    monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.mark.parametrize("name", ["backend.memory_management", "ldm_patched.modules.model_management"])
def test_the_forge_family_is_asked_for_room(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    fake_cuda(monkeypatch, 1 * GB)
    asked: list[Any] = []
    manager = ModuleType(name)
    manager.free_memory = lambda wanted, device: asked.append((wanted, device))  # type: ignore[attr-defined]
    manager.get_torch_device = lambda: "cuda:0"  # type: ignore[attr-defined]
    manager.soft_empty_cache = lambda: asked.append("emptied")  # type: ignore[attr-defined]
    set_module(monkeypatch, manager)
    with gpu_memory.pick_memory().reserve(4 * GB):
        assert asked == [(4 * GB, "cuda:0")]
    assert asked[-1] == "emptied"


def test_a_finder_that_is_not_kept_is_unloaded(webui: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    unloaded: list[str] = []
    monkeypatch.setattr(webui.detector, "unload", lambda: unloaded.append("detector"))
    webui.generate(accordion=[True, "car"])
    assert unloaded == []
    webui.shared.opts.data["prodshot_keep_loaded"] = False
    webui.generate(accordion=[True, "car"])
    assert unloaded == ["detector"]


@pytest.mark.parametrize("host", FLAGS_ADVISED)
def test_advice_names_the_flags_of_the_host(webui: Double, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """The old flags, which the Forge family still takes, stand beside those that it heeds."""
    file, memory, vae = FLAGS_ADVISED[host]
    old = SimpleNamespace(medvram=False, lowvram=False, no_half_vae=False)
    monkeypatch.setattr(webui.shared, "cmd_opts", old)
    if host != "a1111":
        module = ModuleType(file.removesuffix(".py").replace("/", "."))
        own = {flag.removeprefix("--").replace("-", "_"): False for flag in (memory, vae, "--novram")}
        module.args = SimpleNamespace(**own)  # type: ignore[attr-defined]
        set_module(monkeypatch, module)
    assert flags.memory_advice() == f"lower the resolution, or start the WebUI with {memory}"
    assert flags.vae_advice() == f"start the WebUI with {vae}, or use another VAE"


def test_advice_without_a_flag_names_none(webui: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webui.shared, "cmd_opts", SimpleNamespace())
    assert flags.memory_advice() == "lower the resolution" and flags.vae_advice() == "use another VAE"
