"""Classes to captions and raw logits to classes: on hand-made logits, and with BERT's real vocabulary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lib_prodshot.errors import FinderError, RequestError, UnknownProducts
from lib_prodshot.finding.models.captions import (
    Caption,
    Phrase,
    assign,
    class_scores,
    make_captions,
    merge,
    non_maximum_suppression,
)
from lib_prodshot.products import ProductClass, parse_products

NEVER = -20.0
"""A logit whose score rounds to 0."""

BAG = ProductClass("bag", ("hand bag", "tote"), 0.3)
CAR = ProductClass("car", ("car",), 0.5)
# [CLS] hand bag . tote . car . [SEP]
CAPTION = Caption(
    "hand bag . tote . car .", (Phrase(0, "hand bag", (1, 2)), Phrase(0, "tote", (4,)), Phrase(1, "car", (6,))), 9
)
NOTHING = np.zeros((0, 4), np.float32)


def logits(*rows: dict[int, float]) -> Any:
    """Rows of 256 logits as the model gives them: -inf beyond the caption, NEVER but at the given tokens."""
    table = np.full((len(rows), 256), -np.inf, np.float32)
    table[:, :9] = NEVER
    for row, values in zip(table, rows, strict=True):
        for token, score in values.items():
            row[token] = np.log(score / (1 - score))
    return table


def boxes(count: int) -> Any:
    return np.arange(4 * count, dtype=np.float32).reshape(count, 4)


def test_a_class_scores_the_best_token_of_its_best_phrase() -> None:
    scores = class_scores(logits({1: 0.4, 2: 0.6, 4: 0.1}, {4: 0.7, 1: 0.2}, {6: 0.9, 2: 0.3}), CAPTION, 2)
    np.testing.assert_allclose(scores, [[0.6, 0.0], [0.7, 0.0], [0.3, 0.9]], atol=1e-6)


def test_stops_and_special_tokens_belong_to_no_class() -> None:
    assert class_scores(logits({0: 0.99, 3: 0.99, 5: 0.99, 7: 0.99, 8: 0.99}), CAPTION, 2).max() < 1e-6


def test_a_box_goes_to_the_class_that_scores_best_and_only_to_that() -> None:
    found = assign(boxes(1), logits({1: 0.6, 6: 0.7}), CAPTION, (BAG, CAR), 0.25)
    assert found.classes.tolist() == [1]
    assert found.scores.tolist() == pytest.approx([0.7])


def test_each_class_has_its_own_threshold_and_the_best_score_of_all_is_told() -> None:
    found = assign(boxes(3), logits({1: 0.35}, {6: 0.35}, {6: 0.49}), CAPTION, (BAG, CAR), 0.25)
    assert found.classes.tolist() == [0]
    assert found.boxes.tolist() == [[0, 1, 2, 3]]
    assert found.best.tolist() == pytest.approx([0.35, 0.49])


def test_a_box_below_the_threshold_of_its_best_class_is_not_given_to_the_second_best() -> None:
    assert assign(boxes(1), logits({1: 0.4, 6: 0.45}), CAPTION, (BAG, CAR), 0.25).classes.tolist() == []


def test_boxes_come_best_first() -> None:
    found = assign(boxes(3), logits({1: 0.5}, {1: 0.9}, {1: 0.7}), CAPTION, (BAG, CAR), 0.25)
    assert found.scores.tolist() == pytest.approx([0.9, 0.7, 0.5])
    assert found.boxes[:, 0].tolist() == [4, 8, 0]


def test_a_word_below_the_text_threshold_does_not_count_but_the_user_is_told() -> None:
    low = ProductClass("bag", ("hand bag",), 0.1)
    found = assign(boxes(2), logits({1: 0.2}, {1: 0.26}), CAPTION, (low, CAR), 0.25)
    assert found.scores.tolist() == pytest.approx([0.26])
    assert found.below_text_threshold == 1
    assert found.best[0] == pytest.approx(0.26)


def test_scores_are_equal_to_the_threshold_or_above() -> None:
    exact = class_scores(logits({1: 0.3}), CAPTION, 2)[0, 0]
    at = ProductClass("bag", ("hand bag",), float(exact))
    assert len(assign(boxes(1), logits({1: 0.3}), CAPTION, (at, CAR), 0.25).scores) == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_a_failure_and_never_absence(bad: float) -> None:
    table = logits({1: 0.3})
    table[0, 5] = bad
    with pytest.raises(FinderError, match="not finite"):
        class_scores(table, CAPTION, 2)


def test_no_query_is_no_box() -> None:
    found = assign(NOTHING, logits(), CAPTION, (BAG, CAR), 0.25)
    assert len(found.scores) == 0
    assert found.best.tolist() == [0, 0]


def test_what_several_captions_found_is_joined_best_first() -> None:
    one = assign(boxes(1), logits({1: 0.5}), CAPTION, (BAG, CAR), 0.25)
    two = assign(boxes(1) + 9, logits({6: 0.8}), CAPTION, (BAG, CAR), 0.25)
    joined = merge([one, two])
    assert joined.classes.tolist() == [1, 0]
    assert joined.boxes[:, 0].tolist() == [9, 0]
    assert joined.best.tolist() == pytest.approx([0.5, 0.8])


def test_one_object_found_twice_is_one_box() -> None:
    corners = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 7], [20, 0, 30, 10]], np.float32)
    assert non_maximum_suppression(corners).tolist() == [0, 2, 3]


@pytest.fixture(scope="module")
def tokenizer(vocabulary: Path) -> Any:
    """The fast tokenizer, with whatever transformers is here."""
    pytest.importorskip("transformers")
    from lib_prodshot.finding.langsam.huggingface import make_tokenizer

    return make_tokenizer(vocabulary, 30522)


def words(caption: Caption, tokenizer: Any) -> list[tuple[int, list[str]]]:
    """The tokens that the caption's phrases point at, in the vocabulary's own spelling."""
    pieces = tokenizer.convert_ids_to_tokens(tokenizer(caption.text)["input_ids"])
    assert len(pieces) == caption.length
    return [(phrase.class_index, [pieces[token] for token in phrase.tokens]) for phrase in caption.phrases]


def test_watch_or_watch_dial_is_one_class_with_two_phrases(tokenizer: Any) -> None:
    classes = parse_products("hand bag, shoe, car, watch or watch dial")
    made = make_captions(classes, tokenizer, "test")
    (caption,) = made.captions
    assert caption.text == "hand bag . shoe . car . watch . watch dial ."
    assert words(caption, tokenizer) == [
        (0, ["hand", "bag"]),
        (1, ["shoe"]),
        (2, ["car"]),
        (3, ["watch"]),
        (3, ["watch", "dial"]),
    ]
    assert made.notes == ()
    # the reference's phrases on this caption: 'watch watch', 'car watch', 'bag', '[CLS] hand bag', ''
    table = np.full((5, 256), -np.inf, np.float32)
    table[:, : caption.length] = NEVER
    dial, watch = caption.phrases[4].tokens, caption.phrases[3].tokens
    for row, tokens in enumerate(((dial[0], watch[0]), (dial[1],), (caption.phrases[0].tokens[1],), (0,), ())):
        table[row, list(tokens)] = 2.0
    found = assign(boxes(5), table, caption, classes, 0.25)
    assert [classes[index].name for index in found.classes] == ["watch", "watch", "hand bag"]


def test_car_never_reads_scarf(tokenizer: Any) -> None:
    classes = parse_products("car, scarf, carpet")
    (caption,) = make_captions(classes, tokenizer, "test").captions
    assert words(caption, tokenizer) == [(0, ["car"]), (1, ["scarf"]), (2, ["carpet"])]
    table = np.full((1, 256), -np.inf, np.float32)
    table[:, : caption.length] = NEVER
    table[0, list(caption.phrases[1].tokens)] = 3.0
    assert class_scores(table, caption, 3)[0].tolist() == pytest.approx([0.0, 0.9526, 0.0], abs=1e-4)


def test_a_word_in_pieces_keeps_all_of_them(tokenizer: Any) -> None:
    (caption,) = make_captions(parse_products("birkenstock sandal"), tokenizer, "test").captions
    ((_, pieces),) = words(caption, tokenizer)
    assert "".join(piece.removeprefix("##") for piece in pieces) == "birkenstocksandal"
    assert len(pieces) > 2


def test_signs_between_words_say_nothing(tokenizer: Any) -> None:
    (caption,) = make_captions(parse_products("t-shirt, men's shoe, café cup"), tokenizer, "test").captions
    assert words(caption, tokenizer) == [
        (0, ["t", "shirt"]),
        (1, ["men", "s", "shoe"]),
        (2, ["cafe", "cup"]),
    ]


def test_full_stops_and_question_marks_of_the_user_do_not_end_a_phrase(tokenizer: Any) -> None:
    (caption,) = make_captions((ProductClass("no. 5?", ("no. 5?",)),), tokenizer, "test").captions
    assert caption.text == "no 5 ."


@pytest.mark.parametrize("special", ["[SEP] bag", "[CLS]", "[PAD] [MASK] bag", "[UNK] bag"])
def test_special_tokens_in_a_name_are_plain_letters(tokenizer: Any, special: str) -> None:
    (caption,) = make_captions(parse_products(special), tokenizer, "test").captions
    identities = tokenizer(caption.text)["input_ids"]
    assert identities.count(tokenizer.sep_token_id) == identities.count(tokenizer.cls_token_id) == 1
    assert caption.phrases[0].tokens


def test_a_class_without_a_known_word_is_refused_by_name(tokenizer: Any) -> None:
    unknown = chr(0x13080) * 2  # hieroglyphs
    with pytest.raises(UnknownProducts) as refused:
        make_captions(parse_products(f"car, {unknown}"), tokenizer, "groundingdino")
    assert list(refused.value.unknown) == [unknown]
    assert "groundingdino finder does not know" in str(refused.value)
    assert refused.value.problems[0].field == "products"


def test_an_unknown_synonym_is_left_out_with_a_note(tokenizer: Any) -> None:
    unknown = chr(0x13080)
    made = make_captions(parse_products(f"eye: {unknown}"), tokenizer, "test")
    assert made.captions[0].text == "eye ."
    assert unknown in made.notes[0] and "eye" in made.notes[0]


@pytest.mark.parametrize("classes", [(), (ProductClass("...", ("...",)),), (ProductClass("bag", ()),)])
def test_no_class_or_an_empty_one_is_refused(tokenizer: Any, classes: tuple[ProductClass, ...]) -> None:
    with pytest.raises(RequestError) as refused:
        make_captions(classes, tokenizer, "test")
    assert refused.value.problems[0].field == "products"


def test_over_256_tokens_is_split_between_phrases_with_a_warning(tokenizer: Any) -> None:
    classes = parse_products(", ".join(f"leather hand bag number {number} with a strap" for number in range(60)))
    made = make_captions(classes, tokenizer, "test")
    assert len(made.captions) == 3
    assert all(caption.length <= 256 for caption in made.captions)
    assert [phrase.class_index for caption in made.captions for phrase in caption.phrases] == list(range(60))
    for caption in made.captions:
        assert all(pieces[:3] == ["leather", "hand", "bag"] for _, pieces in words(caption, tokenizer))
    assert "3 captions" in made.notes[0]


def test_256_tokens_exactly_is_one_caption(tokenizer: Any) -> None:
    classes = tuple(ProductClass(f"bag {number}", (f"bag {number}",)) for number in range(10, 94))
    short = make_captions((*classes, ProductClass("shoe", ("shoe",))), tokenizer, "test")
    assert [caption.length for caption in short.captions] == [256]
    longer = make_captions((*classes, ProductClass("red shoe", ("red shoe",))), tokenizer, "test")
    assert len(longer.captions) == 2


def test_a_phrase_longer_than_a_caption_is_refused_by_name(tokenizer: Any) -> None:
    with pytest.raises(RequestError, match="bag bag"):
        make_captions((ProductClass("bag", ("bag " * 300,)),), tokenizer, "test")
