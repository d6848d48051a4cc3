"""Adapter for the models of an installed `lang-sam` (0.1 or 0.2); we never install it.

Its own `predict` returns merged phrases, which cannot be assigned to classes, so the models that it loaded are run
directly: GroundingDINO for raw logits, SAM (0.1) or SAM 2.1 (0.2) for masks. It downloads its weights itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TypeVar

from lib_prodshot.errors import FinderUnavailable, WeightsError
from lib_prodshot.finding.models.box_segmenter import BoxSegmenter, PromptedModel
from lib_prodshot.finding.models.grounded_detector import GroundedDetector, GroundingModel
from lib_prodshot.finding.models.runtime import Model, ModelHandle, building

M = TypeVar("M", bound=Model)


def missing_requirement() -> str:
    """The missing requirement as one sentence; empty when lang-sam is installed."""
    return "" if find_spec("lang_sam") else "The package lang-sam is not installed."


def pair(multimask: bool = False, device: str | None = None) -> tuple[GroundedDetector, BoxSegmenter]:
    """A detector and a segmenter that share one `LangSAM`, created at their first use."""
    shared = _Shared()
    detector = GroundedDetector("lang-sam", _SharedModelHandle(shared, grounding_model, device))
    return detector, BoxSegmenter("lang-sam", _SharedModelHandle(shared, prompted_model, device), multimask)


class _Shared:
    """Holds the `LangSAM` object until both of its models were taken from it; each can be unloaded separately."""

    def __init__(self) -> None:
        self._waiting: Any = None

    def get(self) -> Any:
        made, self._waiting = self._waiting, None
        if made is None:
            made = self._waiting = make()
        return made

    def clear(self) -> None:
        """Drop the model that was not taken."""
        self._waiting = None


class _SharedModelHandle(ModelHandle[M]):
    """Handle of one model of the shared object; unloading also drops the other one unless that is in use."""

    def __init__(self, shared: _Shared, take: Callable[[Any], M], device: str | None) -> None:
        super().__init__(lambda: take(shared.get()), device)
        self._shared = shared

    def unload(self) -> None:
        """As `ModelHandle.unload`."""
        self._shared.clear()
        super().unload()


def make() -> Any:
    """Import lang-sam and create its `LangSAM`, restoring the numeric settings that it changes process-wide.

    Importing 0.2 enters a bfloat16 autocast that is never left and allows TF32 for every other extension's matrix
    products. Raises `FinderUnavailable` or `WeightsError`.
    """
    if missing_requirement():
        raise FinderUnavailable(f"lang-sam cannot run here. {missing_requirement()}")
    try:
        with restored_numerics(), building():
            return import_module("lang_sam").LangSAM()
    except ImportError as error:
        raise FinderUnavailable(f"the installed lang-sam cannot be imported: {error}") from error
    except Exception as error:  # its downloads raise of every kind
        raise WeightsError(f"lang-sam could not load its models: {error}") from error


@contextmanager
def restored_numerics() -> Iterator[None]:
    """Restore autocast, TF32 and the default dtype on exit."""
    import torch

    default = torch.get_default_dtype()
    depth = _autocast_depth(torch)
    autocast = torch.is_autocast_enabled(), torch.get_autocast_gpu_dtype()
    autocast_cpu = torch.is_autocast_cpu_enabled(), torch.get_autocast_cpu_dtype()
    cache = torch.is_autocast_cache_enabled()
    precisions = _precisions(torch)
    try:
        yield
    finally:
        torch.set_autocast_enabled(autocast[0])
        torch.set_autocast_gpu_dtype(autocast[1])
        torch.set_autocast_cpu_enabled(autocast_cpu[0])
        torch.set_autocast_cpu_dtype(autocast_cpu[1])
        torch.set_autocast_cache_enabled(cache)
        # one level too many, and torch would never again empty its cache of weights cast to half precision
        for _ in range(_autocast_depth(torch) - depth):
            torch.autocast_decrement_nesting()
        if not depth:
            torch.clear_autocast_cache()
        _restore_precisions(precisions)
        torch.set_default_dtype(default)


def _autocast_depth(torch: Any) -> int:
    """The current autocast nesting depth."""
    torch.autocast_increment_nesting()
    return int(torch.autocast_decrement_nesting())


def _precisions(torch: Any) -> list[tuple[Any, str, Any]]:
    """The float32 precision settings, under torch's old names and under those it has from 2.9 on.

    Reading an old name raises once a new one was set.
    """
    cudnn = torch.backends.cudnn
    owners = (torch.backends.cuda.matmul, cudnn, getattr(cudnn, "conv", None), getattr(cudnn, "rnn", None))
    found = []
    for owner in owners:
        for name in ("allow_tf32", "fp32_precision"):
            with suppress(AttributeError, RuntimeError):
                found.append((owner, name, getattr(owner, name)))
    return found


def _restore_precisions(precisions: list[tuple[Any, str, Any]]) -> None:
    for owner, name, value in precisions:
        with suppress(RuntimeError):
            if getattr(owner, name) == value:
                continue
        setattr(owner, name, value)


def grounding_model(langsam: Any) -> GroundingModel:
    """The detector inside a `LangSAM`: groundingdino-py's in 0.1, transformers' in 0.2."""
    if hasattr(langsam, "groundingdino"):
        from lib_prodshot.finding.langsam.groundingdino import forward

        module = langsam.groundingdino.eval().requires_grad_(False)
        return GroundingModel(module, module.tokenizer, lambda pixels, caption: forward(module, pixels, caption))
    from lib_prodshot.finding.langsam.huggingface import forward as forward_hf

    module, tokenizer = langsam.gdino.model.eval().requires_grad_(False), langsam.gdino.processor.tokenizer
    return GroundingModel(module, tokenizer, lambda pixels, caption: forward_hf(module, tokenizer, pixels, caption))


def prompted_model(langsam: Any) -> PromptedModel:
    """The segmenter inside a `LangSAM`: a `SamPredictor`'s SAM in 0.1, a `SAM2ImagePredictor`'s in 0.2."""
    predictor = getattr(langsam.sam, "predictor", langsam.sam)
    module = predictor.model.eval().requires_grad_(False)
    if hasattr(module, "mask_decoder"):
        from lib_prodshot.finding.langsam.segment_anything import prompted_model as prompted_sam

        return prompted_sam(module)
    return _prompted_sam2(module)


def _prompted_sam2(module: Any) -> PromptedModel:
    """SAM 2 (Ravi et al. 2024, arXiv:2408.00714) for single pictures, as its `SAM2ImagePredictor` runs it."""

    def encode(pixels: Any) -> Any:
        features = module.forward_image(pixels)
        _, levels, _, sizes = module._prepare_backbone_features(features)
        if module.directly_add_no_mem_embed:
            levels[-1] = levels[-1] + module.no_mem_embed
        maps = [level.permute(1, 2, 0).view(1, -1, *size) for level, size in zip(levels, sizes, strict=True)]
        return maps[-1], maps[:-1]

    def decode(embedding: Any, boxes: Any, multimask: bool, points: Any = None) -> tuple[Any, Any]:
        import torch

        # a box is two points of labels of their own
        parts = [] if points is None else [points]
        if boxes is not None:
            corners = boxes.reshape(-1, 2, 2)
            ends = torch.tensor([[2, 3]], dtype=torch.int32, device=boxes.device).repeat(corners.shape[0], 1)
            parts.insert(0, (corners, ends))
        corners, labels = (torch.cat(values, dim=1) for values in zip(*parts, strict=True))
        sparse, dense = module.sam_prompt_encoder(points=(corners, labels), boxes=None, masks=None)
        logits, qualities, *_ = module.sam_mask_decoder(
            image_embeddings=embedding[0],
            image_pe=module.sam_prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=multimask,
            repeat_image=corners.shape[0] > 1,
            high_res_features=embedding[1],
        )
        return logits, qualities

    return PromptedModel(module, int(module.image_size), encode, decode, stretch=True)
