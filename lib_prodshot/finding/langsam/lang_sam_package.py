"""The models of an installed `lang-sam` (0.1 or 0.2), for users who already have it; never installed by us.

Its own `predict` answers in merged phrases, which cannot be told apart by class, so the models that it loaded are
asked directly: GroundingDINO for raw logits, SAM (0.1) or SAM 2.1 (0.2) for masks. It fetches its weights itself.
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
from lib_prodshot.finding.models.runtime import Model, Slot, building

M = TypeVar("M", bound=Model)


def lacking() -> str:
    """What is missing here, as one sentence; empty when it can run."""
    return "" if find_spec("lang_sam") else "The package lang-sam is not installed."


def pair(multimask: bool = False, device: str | None = None) -> tuple[GroundedDetector, BoxSegmenter]:
    """A detector and a segmenter on one `LangSAM`, which is made at their first use."""
    shared = _Shared()
    detector = GroundedDetector("lang-sam", _Half(shared, grounding_model, device))
    return detector, BoxSegmenter("lang-sam", _Half(shared, prompted_model, device), multimask)


class _Shared:
    """The one `LangSAM` object, until both of its models were taken from it; each may be unloaded by itself."""

    def __init__(self) -> None:
        self._waiting: Any = None

    def get(self) -> Any:
        made, self._waiting = self._waiting, None
        if made is None:
            made = self._waiting = make()
        return made

    def forget(self) -> None:
        """Let go of the model that nobody has taken."""
        self._waiting = None


class _Half(Slot[M]):
    """One model out of the shared object; unloaded, it takes the other along unless that is in use."""

    def __init__(self, shared: _Shared, take: Callable[[Any], M], device: str | None) -> None:
        super().__init__(lambda: take(shared.get()), device)
        self._shared = shared

    def unload(self) -> None:
        """As `Slot.unload`."""
        self._shared.forget()
        super().unload()


def make() -> Any:
    """Import lang-sam and make its `LangSAM`, undoing what it changes in the process.

    Importing 0.2 enters a bfloat16 autocast that is never left and allows TF32 for every other extension's products
    of matrices. Raises `FinderUnavailable` or `WeightsError` when it cannot be made.
    """
    if lacking():
        raise FinderUnavailable(f"lang-sam cannot run here. {lacking()}")
    try:
        with numerics_kept(), building():
            return import_module("lang_sam").LangSAM()
    except ImportError as error:
        raise FinderUnavailable(f"the installed lang-sam cannot be imported: {error}") from error
    except Exception as error:  # its downloads raise of every kind
        raise WeightsError(f"lang-sam could not load its models: {error}") from error


@contextmanager
def numerics_kept() -> Iterator[None]:
    """Put autocast, TF32 and the default dtype back as they were."""
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
        _put_back(precisions)
        torch.set_default_dtype(default)


def _autocast_depth(torch: Any) -> int:
    """How many autocasts are entered."""
    torch.autocast_increment_nesting()
    return int(torch.autocast_decrement_nesting())


def _precisions(torch: Any) -> list[tuple[Any, str, Any]]:
    """What float32 products are computed in, by torch's old names for it and by those it has from 2.9 on.

    It refuses to be asked by the old name once something was set by a new one.
    """
    cudnn = torch.backends.cudnn
    owners = (torch.backends.cuda.matmul, cudnn, getattr(cudnn, "conv", None), getattr(cudnn, "rnn", None))
    found = []
    for owner in owners:
        for name in ("allow_tf32", "fp32_precision"):
            with suppress(AttributeError, RuntimeError):
                found.append((owner, name, getattr(owner, name)))
    return found


def _put_back(precisions: list[tuple[Any, str, Any]]) -> None:
    for owner, name, value in precisions:
        with suppress(RuntimeError):
            if getattr(owner, name) == value:
                continue
        setattr(owner, name, value)


def grounding_model(langsam: Any) -> GroundingModel:
    """The detector inside a `LangSAM`: groundingdino-py's in 0.1, transformers' in 0.2."""
    if hasattr(langsam, "groundingdino"):
        from lib_prodshot.finding.langsam.groundingdino import look

        module = langsam.groundingdino.eval().requires_grad_(False)
        return GroundingModel(module, module.tokenizer, lambda pixels, caption: look(module, pixels, caption))
    from lib_prodshot.finding.langsam.huggingface import look as look_hf

    module, tokenizer = langsam.gdino.model.eval().requires_grad_(False), langsam.gdino.processor.tokenizer
    return GroundingModel(module, tokenizer, lambda pixels, caption: look_hf(module, tokenizer, pixels, caption))


def prompted_model(langsam: Any) -> PromptedModel:
    """The segmenter inside a `LangSAM`: a `SamPredictor`'s SAM in 0.1, a `SAM2ImagePredictor`'s in 0.2."""
    predictor = getattr(langsam.sam, "predictor", langsam.sam)
    module = predictor.model.eval().requires_grad_(False)
    if hasattr(module, "mask_decoder"):
        from lib_prodshot.finding.langsam.segment_anything import prompted

        return prompted(module)
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

    def decode(embedding: Any, boxes: Any, multimask: bool) -> tuple[Any, Any]:
        import torch

        corners = boxes.reshape(-1, 2, 2)
        labels = torch.tensor([[2, 3]], dtype=torch.int32, device=boxes.device).repeat(corners.shape[0], 1)
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
