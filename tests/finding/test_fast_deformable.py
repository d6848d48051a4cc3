"""The bag sum against bilinear sampling written out with `grid_sample`."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("transformers", reason="tested where LangSAM is: under the WebUIs' pins, on the same torch")
torch = pytest.importorskip("torch")

from lib_prodshot.finding.fast import probe  # noqa: E402 - torch may be missing
from lib_prodshot.finding.fast.deformable import bag_attention, levels_for  # noqa: E402

pytestmark = pytest.mark.any_host

CPU = torch.device("cpu")
SHAPES = (((13, 17), (7, 9), (4, 5), (2, 3)), ((1, 1),), ((5, 1), (1, 6)), ((100, 100), (50, 50), (25, 25), (13, 13)))


def sampled(value: Any, shapes: Any, x: Any, y: Any, weights: Any, heads: int) -> Any:
    """queries × channels, by the formula of Deformable DETR (zeros outside, align_corners off)."""
    queries, channels = x.shape[0], value.shape[-1] // heads
    points = x.shape[-1] // len(shapes)
    result = torch.zeros(queries, heads, channels, dtype=value.dtype)
    begin = 0
    for level, (height, width) in enumerate(shapes):
        picture = value[begin : begin + height * width].view(height, width, heads, channels).permute(2, 3, 0, 1)
        begin += height * width
        own = slice(level * points, (level + 1) * points)
        grid = torch.stack(((2 * x[..., own] + 1) / width - 1, (2 * y[..., own] + 1) / height - 1), -1)
        picked = torch.nn.functional.grid_sample(picture, grid.transpose(0, 1), align_corners=False)
        result += (picked * weights[..., own].transpose(0, 1)[:, None]).sum(-1).permute(2, 0, 1)
    return result.flatten(1)


def example(shapes: Any, queries: int = 50, heads: int = 4, points: int = 3, spread: float = 1.4) -> Any:
    """Values, coordinates in pixels of each level (some outside the picture) and weights."""
    torch.manual_seed(1)
    value = torch.randn(sum(height * width for height, width in shapes), heads * 8)
    x, y = (
        torch.cat(
            [(torch.rand(queries, heads, points) - 0.5) * spread * size[axis] + size[axis] / 2 for size in shapes], -1
        )
        for axis in (1, 0)
    )
    return value, x, y, torch.randn(queries, heads, points * len(shapes)).softmax(-1)


@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("spread", [1.0, 1.4, 6.0])
def test_equal_to_bilinear_sampling(shapes: Any, spread: float) -> None:
    value, x, y, weights = example(shapes, spread=spread)
    expected = sampled(value, shapes, x, y, weights, 4)
    levels = levels_for(shapes, 4, 3, CPU)
    found = bag_attention(levels.table(value[None]), levels, x.clone(), y.clone(), weights)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=2e-5)


def test_pictures_of_a_batch_read_their_own_values() -> None:
    first, x, y, weights = example(SHAPES[0])
    values = torch.stack((first, torch.randn_like(first), torch.randn_like(first)))
    levels = levels_for(SHAPES[0], 4, 3, CPU)
    inputs = [tensor.repeat(3, 1, 1) for tensor in (x, y, weights)]
    found = bag_attention(levels.table(values), levels, *inputs)
    expected = torch.cat([sampled(value, SHAPES[0], x, y, weights, 4) for value in values])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=2e-5)


def test_coordinates_on_the_very_border() -> None:
    shapes = ((4, 5),)
    value = torch.randn(20, 8)
    edges = torch.tensor([-1.0, -0.5, 0.0, 4.0, 4.5, 5.0, 3.0, -7.0, 1e9])
    x, y = (grid.reshape(-1, 1, 1) for grid in torch.meshgrid(edges, edges, indexing="ij"))
    weights = torch.ones_like(x)
    levels = levels_for(shapes, 1, 1, CPU)
    found = bag_attention(levels.table(value[None]), levels, x.clone(), y.clone(), weights)
    torch.testing.assert_close(found, sampled(value, shapes, x, y, weights, 1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_coordinate_that_is_not_finite_reads_inside_the_table(bad: float) -> None:
    value, x, y, weights = example(SHAPES[0])
    levels = levels_for(SHAPES[0], 4, 3, CPU)
    clean = bag_attention(levels.table(value[None]), levels, x.clone(), y.clone(), weights)
    x[7] = bad
    found = bag_attention(levels.table(value[None]), levels, x.clone(), y.clone(), weights)
    others = [number for number in range(50) if number != 7]
    torch.testing.assert_close(found[others], clean[others])
    assert bool(torch.isnan(found[7]).all()) == (bad != bad), "not a number in, not a number out"


def test_weights_that_are_not_numbers_come_out_as_such() -> None:
    value, x, y, weights = example(SHAPES[0])
    weights[3] = float("nan")
    levels = levels_for(SHAPES[0], 4, 3, CPU)
    assert torch.isnan(bag_attention(levels.table(value[None]), levels, x, y, weights)[3]).all()


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-4), (torch.bfloat16, 0.1), (torch.float16, 0.02)])
def test_other_dtypes_work_or_say_that_they_do_not(dtype: Any, tolerance: float) -> None:
    if not probe.bag_works(CPU, dtype):
        pytest.skip(f"this torch has no bag sum for {dtype} on the CPU: the wrappers call the plain layer")
    value, x, y, weights = example(SHAPES[0])
    expected = sampled(value, SHAPES[0], x, y, weights, 4)
    levels = levels_for(SHAPES[0], 4, 3, CPU)
    found = bag_attention(levels.table(value.to(dtype)[None]), levels, x, y, weights)
    torch.testing.assert_close(found.float(), expected, rtol=tolerance, atol=tolerance)


def test_a_map_too_large_for_exact_row_numbers_is_refused() -> None:
    with pytest.raises(ValueError, match="too large"):
        levels_for(((2000, 2000),), 8, 4, CPU)


def test_the_probe_finds_the_bag_sum_here_and_misses_it_where_the_operation_is_missing(monkeypatch: Any) -> None:
    assert probe.bag_works(CPU, torch.float32)
    probe.bag_works.cache_clear()

    def missing(*arguments: Any, **options: Any) -> Any:
        raise NotImplementedError("embedding_bag is not implemented for this device")

    with monkeypatch.context() as patch:
        patch.setattr(torch.nn.functional, "embedding_bag", missing)
        assert not probe.bag_works(CPU, torch.float32)
    probe.bag_works.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(torch.nn.functional, "embedding_bag", lambda rows, table, **others: table[rows[:, 0]])
        assert not probe.bag_works(CPU, torch.float32), "a wrong answer counts as missing"
    probe.bag_works.cache_clear()
