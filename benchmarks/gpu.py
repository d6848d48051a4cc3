"""The LangSAM finder on a GPU against the packages it is built on, full-size random weights, all in one run.

    python -m benchmarks.gpu [--json gpu.json] [--check] [--only detector] [--device cuda] [--tiny]

It needs torch, torchvision, transformers below 5, groundingdino-py 0.4.0, segment-anything 1.0, pydantic, Pillow and
numpy, 16 GB of GPU memory, 12 GB of memory, and no network: the vocabulary is made up, the weights are random. Each
layer and each whole model runs as the packages built it and with the fast layers, SAM's also in half precision
(bfloat16 and float16), and its outputs are compared. `--only` measures parts (detector, SAM ViT-B, SAM ViT-H), whole
pictures only where the detector is among them. `--check` exits with 1 where outputs are further apart than the limits;
`--tiny --device cpu` tries the script itself. Random weights find nothing, so boxes and masks are
compared as numbers and sets, not as right or wrong; what half precision does to trained weights may differ.

Milliseconds are medians on the wall clock from call to end of the GPU's work. Runs with TF32 are there because WebUIs
switch it on for the whole process: it is what 'float32' means in them.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.device_timing import HEAD, START, TF32, Bench, Results, captured, say, tf32
from benchmarks.equality import Seen, distance, observe
from benchmarks.langsam import BEST, FOUR, boxes, picture
from benchmarks.measure import Unseen
from benchmarks.random_models import SWIN_T, VIT_B, write_detector, write_segmenter
from lib_prodshot.finding.langsam import groundingdino, segment_anything
from lib_prodshot.finding.models.architecture import DetectorShape, SegmenterShape
from lib_prodshot.finding.models.box_segmenter import BoxSegmenter
from lib_prodshot.finding.models.captions import class_scores, make_captions
from lib_prodshot.finding.models.grounded_detector import GroundedDetector
from lib_prodshot.finding.models.precision import AUTO, half_dtype
from lib_prodshot.finding.models.preprocessing import SHORT_SIDE, detector_pixels, segmenter_pixels
from lib_prodshot.finding.models.runtime import ModelHandle, inference, moved

VIT_H = replace(VIT_B, embed_dim=1280, depth=32, heads=16, feed_forward=5120, global_blocks=(7, 15, 23, 31))
BATCHES = 1, 2, 4, 8
REFERENCE, FULL, BFLOAT16, FLOAT16 = "reference", "full", "half bfloat16", "half float16"

DETECTOR_LAYERS = {
    "Swin backbone": "backbone.0",
    "fusion layer": "transformer.encoder.fusion_layers.0",
    "deformable encoder layer": "transformer.encoder.layers.0",
    "encoder, all layers": "transformer.encoder",
    "decoder's deformable attention": "transformer.decoder.layers.0.cross_attn",
    "decoder, all layers": "transformer.decoder",
}
LIMITS = {
    ("detector", FULL): {"encoder, image side": 1e-3, "boxes": 2e-3, "scores": 2e-3},
    ("SAM", FULL): {"embedding": 1e-3, "1 - smallest mask IoU": 1e-3},
    ("SAM", BFLOAT16): {"1 - smallest mask IoU": 0.05},
    ("SAM", FLOAT16): {"1 - smallest mask IoU": 0.02},
}
"""How far outputs may be from the packages' own float32 (`--check`)."""


def make_vocabulary(folder: Path) -> Path:
    """A vocabulary of BERT's size and order: its special tokens at their places, the captions' words, fillers."""
    words = [f"filler{number}" for number in range(30522)]
    special = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]", 1012: ".", 1029: "?"}
    for place, word in special.items():
        words[place] = word
    words[2000:2006] = ["hand", "bag", "shoe", "car", "watch", "tote"]
    path = folder / "vocab.txt"
    path.write_text("\n".join(words) + "\n", encoding="utf-8")
    return path


def variants(load: Callable[[bool], Any], bench: Bench) -> dict[str, Any]:
    """The model several times: the package's layers, the fast ones in float32, and in each half precision it knows."""
    import torch

    models = {REFERENCE: load(True), FULL: load(False)}
    halves = ((BFLOAT16, torch.bfloat16), (FLOAT16, torch.float16)) if models[FULL].halve else ()
    for name, dtype in halves:
        models[name] = load(False)
        with inference():
            count = models[name].halve(dtype, bench.device)
        say(f"  {name}: {count} linear layers in half precision")
    for model in models.values():
        model.module.to(bench.device)
    return models


def with_tf32(works: dict[str, Callable[[], Any]], device: Any) -> dict[str, Callable[[], Any]]:
    """Two float32 variants once more with TF32, on a GPU."""
    if device.type != "cuda":
        return works
    return {**works, **{name + TF32: works[name] for name in (REFERENCE, FULL) if name in works}}


def bench_detector(bench: Bench, models: dict[str, Any], short_side: int, batches: Sequence[int]) -> None:
    caption = make_captions(FOUR, models[REFERENCE].tokenizer, "benchmark").captions[0]
    shot = picture()
    pixels = detector_pixels(shot, short_side).to(bench.device)

    for what, path in DETECTOR_LAYERS.items():
        whole_run = forward_of(models[REFERENCE], pixels, caption.text, 1)
        inputs, named = captured(models[REFERENCE].module, path, whole_run)
        works = {name: caller(model.module.get_submodule(path), inputs, named) for name, model in models.items()}
        bench.compare("detector", what, with_tf32(works, bench.device))
    bench_deformable(bench, models[REFERENCE].module, pixels, caption.text)

    whole = {name: forward_of(model, pixels, caption.text, 1) for name, model in models.items()}
    whole = with_tf32(whole, bench.device)
    whole["full, grid_sample"] = without_bag(whole[FULL])
    bench.compare("detector", "whole", whole)
    profile_all(bench, "detector", whole)
    for batch in batches[1:]:
        works = {name: forward_of(model, pixels, caption.text, batch) for name, model in models.items()}
        works = with_tf32(works, bench.device)
        bench.compare("detector", "whole", works, batch)
    profile_all(bench, "detector", works, batch)
    compare_detectors(bench, models, pixels, caption)


def caller(module: Any, inputs: tuple[Any, ...], named: dict[str, Any]) -> Callable[[], Any]:
    """Calls a module with copies of what dictionaries it was given: the package writes into them."""
    return lambda: module(*inputs, **{key: copy.copy(value) for key, value in named.items()})


def forward_of(model: Any, pixels: Any, caption: str, batch: int) -> Callable[[], Any]:
    """One forward of the module for `batch` pictures, each the same shifted by some columns, with one caption."""
    import torch

    several = torch.cat([pixels.roll(17 * number, -1) for number in range(batch)])

    def run() -> Any:
        answer = model.module(several, captions=[caption] * batch)
        return answer["pred_logits"], answer["pred_boxes"]

    return run


def without_bag(work: Callable[[], Any]) -> Callable[[], Any]:
    """The same with the package's own `grid_sample` in place of the bag sum."""
    from lib_prodshot.finding.fast import groundingdino as fast

    def run() -> Any:
        kept, fast.bag_works = fast.bag_works, lambda device, dtype: False  # type: ignore[assignment]
        try:
            return work()
        finally:
            fast.bag_works = kept

    return run


def bench_deformable(bench: Bench, module: Any, pixels: Any, caption: str) -> None:
    """The sampling alone: the package's `grid_sample` and the bag sum."""
    import torch
    from groundingdino.models.GroundingDINO.ms_deform_attn import multi_scale_deformable_attn_pytorch as grid_sampled

    from lib_prodshot.finding.fast.deformable import bag_attention, levels_for

    path = "transformer.encoder.layers.0"
    _, named = captured(module, path, lambda: module(pixels, captions=[caption]))
    attention, shapes = module.get_submodule(path).self_attn, named["spatial_shapes"]
    heads, levels, points = attention.num_heads, attention.num_levels, attention.num_points
    sizes = tuple((int(height), int(width)) for height, width in shapes.tolist())
    layout = levels_for(sizes, heads, points, bench.device)
    with inference():
        values = attention.value_proj(named["src"])
        count = values.shape[1]
        draw = torch.Generator().manual_seed(0)
        places = torch.rand(1, count, heads, levels, points, 2, generator=draw).to(bench.device)
        weights = torch.rand(1, count, heads, levels, points, generator=draw).to(bench.device)
        weights /= weights.sum((-1, -2), keepdim=True)
        corners = places[0] * layout.sizes[None, None, :, None] - 0.5
        x, y = (corners[..., axis].reshape(count, heads, -1) for axis in (0, 1))

    split, flat = values.view(1, count, heads, -1), weights[0].reshape(count, heads, -1)
    works = {
        "grid_sample": lambda: grid_sampled(split, shapes, places, weights)[0],
        "bag": lambda: bag_attention(layout.table(values), layout, x.clone(), y.clone(), flat),
    }
    bench.compare("detector", "sampling alone", works)


def compare_detectors(bench: Bench, models: dict[str, Any], pixels: Any, caption: Any) -> None:
    """How far each variant's outputs are from the package's, its proposals ranked as the package ranks them."""
    with inference(), tf32(False):
        plain = observe(models[REFERENCE], pixels, caption.text)
    for name in (REFERENCE + TF32, FULL, FULL + TF32):
        model = models[name.removesuffix(TF32)]
        with inference(), tf32(name.endswith(TF32)):
            anew = observe(model, pixels, caption.text)
            same = observe(model, pixels, caption.text, proposals=plain.proposals)
        scores, expected = (scores_of(seen, caption) for seen in (same, plain))
        told = {
            "encoder, image side": distance(same.image, plain.image),
            "encoder, text side": distance(same.text, plain.text),
            "boxes": distance(same.boxes, plain.boxes),
            "boxes, mean": float((same.boxes - plain.boxes).abs().mean()),
            "scores": float(np.abs(scores - expected).max()),
            "scores, mean": float(np.abs(scores - expected).mean()),
            "other class": int((scores.argmax(1) != expected.argmax(1)).sum()),
            f"of {BEST} best boxes without a partner within 0.001": unmatched(plain, same, caption, 1e-3),
            f"of {BEST} best boxes without a partner within 0.01": unmatched(plain, same, caption, 1e-2),
            "ranked anew, within 0.01": unmatched(plain, anew, caption, 1e-2),
        }
        keep_outputs(bench.results, "detector", "detector", name, told)


def scores_of(seen: Seen, caption: Any) -> Any:
    return class_scores(seen.logits.float().cpu().numpy(), caption, len(FOUR))


def unmatched(one: Seen, other: Seen, caption: Any, tolerance: float) -> int:
    """Of the best boxes of each: how many lack a box of the same class as near in corners and score."""
    sets = []
    for seen in (one, other):
        scores = scores_of(seen, caption)
        sets.append(np.column_stack((seen.boxes.float().cpu().numpy(), scores.max(1), 10.0 * scores.argmax(1))))
    missing = 0
    for rows, others in ((sets[0], sets[1]), (sets[1], sets[0])):
        best = rows[np.argsort(-rows[:, 4])[:BEST]]
        missing += sum(not (np.abs(others - row).max(axis=1) < tolerance).any() for row in best)
    return missing


def keep_outputs(results: Results, part: str, kind: str, variant: str, told: dict[str, float]) -> None:
    results.outputs.append({"part": part, "variant": variant, **told})
    say(f"  {part}, {variant}: " + ", ".join(f"{name} {value:.3g}" for name, value in told.items()))
    for name, limit in LIMITS.get((kind, variant), {}).items():
        if not told[name] <= limit:
            results.missed.append(f"{part}, {variant}: {name} is {told[name]:.3g}, limit {limit:g}")


def bench_segmenter(
    bench: Bench, part: str, shape: SegmenterShape, models: dict[str, Any], batches: Sequence[int]
) -> None:
    import torch

    square = segmenter_pixels(picture(), shape.side).to(bench.device)
    encoder = models[REFERENCE].module.image_encoder
    layers = {"windowed block": "blocks.0", "global block": f"blocks.{shape.global_blocks[0]}", "neck": "neck"}
    for what, path in layers.items():
        inputs, named = captured(encoder, path, lambda: encoder(square))
        modules = {name: model.module.image_encoder.get_submodule(path) for name, model in models.items()}
        works = {name: caller(module, inputs, named) for name, module in modules.items()}
        bench.compare(part, what, with_tf32(works, bench.device))

    works = {name: encode_of(model, square) for name, model in models.items()}
    bench.compare(part, "encoder", with_tf32(works, bench.device))
    profile_all(bench, part, works)
    for batch in batches[1:]:
        several = torch.cat([square.roll(17 * number, -1) for number in range(batch)])
        works = with_tf32({name: encode_of(model, several) for name, model in models.items()}, bench.device)
        bench.compare(part, "encoder", works, batch)
    compare_segmenters(bench, part, models, square)


def encode_of(model: Any, pixels: Any) -> Callable[[], Any]:
    return lambda: model.encode(pixels)


def compare_segmenters(bench: Bench, part: str, models: dict[str, Any], square: Any) -> None:
    import torch

    prompts = torch.tensor([box.corners for box in boxes(4)], device=bench.device) * (square.shape[-1] / 1024)
    with inference(), tf32(False):
        embedding = models[REFERENCE].encode(square)
        logits = models[REFERENCE].decode(embedding, prompts, True)[0]
    for name in (REFERENCE + TF32, FULL, FULL + TF32, BFLOAT16, FLOAT16):
        model = models[name.removesuffix(TF32)]
        with inference(), tf32(name.endswith(TF32)):
            found = model.encode(square)
            masks = model.decode(found, prompts, True)[0]
        one, other = masks > 0, logits > 0
        iou = (one & other).sum((-1, -2)) / (one | other).sum((-1, -2)).clamp(min=1)
        told = {
            "embedding": distance(found, embedding),
            "embedding's deviation": float(embedding.std()),
            "mask logits": distance(masks, logits),
            "mask logits' deviation": float(logits.std()),
            "1 - smallest mask IoU": 1 - float(iou.min()),
        }
        keep_outputs(bench.results, part, "SAM", name, told)


def profile_all(bench: Bench, part: str, works: dict[str, Callable[[], Any]], batch: int = 1) -> None:
    """Per variant: the GPU's busy time, kernels started, and times that the program waited for the GPU."""
    if bench.device.type != "cuda":
        return
    from torch.profiler import ProfilerActivity, profile

    for name, work in works.items():
        with suppress(RuntimeError, AttributeError), inference(), tf32(name.endswith(TF32)):
            work()
            bench.wait()
            with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
                work()
                bench.wait()
            events = seen.key_averages()
            counts = {event.key: event.count for event in events}
            busy = sum(event.self_device_time_total for event in events if event.device_type.name == "CUDA")
            top = sorted(events, key=lambda event: -event.self_device_time_total)[:12]
            bench.note(
                part,
                "profile",
                variant=name,
                batch=batch,
                busy_ms=round(busy / 1000, 3),
                launches=sum(count for key, count in counts.items() if "LaunchKernel" in key),
                waits=sum(count for key, count in counts.items() if "Synchronize" in key),
                copies=sum(count for key, count in counts.items() if "cudaMemcpy" in key),
                top={event.key[:60]: round(event.self_device_time_total / 1000, 3) for event in top},
            )


def bench_pictures(bench: Bench, detectors: dict[str, Any], segmenters: dict[str, Any], part: str) -> None:
    """A picture's whole calls, its preparation on the CPU included: absent, and four boxes segmented."""
    device = str(bench.device)
    if bench.device.type == "cpu":  # half precision takes minutes there
        detectors = {name: detectors[name] for name in (REFERENCE, FULL)}
        segmenters = {name: segmenters[name] for name in (REFERENCE, FULL)}
    for side in (800, 2048):
        shot = picture(side, side)
        if part != "SAM ViT-H":
            find = {
                name: detecting(GroundedDetector("benchmark", ModelHandle(returning(model), device)), shot)
                for name, model in detectors.items()
            }
            bench.compare("picture", f"absent, {side}²", with_tf32(find, bench.device))
        segment = {
            name: segmenting(BoxSegmenter("benchmark", ModelHandle(returning(model), device)), shot)
            for name, model in segmenters.items()
        }
        bench.compare("picture", f"4 masks by {part}, {side}²", with_tf32(segment, bench.device))


def returning(model: Any) -> Callable[[], Any]:
    return lambda: model


def detecting(detector: GroundedDetector, shot: Any) -> Callable[[], Any]:
    another = Unseen(shot)
    return lambda: detector.detect(another(), FOUR, 0.25)


def segmenting(segmenter: BoxSegmenter, shot: Any) -> Callable[[], Any]:
    another = Unseen(shot)
    return lambda: segmenter.segment(another(), boxes(4))


def bench_moves(bench: Bench, part: str, models: dict[str, Any], square: Any) -> None:
    """Seconds for the weights to the CPU and back, and milliseconds for an input, page-locked and not."""
    for name in models.keys() & {FULL, FLOAT16}:
        module = models[name].module
        size = sum(tensor.numel() * tensor.element_size() for tensor in module.parameters())
        seconds = []
        for place in ("cpu", bench.device):
            start = time.perf_counter()
            module.to(place)
            bench.wait()
            seconds.append(round(time.perf_counter() - start, 3))
        bench.note(part, "moves", variant=name, mib=size // 2**20, off_seconds=seconds[0], back_seconds=seconds[1])
    plain = statistics.median(bench.times(lambda: square.to(bench.device)))
    locked = statistics.median(bench.times(lambda: moved(square, bench.device)))
    bench.note(part, "input to the device", plain_ms=round(plain, 3), page_locked_ms=round(locked, 3))


def describe(device: Any) -> dict[str, Any]:
    import torch
    import transformers

    told = {"torch": torch.__version__, "transformers": transformers.__version__, "name": str(device)}
    if device.type == "cuda":
        told["name"] = torch.cuda.get_device_name(device)
        told["capability"] = ".".join(map(str, torch.cuda.get_device_capability(device)))
        told["memory_gib"] = round(torch.cuda.get_device_properties(device).total_memory / 2**30, 1)
    told["auto"] = str(half_dtype(AUTO, device))
    return told


@dataclass(frozen=True)
class Plan:
    """What is measured: the shapes of the models, the detector's shorter side, and the batches."""

    detector: DetectorShape
    segmenters: dict[str, SegmenterShape]
    short_side: int
    batches: Sequence[int]
    with_detector: bool = True

    def only(self, parts: Sequence[str]) -> Plan:
        """The plan for some parts. Raises ValueError for one that it lacks."""
        unknown = set(parts) - {"detector", *self.segmenters}
        if unknown:
            raise ValueError(f"no part {', '.join(sorted(unknown))}; there are detector, {', '.join(self.segmenters)}")
        segmenters = {part: shape for part, shape in self.segmenters.items() if part in parts}
        return replace(self, segmenters=segmenters, with_detector="detector" in parts)

    @classmethod
    def of(cls, tiny: bool) -> Plan:
        if not tiny:
            return cls(SWIN_T, {"SAM ViT-B": VIT_B, "SAM ViT-H": VIT_H}, SHORT_SIDE, BATCHES)
        from tests.finding import tiny as shapes

        return cls(shapes.DETECTOR, {"SAM tiny": shapes.SEGMENTER}, 160, BATCHES[:2])


def run(bench: Bench, plan: Plan, folder: Path) -> Iterator[str]:
    """Measure all of a plan, telling after each stage what is done."""
    detectors: dict[str, Any] = {}
    if plan.with_detector:
        vocabulary = make_vocabulary(folder)
        weights = write_detector(plan.detector, vocabulary, folder / "detector.pth")
        detectors = variants(lambda reference: groundingdino.load(weights, vocabulary, reference=reference), bench)
        yield "detectors loaded"
        bench_detector(bench, detectors, plan.short_side, plan.batches)
        yield "detector measured"
    file = folder / "sam.pth"
    for part, shape in plan.segmenters.items():
        write_segmenter(shape, file)
        segmenters = variants(lambda reference: segment_anything.load(file, reference=reference), bench)
        yield f"{part} loaded"
        bench_segmenter(bench, part, shape, segmenters, plan.batches)
        yield f"{part} measured"
        if detectors:
            bench_pictures(bench, detectors, segmenters, part)
        bench_moves(bench, part, segmenters, segmenter_pixels(picture(), shape.side))
        yield f"{part} on pictures and moves measured"
        del segmenters
    bench_moves(bench, "detector", detectors, detector_pixels(picture()))


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--device", default="cuda", help="a torch device (default: %(default)s)")
    options.add_argument("--tiny", action="store_true", help="tiny models, to try the script itself")
    options.add_argument("--check", action="store_true", help="exit with 1 when a limit is missed")
    options.add_argument("--only", action="append", metavar="PART", help="detector or a SAM by its name; repeatable")
    options.add_argument("--json", type=Path, default=Path("gpu.json"), help="default: %(default)s")
    chosen = options.parse_args()
    import torch

    device = torch.device(chosen.device)
    plan = Plan.of(chosen.tiny)
    plan = plan.only(chosen.only) if chosen.only else plan
    results = Results(device=describe(device))
    say(f"{results.device}\n{HEAD}")
    with tempfile.TemporaryDirectory() as folder:
        for stage in run(Bench(device, results), plan, Path(folder)):
            say(f"[{time.perf_counter() - START:.0f} s] {stage}")
            chosen.json.write_text(json.dumps(asdict(results), indent=1) + "\n", encoding="utf-8")
    chosen.json.write_text(json.dumps(asdict(results), indent=1) + "\n", encoding="utf-8")
    for line in results.missed:
        say(f"missed: {line}")
    say(f"[{time.perf_counter() - START:.0f} s] done")
    return int(chosen.check and bool(results.missed))


if __name__ == "__main__":
    sys.exit(main())
