"""SAM's attention in chunks and its windows, against the formula written out and against the package's block."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

pytest.importorskip("transformers", reason="tested where LangSAM is: under the WebUIs' pins, on the same torch")
torch = pytest.importorskip("torch")

from lib_prodshot.finding.fast import attention, layers, probe  # noqa: E402 - torch may be missing
from lib_prodshot.finding.fast.sam import EncoderBlock, accelerate, whole_of, windows_of  # noqa: E402
from lib_prodshot.finding.fast.swap import restore  # noqa: E402

pytestmark = pytest.mark.any_host

CPU = torch.device("cpu")


def written_out(qkv: Any, heads: int, rel_pos_h: Any, rel_pos_w: Any) -> Any:
    """Softmax over all scores at once: windows × height × width × channels."""
    windows, height, width, channels = qkv.shape[0], qkv.shape[1], qkv.shape[2], qkv.shape[3] // 3
    split = qkv.reshape(windows, height, width, 3, heads, channels // heads)
    q, k, v = (split[:, :, :, part] for part in range(3))
    scores = torch.einsum("nyxad,nYXad->nayxYX", q, k) * (channels // heads) ** -0.5
    rows = torch.arange(height)[:, None] - torch.arange(height)[None] + height - 1
    columns = torch.arange(width)[:, None] - torch.arange(width)[None] + width - 1
    scores = scores + torch.einsum("nyxad,yYd->nayxY", q, rel_pos_h[rows])[..., None]
    scores = scores + torch.einsum("nyxad,xXd->nayxX", q, rel_pos_w[columns])[..., None, :]
    shares = scores.flatten(-2).softmax(-1).view_as(scores)
    return torch.einsum("nayxYX,nYXad->nyxad", shares, v).reshape(windows, height, width, channels)


@pytest.mark.parametrize("budget", [1, 30, 200, 3000, 2**21])
@pytest.mark.parametrize(("windows", "height", "width"), [(5, 4, 4), (1, 9, 7), (3, 1, 1)])
def test_any_chunking_gives_the_same(monkeypatch: Any, budget: int, windows: int, height: int, width: int) -> None:
    monkeypatch.setattr(attention, "BIAS_ELEMENTS", budget)
    torch.manual_seed(0)
    qkv = torch.randn(windows, height, width, 3 * 24)
    tables = torch.randn(2 * height - 1, 8), torch.randn(2 * width - 1, 8)
    found = attention.decomposed_attention(qkv, 3, *tables)
    torch.testing.assert_close(found, written_out(qkv, 3, *tables), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("height", "width", "window"), [(6, 6, 3), (7, 5, 3), (2, 2, 3), (8, 8, 3)])
def test_windows_hold_every_token_once(height: int, width: int, window: int) -> None:
    tokens = torch.arange(2.0 * height * width * 4).view(2, height, width, 4)
    filling = torch.full((4,), -1.0)
    cut = windows_of(tokens, window, filling)
    assert cut.shape[1:3] == (window, window)
    assert (cut >= 0).sum() == tokens.numel()
    assert torch.equal(whole_of(cut, height, width), tokens)


def encoder(window: int = 3, grid: int = 8) -> Any:
    """A tiny image encoder of the package, no parameter of it zero."""
    modeling = pytest.importorskip("segment_anything.modeling")
    from benchmarks.random_models import redraw

    built = modeling.ImageEncoderViT(
        img_size=16 * grid,
        embed_dim=48,
        depth=3,
        num_heads=3,
        out_chans=16,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=window,
        global_attn_indexes=(1,),
    )
    redraw(built, 0)
    return built.eval().requires_grad_(False)


class Sam:
    """What `accelerate` looks at."""

    def __init__(self, image_encoder: Any) -> None:
        self.image_encoder = image_encoder


@pytest.mark.parametrize("rows", [1, 1024])
@pytest.mark.parametrize(("window", "grid"), [(3, 8), (4, 8), (14, 16)])
def test_the_encoder_gives_the_packages_embedding(monkeypatch: Any, rows: int, window: int, grid: int) -> None:
    monkeypatch.setattr(layers, "ROWS", rows)
    built = encoder(window, grid)
    picture = torch.randn(2, 3, 16 * grid, 16 * grid)
    with torch.no_grad():
        expected = built(picture)
        assert accelerate(Sam(built)) == 3
        found = built(picture)
    assert expected.abs().max() > 0.5
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_what_is_missing_leaves_the_packages_block_to_do_the_work(monkeypatch: Any) -> None:
    built = encoder()
    picture = torch.randn(1, 3, 128, 128)
    with torch.no_grad():
        expected = built(picture)
        accelerate(Sam(built))
        monkeypatch.setattr("lib_prodshot.finding.fast.sam.attention_works", lambda device, dtype: False)
        assert torch.equal(built(picture), expected)


def test_swapping_twice_is_swapping_once_and_restoring_takes_all_out() -> None:
    built = encoder()
    blocks = list(built.blocks)
    names = set(built.state_dict())
    accelerate(Sam(built))
    accelerate(Sam(built))
    assert all(isinstance(block, EncoderBlock) for block in built.blocks)
    assert not any(isinstance(block.plain, EncoderBlock) for block in built.blocks)
    assert restore(built) == 3
    assert list(built.blocks) == blocks
    assert set(built.state_dict()) == names


def test_an_encoder_of_another_kind_is_left_alone() -> None:
    class TinyVit(torch.nn.Module):
        pass

    assert accelerate(Sam(TinyVit())) == 0
    without = encoder()
    without.blocks[0].attn.use_rel_pos = False
    assert accelerate(Sam(without)) == 0


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_dtypes(dtype: Any) -> None:
    built = encoder().to(dtype)
    picture = torch.randn(1, 3, 128, 128, dtype=dtype)
    with torch.no_grad():
        expected = built(picture)
        accelerate(Sam(built))
        found = built(picture)
    assert found.dtype is dtype
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9 if dtype is torch.float64 else 0.3)


def test_the_probe_sees_what_is_missing(monkeypatch: Any) -> None:
    assert probe.attention_works(CPU, torch.float32)
    probe.attention_works.cache_clear()
    monkeypatch.delattr(torch.nn.functional, "scaled_dot_product_attention")
    assert not probe.attention_works(CPU, torch.float32)
    probe.attention_works.cache_clear()
