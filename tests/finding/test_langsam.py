"""Which implementation and which weights LangSAM takes, and why; an installed lang-sam; where models live."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lib_prodshot.errors import FinderError, FinderUnavailable, WeightsError
from lib_prodshot.finding import registry
from lib_prodshot.finding.finder import Backend
from lib_prodshot.finding.langsam import (
    backend as langsam,
)
from lib_prodshot.finding.langsam import (
    groundingdino,
    huggingface,
    lang_sam_package,
    segment_anything,
)
from lib_prodshot.finding.models.runtime import ModelHandle, is_out_of_memory
from lib_prodshot.model_files import Weights
from lib_prodshot.weights import Search

NEEDED = ("groundingdino-swint", "sam-vit-b", "bert-vocab")
Stage = Callable[..., None]


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Set which weights are here, which packages, and what the implementations lack."""
    for variable in ("PRODSHOT_LANGSAM", "PRODSHOT_DETECTOR", "PRODSHOT_SAM", "PRODSHOT_REFERENCE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(langsam, "own_files", lambda models_dir: ())

    def set_up(
        weights: tuple[str, ...] = NEEDED, packages: tuple[str, ...] = (), torch: bool = True, **missing: str
    ) -> None:
        def look_for(entry: Weights, models_dir: Path | None = None) -> Search:
            return Search(Path(entry.file) if entry.name in weights else None)

        monkeypatch.setattr(langsam, "look_for", look_for)
        there = {*(("torch", "torchvision") if torch else ()), *packages}
        monkeypatch.setattr(langsam, "find_spec", lambda name: name if name in there else None)
        for module, name in (
            (groundingdino, "groundingdino"),
            (segment_anything, "segment_anything"),
            (huggingface, "huggingface"),
            (lang_sam_package, "lang_sam"),
        ):
            words = missing.get(name, "No lang-sam." if name == "lang_sam" else "")
            monkeypatch.setattr(module, "missing_requirement", lambda words=words: words)

    set_up()
    return set_up


def test_the_packages_come_first(stage: Stage) -> None:
    plan = langsam.plan()
    assert (plan.detector, plan.segmenter, plan.missing) == ("groundingdino-py", "segment-anything", ())
    assert plan.reason == (
        "groundingdino-py finds with groundingdino_swint_ogc.pth, segment-anything masks with sam_vit_b_01ec64.pth"
    )


def test_transformers_does_what_a_package_cannot(stage: Stage) -> None:
    stage(groundingdino="groundingdino-py does not run with transformers 5.24.0.")
    assert (langsam.plan().detector, langsam.plan().segmenter) == ("transformers", "segment-anything")
    stage(groundingdino="Not here.", segment_anything="Not here either.", huggingface="Nor this.")
    assert langsam.plan().missing == ("Not here.", "Not here either.")


def test_where_nothing_is_installed_one_command_brings_it_all(stage: Stage) -> None:
    stage(torch=False, groundingdino="Not here.", segment_anything="Not here either.", huggingface="Nor this.")
    (sentence,) = langsam.plan().missing
    assert sentence.startswith("torch and torchvision missing: ") and "pip install '.[langsam]'" in sentence


@pytest.mark.parametrize(
    ("here", "on_gpu", "taken"),
    [
        (("sam-vit-b", "sam-vit-l", "sam-vit-h"), False, "sam_vit_b_01ec64.pth"),
        (("sam-vit-b", "sam-vit-l", "sam-vit-h"), True, "sam_vit_h_4b8939.pth"),
        (("sam-vit-l", "sam-vit-h"), False, "sam_vit_l_0b3195.pth"),
        (("sam-vit-h",), False, "sam_vit_h_4b8939.pth"),
        (("sam-vit-b", "mobile-sam"), False, "sam_vit_b_01ec64.pth"),
    ],
)
def test_sam_by_the_weights_that_are_here(stage: Stage, here: tuple[str, ...], on_gpu: bool, taken: str) -> None:
    stage((*here, "groundingdino-swinb", "bert-vocab"), ("mobile_sam",))
    plan = langsam.plan(on_gpu=on_gpu)
    assert plan.segmenter_weights == Path(taken) and plan.detector_weights == Path("groundingdino_swinb_cogcoor.pth")


def test_mobile_sam_where_its_package_is_and_nothing_better(stage: Stage) -> None:
    here = ("mobile-sam", "groundingdino-swint", "bert-vocab")
    stage(here, ("mobile_sam",), segment_anything="segment-anything is missing.")
    assert (langsam.plan().segmenter, langsam.plan().missing) == ("mobile-sam", ())
    stage(here)
    assert "sam_vit_b_01ec64.pth (375 MB) is missing" in langsam.plan().missing[0]


def test_one_can_be_asked_for_by_name(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage((*NEEDED, "sam-vit-h"))
    monkeypatch.setenv("PRODSHOT_SAM", "sam-vit-h")
    assert langsam.plan().segmenter_weights == Path("sam_vit_h_4b8939.pth")
    monkeypatch.setenv("PRODSHOT_LANGSAM", "transformers")
    assert (langsam.plan().detector, langsam.plan().segmenter) == ("transformers", "transformers")
    monkeypatch.setenv("PRODSHOT_SAM", "mobile-sam")
    assert langsam.plan().missing[0] == "The package mobile_sam is missing."
    monkeypatch.setenv("PRODSHOT_LANGSAM", "lang-sam")
    assert langsam.plan().missing == ("No lang-sam.",)
    stage(lang_sam="", groundingdino="x")
    monkeypatch.delenv("PRODSHOT_SAM")
    assert langsam.plan().missing == () and langsam.plan().reason.startswith("the installed lang-sam")
    stage(groundingdino="Not with transformers 5.")
    monkeypatch.setenv("PRODSHOT_LANGSAM", "groundingdino-py")
    assert langsam.plan().missing == ("Not with transformers 5.",)


@pytest.mark.parametrize(("variable", "known"), [("PRODSHOT_LANGSAM", "transformers"), ("PRODSHOT_SAM", "sam-vit-l")])
def test_a_wrong_name_is_told(stage: Stage, monkeypatch: pytest.MonkeyPatch, variable: str, known: str) -> None:
    monkeypatch.setenv(variable, "sam3")
    (sentence,) = langsam.plan().missing
    assert sentence.startswith(f"{variable} is 'sam3'; it may be") and known in sentence


def test_reference_can_be_asked_for(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    for module, name in ((groundingdino, "detector"), (segment_anything, "segmenter")):
        monkeypatch.setattr(module, name, lambda *files, reference, **others: seen.append(reference))
    langsam.load()
    monkeypatch.setenv("PRODSHOT_REFERENCE", "1")
    langsam.load()
    langsam.load(reference=False)
    assert seen == [False, False, True, True, False, False]


def test_auto_takes_langsam_when_its_weights_are_here_and_else_says_why_not(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    lite = Backend("lite", lambda models_dir: (), lambda models_dir: pytest.fail("loaded"))
    monkeypatch.setattr(registry, "backends", lambda: (langsam.BACKEND, lite))
    assert registry.choose().backend.name == "langsam"
    stage(("sam-vit-b", "bert-vocab"))
    choice = registry.choose()
    assert choice.backend.name == "lite"
    assert choice.reason.startswith("langsam is not ready: groundingdino_swint_ogc.pth (694 MB) is missing")
    with pytest.raises(FinderUnavailable, match=r"weights fetch groundingdino-swint"):
        registry.choose("langsam")


def test_a_lang_sam_that_cannot_be_made_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr(lang_sam_package, "missing_requirement", lambda: "")
    for error, kind, words in (
        (ImportError("no sam2"), FinderUnavailable, "lang-sam cannot be imported: no sam2"),
        (OSError("offline"), WeightsError, "lang-sam could not load its models: offline"),
    ):

        def fail(name: str, error: Exception = error) -> Any:
            raise error

        monkeypatch.setattr(lang_sam_package, "import_module", fail)
        with pytest.raises(kind, match=words):
            lang_sam_package.make()


def test_lang_sam_is_made_once_for_both_halves_and_unloaded_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    made: list[object] = []

    class Half:
        module = torch.nn.Identity()

    def make() -> object:
        made.append(object())
        return made[-1]

    monkeypatch.setattr(lang_sam_package, "make", make)
    shared = lang_sam_package._Shared()
    taken: list[object] = []
    halves = [
        lang_sam_package._SharedModelHandle(shared, lambda whole: taken.append(whole) or Half(), "cpu")
        for _ in range(2)
    ]
    for half in halves:
        half.run([lambda model, device: None], "half")
    assert len(made) == 1 and taken == made * 2 and shared._waiting is None
    halves[0].unload()
    halves[0].run([lambda model, device: None], "half")
    assert len(made) == 2 and shared._waiting is made[1]
    halves[0].unload()
    assert shared._waiting is None, "the half that nobody took is let go too"


def test_tf32_and_autocast_are_put_back_however_they_were_set() -> None:
    torch = pytest.importorskip("torch")
    matmul = torch.backends.cuda.matmul
    before = matmul.allow_tf32
    torch.set_autocast_cpu_enabled(True)
    try:
        with lang_sam_package.restored_numerics():
            torch.autocast("cpu", enabled=False).__enter__()
            matmul.allow_tf32 = not before
            torch.set_default_dtype(torch.float64)
        assert matmul.allow_tf32 is before and torch.is_autocast_cpu_enabled()
        assert torch.get_default_dtype() is torch.float32 and lang_sam_package._autocast_depth(torch) == 0
    finally:
        torch.set_autocast_cpu_enabled(False)
    if not hasattr(matmul, "fp32_precision"):
        return
    precision = matmul.fp32_precision
    matmul.fp32_precision = "tf32"  # from here on torch refuses to be asked by the old name
    try:
        with lang_sam_package.restored_numerics():
            matmul.allow_tf32 = False
        assert matmul.fp32_precision == "tf32"
    finally:
        matmul.allow_tf32 = before
        matmul.fp32_precision = precision


class Movable:
    """A model that notes where it was sent."""

    def __init__(self) -> None:
        self.module = self
        self.places: list[str] = []

    def to(self, device: Any) -> None:
        self.places.append(str(device))


def test_from_a_full_gpu_the_second_try_is_on_the_cpu_and_the_next_picture_on_the_gpu_again() -> None:
    torch = pytest.importorskip("torch")
    model = Movable()
    handle = ModelHandle(lambda: model, "cuda:0")
    sides: list[tuple[str, int]] = []

    def attempt(side: int) -> Any:
        def run(model: Movable, device: Any) -> str:
            sides.append((str(device), side))
            if device.type == "cuda" and len(sides) == 1:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return str(device)

        return run

    answer, notes = handle.run([attempt(800), attempt(512)], "detector")
    assert answer == "cpu" and sides == [("cuda:0", 800), ("cpu", 800)]
    assert "memory ran out, so the detector was run a second time" in notes[0]
    assert model.places == ["cuda:0", "cpu", "cpu"]
    assert handle.run([attempt(800), attempt(512)], "detector") == ("cuda:0", ())


def test_full_gpu_and_full_cpu_are_a_clear_failure() -> None:
    pytest.importorskip("torch")

    def fail(model: Movable, device: Any) -> None:
        raise RuntimeError("CUBLAS_STATUS_ALLOC_FAILED" if device.type == "cuda" else "std::bad_alloc")

    with pytest.raises(FinderError, match=r"the segmenter ran out of memory twice \(std::bad_alloc\)"):
        ModelHandle(Movable, "cuda:0").run([fail, fail], "segmenter")


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (MemoryError(), True),
        (RuntimeError("HIP out of memory."), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"), True),
        (RuntimeError("BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer of size 9"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_what_counts_as_full_memory(error: Exception, full: bool) -> None:
    assert is_out_of_memory(error) == full
