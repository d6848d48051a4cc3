"""The fast layers of GroundingDINO one by one against the package's, none of their gates and offsets zero."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("groundingdino")
pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

from benchmarks.random_models import redraw  # noqa: E402 - the packages may be missing
from lib_prodshot.finding.langsam import groundingdino as backend  # noqa: E402

if backend.missing_requirement():
    pytest.skip(backend.missing_requirement(), allow_module_level=True)

from lib_prodshot.finding.fast import groundingdino as fast  # noqa: E402
from lib_prodshot.finding.fast import layers, windows  # noqa: E402
from lib_prodshot.finding.fast.swap import swap_items  # noqa: E402

pytestmark = pytest.mark.any_host

SHAPES = torch.tensor([[13, 17], [7, 9], [4, 5], [2, 3]])
POSITIONS = int(SHAPES.prod(1).sum())


def ready(module: Any) -> Any:
    redraw(module, 0)
    return module.eval().requires_grad_(False)


def close(found: Any, expected: Any, tolerance: float = 2e-5) -> None:
    assert expected.abs().max() > 0.1, "the layer does something"
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)


def encoder_layer(activation: str = "relu") -> Any:
    from groundingdino.models.GroundingDINO.transformer import DeformableTransformerEncoderLayer

    return ready(DeformableTransformerEncoderLayer(64, 128, 0.0, activation, 4, 8, 4))


def encoder_inputs(batch: int) -> dict[str, Any]:
    torch.manual_seed(0)
    padding = torch.zeros(batch, POSITIONS, dtype=torch.bool)
    padding[:, -20:] = True
    return {
        "src": torch.randn(batch, POSITIONS, 64),
        "pos": torch.randn(batch, POSITIONS, 64),
        "reference_points": torch.rand(batch, POSITIONS, 4, 2),
        "spatial_shapes": SHAPES,
        "level_start_index": None,
        "key_padding_mask": padding,
    }


@pytest.mark.parametrize("rows", [1, 100, 1024])
@pytest.mark.parametrize("batch", [1, 2])
def test_encoder_layer(monkeypatch: Any, rows: int, batch: int) -> None:
    monkeypatch.setattr(layers, "ROWS", rows)
    plain = encoder_layer()
    inputs = encoder_inputs(batch)
    close(fast.EncoderLayer(plain)(**inputs), plain(**inputs))


def test_encoder_layer_without_padding_and_with_another_activation() -> None:
    plain = encoder_layer("gelu")
    inputs = {**encoder_inputs(1), "key_padding_mask": None}
    close(fast.EncoderLayer(plain)(**inputs), plain(**inputs))


def test_encoder_layer_does_not_change_its_input() -> None:
    inputs = encoder_inputs(1)
    before = inputs["src"].clone()
    fast.EncoderLayer(encoder_layer())(**inputs)
    assert torch.equal(inputs["src"], before)


@pytest.mark.parametrize("coordinates", [2, 4])
def test_cross_attention_round_points_and_boxes(coordinates: int) -> None:
    from groundingdino.models.GroundingDINO.ms_deform_attn import MultiScaleDeformableAttention

    plain = ready(MultiScaleDeformableAttention(64, 8, 4, 4, batch_first=True))
    inputs = {
        "query": torch.randn(1, 30, 64),
        "value": torch.randn(1, POSITIONS, 64),
        "reference_points": torch.rand(1, 30, 4, coordinates),
        "spatial_shapes": SHAPES,
        "level_start_index": None,
        "key_padding_mask": torch.zeros(1, POSITIONS, dtype=torch.bool),
    }
    close(fast.CrossAttention(plain)(**inputs), plain(**inputs))


@pytest.mark.parametrize("tokens", [1, 9, 256])
@pytest.mark.parametrize("padded", [False, True])
def test_fusion_layer(tokens: int, padded: bool) -> None:
    from groundingdino.models.GroundingDINO.fuse_modules import BiAttentionBlock

    plain = ready(BiAttentionBlock(64, 64, 128, 4, dropout=0.0, drop_path=0.1))
    image, text = torch.randn(2, POSITIONS, 64), torch.randn(2, tokens, 64)
    image_padding, text_padding = torch.zeros(2, POSITIONS, dtype=torch.bool), torch.zeros(2, tokens, dtype=torch.bool)
    if padded and tokens > 1:
        image_padding[1, -50:] = True
        text_padding[0, -1:] = True
    expected = plain(image, text, image_padding, text_padding)
    for found, other in zip(fast.FusionLayer(plain)(image, text, image_padding, text_padding), expected, strict=True):
        close(found, other)


def test_fusion_layer_with_scores_that_would_overflow_an_exponential() -> None:
    from groundingdino.models.GroundingDINO.fuse_modules import BiAttentionBlock

    plain = ready(BiAttentionBlock(64, 64, 128, 4, dropout=0.0))
    plain.attn.v_proj.weight.mul_(60)
    plain.attn.l_proj.weight.mul_(60)
    image, text = torch.randn(1, 300, 64), torch.randn(1, 7, 64)
    for found, other in zip(fast.FusionLayer(plain)(image, text), plain(image, text), strict=True):
        close(found, other, 2e-3)


@pytest.mark.parametrize("rows", [1, 250, 1024])
@pytest.mark.parametrize(("height", "width"), [(14, 14), (20, 9), (21, 23)])
def test_swin_stage_with_shifted_windows(monkeypatch: Any, rows: int, height: int, width: int) -> None:
    monkeypatch.setattr(layers, "ROWS", rows)
    stage, tokens = swin_stage(), torch.randn(2, height * width, 48)
    expected = stage(tokens, height, width)[0]
    assert swap_items(stage.blocks, fast.SwinBlock) == 2
    close(stage(tokens, height, width)[0], expected)


def swin_stage() -> Any:
    from groundingdino.models.GroundingDINO.backbone.swin_transformer import BasicLayer

    return ready(BasicLayer(dim=48, depth=2, num_heads=3, window_size=7))


@pytest.mark.parametrize(("height", "width", "shift"), [(14, 14, 3), (20, 9, 3), (5, 30, 0), (21, 23, 3)])
def test_the_parts_of_a_feature_map_hold_every_token_once(height: int, width: int, shift: int) -> None:
    parts = windows.parts_of(height, width, 7, shift, 2, torch.device("cpu"))
    assert sorted(torch.cat([part.tokens for part in parts]).tolist()) == list(range(height * width))
    for part in parts:
        assert len(part.tokens) == (part.size if part.places is None else len(part.places))
        assert part.windows is not None or part.places is None, "what is padded is no plain window"
    in_order = windows.parts_of(height, width, 7, shift, 2, torch.device("meta"))
    firsts = [part.windows.start for part in in_order if isinstance(part.windows, slice)]
    assert firsts == list(range(0, len(in_order) * 2, 2))
    assert sum(part.size for part in in_order) == sum(part.size for part in parts)


def test_only_windows_of_the_last_row_and_column_are_masked() -> None:
    """What is taken for granted of the package: the masks of all others are zero."""
    stage = swin_stage()
    masks: list[Any] = []
    stage.blocks[1].register_forward_pre_hook(lambda block, inputs: masks.append(inputs[1]))
    stage(torch.randn(1, 21 * 23, 48), 21, 23)
    parts = windows.parts_of(21, 23, 7, 3, 2, torch.device("cpu"))
    special = torch.cat([part.windows for part in parts if part.windows is not None])
    plain = torch.ones(len(masks[0]), dtype=torch.bool).index_fill(0, special, False)
    assert masks[0].any() and plain.any() and not masks[0][plain].any()


def test_attention_without_its_weights() -> None:
    plain = ready(torch.nn.MultiheadAttention(64, 8))
    query, key = torch.randn(5, 1, 64), torch.randn(9, 1, 64)
    mask = torch.zeros(1, 9, dtype=torch.bool)
    mask[0, -2:] = True
    expected = plain(query, key, key, key_padding_mask=mask)[0]
    found, weights = fast.QuietAttention(plain)(query, key, key, key_padding_mask=mask)
    close(found, expected)
    assert weights is None


def test_a_missing_operation_leaves_the_packages_layers_to_do_the_work(monkeypatch: Any) -> None:
    for name in ("bag_works", "attention_works"):
        monkeypatch.setattr(fast, name, lambda device, dtype: False)
    plain = encoder_layer()
    inputs = encoder_inputs(1)
    assert torch.equal(fast.EncoderLayer(plain)(**inputs), plain(**inputs))
    attention = plain.self_attn
    query = {**inputs, "query": inputs["src"], "value": inputs["src"]}
    for key in ("src", "pos"):
        query.pop(key)
    assert torch.equal(fast.CrossAttention(attention)(**query), attention(**query))
    stage, tokens = swin_stage(), torch.randn(1, 14 * 9, 48)
    expected = stage(tokens, 14, 9)[0]
    swap_items(stage.blocks, fast.SwinBlock)
    assert torch.equal(stage(tokens, 14, 9)[0], expected)


def test_the_same_text_is_encoded_once_and_another_anew() -> None:
    calls: list[int] = []

    class Plain(torch.nn.Module):
        def forward(self, input_ids: Any, note: Any = None) -> Any:
            calls.append(1)
            return {"last_hidden_state": input_ids * 2.0}

    encoder = fast.TextEncoder(Plain())
    text = torch.tensor([[1, 2, 3]])
    for inputs in ({"input_ids": text}, {"input_ids": text.clone()}, {"input_ids": text, "note": None}):
        assert torch.equal(encoder(**inputs)["last_hidden_state"], text * 2.0)
    assert len(calls) == 2
    text += 1
    assert torch.equal(encoder(input_ids=text, note=None)["last_hidden_state"], text * 2.0), "overwritten in place"
    assert torch.equal(encoder(input_ids=text[:, :2], note=None)["last_hidden_state"], text[:, :2] * 2.0)
    assert len(calls) == 4
