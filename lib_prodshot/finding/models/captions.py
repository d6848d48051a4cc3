"""Captions for a grounding detector: product classes to tokens, and per-token logits back to scores by class.

GroundingDINO (Liu et al. 2023, arXiv:2303.05499) gives every box one logit for each token of its caption. The usual
way decodes tokens above a threshold into a phrase, which merges, halves or loses names ("watch watch", "car watch",
""). Here the tokens of each phrase are known from the tokenizer's offsets, so the logits are read by class:
a class scores the best of its phrases, a phrase the best of its tokens, and a box goes to the class that scores best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lib_prodshot.errors import FieldProblem, FinderError, RequestError, UnknownProducts
from lib_prodshot.products import ProductClass, clean_phrase

MAX_TOKENS = 256
"""Token limit of GroundingDINO's captions, its two special tokens included; it truncates the rest silently."""

NMS_IOU = 0.8
"""Non-maximum suppression: of boxes with a greater intersection over union only the best scored is kept.
GroundingDINO's 900 queries often find an object twice. The value is that of the Grounded-SAM demos."""

MAX_BOXES = 100
"""Limit of boxes in a picture, the best scored: COCO's own limit for an evaluation."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Phrase:
    """A phrase in a caption: its class, its text and the positions of its tokens."""

    class_index: int
    text: str
    tokens: tuple[int, ...]


@dataclass(frozen=True)
class Caption:
    """Input of one forward pass: phrases, each closed by a full stop, and the positions of their tokens."""

    text: str
    phrases: tuple[Phrase, ...]
    length: int


@dataclass(frozen=True)
class Captions:
    """The captions for all classes (one, unless they are over 256 tokens), and warnings for the user."""

    captions: tuple[Caption, ...]
    notes: tuple[str, ...] = ()


_ADVICE = "name it in English words that are in a dictionary, or set 'unknown' to 'leave out'"


@dataclass(frozen=True)
class AssignedBoxes:
    """The boxes of one picture by class: `boxes` n × 4 (as given), `classes` and `scores` n, `best` one a class."""

    boxes: Floats
    classes: npt.NDArray[np.intp]
    scores: Floats
    best: Floats
    below_text_threshold: int = 0
    """How many boxes reach their class's threshold, but not the text threshold."""


def make_captions(classes: Sequence[ProductClass], tokenizer: Any, finder: str, limit: int = MAX_TOKENS) -> Captions:
    """Distribute the classes over as few captions as the token limit allows; a phrase is never split.

    `tokenizer` is a fast tokenizer of transformers. Raises `RequestError` when there is no class, one without a
    letter or digit or a phrase too long for a caption, `UnknownProducts` naming every class of whose phrases none has
    a token that the vocabulary knows.
    """
    if not classes:
        raise RequestError([FieldProblem("products", "no product is named", "such as 'handbag, shoe'")])
    notes: list[str] = []
    lengths: list[tuple[int, str, int]] = []
    nameless: dict[str, tuple[str, ...]] = {}
    for index, product in enumerate(classes):
        known, unknown = _known_phrases(product, tokenizer, limit)
        if not known:
            nameless[product.name] = ()
        lengths += [(index, phrase, length) for phrase, length in known]
        notes += [f"the {finder} finder does not know {phrase!r} (of {product.name!r})" for phrase in unknown]
    if nameless:
        raise UnknownProducts(nameless, finder, _ADVICE)
    captions = [_write(group, tokenizer) for group in _groups(lengths, limit - 2)]
    if len(captions) > 1:
        notes.append(f"the products need {len(captions)} captions of {limit} tokens: each costs a run of the detector")
    return Captions(tuple(captions), tuple(notes))


def _known_phrases(product: ProductClass, tokenizer: Any, limit: int) -> tuple[list[tuple[str, int]], list[str]]:
    """The phrases of a class with their lengths in tokens (full stop included), and those without a known token."""
    known: list[tuple[str, int]] = []
    unknown: list[str] = []
    for phrase in dict.fromkeys(clean_phrase(text) for text in product.phrases):
        tokens = _tokens(f"{phrase} .", tokenizer)
        if len(tokens) > limit - 2:
            message = f"{phrase[:20]!r}… of {product.name!r} has {len(tokens)} tokens, at most {limit - 2} are read"
            raise RequestError([FieldProblem("products", message)])
        if any(_is_word(token, phrase, tokenizer) for token in tokens):
            known.append((phrase, len(tokens)))
        elif phrase:
            unknown.append(phrase)
    if not known and not unknown:
        raise RequestError([FieldProblem("products", f"{product.name!r} has no phrase with a letter or digit")])
    return known, unknown


@dataclass(frozen=True)
class _Token:
    position: int
    identity: int
    start: int
    end: int


def _tokens(text: str, tokenizer: Any) -> list[_Token]:
    """The tokens of a text without the special ones; positions count from the first special one."""
    encoded = tokenizer(text, return_offsets_mapping=True, return_special_tokens_mask=True)
    rows = zip(encoded["input_ids"], encoded["offset_mapping"], encoded["special_tokens_mask"], strict=True)
    return [
        _Token(position, identity, start, end)
        for position, (identity, (start, end), special) in enumerate(rows)
        if not special or identity == tokenizer.unk_token_id
    ]


def _is_word(token: _Token, text: str, tokenizer: Any) -> bool:
    """Whether a token is in the vocabulary and contains a letter or digit."""
    known = token.identity != tokenizer.unk_token_id
    return known and any(letter.isalnum() for letter in text[token.start : token.end])


def _groups(lengths: Sequence[tuple[int, str, int]], room: int) -> list[list[tuple[int, str]]]:
    """Group phrases into captions, in their order."""
    groups: list[list[tuple[int, str]]] = []
    left = 0
    for index, phrase, length in lengths:
        if not groups or length > left:
            groups.append([])
            left = room
        groups[-1].append((index, phrase))
        left -= length
    return groups


def _write(group: Sequence[tuple[int, str]], tokenizer: Any) -> Caption:
    text = " . ".join(phrase for _, phrase in group) + " ."
    tokens = _tokens(text, tokenizer)
    phrases: list[Phrase] = []
    begin = 0
    for index, phrase in group:
        end = begin + len(phrase)
        own = [token for token in tokens if begin <= token.start and token.end <= end]
        phrases.append(
            Phrase(index, phrase, tuple(token.position for token in own if _is_word(token, text, tokenizer)))
        )
        begin = end + len(" . ")
    return Caption(text, tuple(phrases), len(tokens) + 2)


def class_scores(logits: Floats, caption: Caption, count: int) -> Floats:
    """Compute scores of `count` classes for every box from raw logits (boxes × tokens): boxes × classes, 0 to 1.

    A class without a phrase in this caption scores 0. Raises `FinderError` when a logit is not a finite number.
    """
    read = logits[:, : caption.length]
    if not np.isfinite(read).all():
        raise FinderError(
            "the detector gave scores that are not finite numbers, so nothing can be said of the picture;"
            " its weights may be damaged, or the GPU's half precision overflowed: run it on the CPU"
        )
    scores = np.zeros((logits.shape[0], count), np.float32)
    for phrase in caption.phrases:
        words = _sigmoid(read[:, phrase.tokens]).max(axis=1)
        np.maximum(scores[:, phrase.class_index], words, out=scores[:, phrase.class_index])
    return scores


def _sigmoid(logits: Floats) -> Floats:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logits.astype(np.float64))), np.float32)


def assign(
    boxes: Floats, logits: Floats, caption: Caption, classes: Sequence[ProductClass], text_threshold: float
) -> AssignedBoxes:
    """Assign each box to its best scoring class and keep those at or above its threshold, best first.

    `boxes` is n × 4 in any form, `logits` n × tokens. A word below `text_threshold` does not count, as in LangSAM; in
    `best` it does, so that a skip can say how near it was. Raises `FinderError` as `class_scores` does.
    """
    scores = class_scores(logits, caption, len(classes))
    owners = scores.argmax(axis=1)
    of_owner = scores[np.arange(len(scores)), owners]
    thresholds = np.array([product.threshold for product in classes], np.float32)
    above = of_owner >= thresholds[owners]
    is_text_above = of_owner >= text_threshold
    kept = np.flatnonzero(above & is_text_above)
    kept = kept[np.argsort(-of_owner[kept], kind="stable")]
    best = scores.max(axis=0, initial=0.0)
    return AssignedBoxes(boxes[kept], owners[kept], of_owner[kept], best, int((above & ~is_text_above).sum()))


def merge(parts: Sequence[AssignedBoxes]) -> AssignedBoxes:
    """Merge the boxes of several captions, best first."""
    scores = np.concatenate([part.scores for part in parts])
    order = np.argsort(-scores, kind="stable")
    return AssignedBoxes(
        np.concatenate([part.boxes for part in parts])[order],
        np.concatenate([part.classes for part in parts])[order],
        scores[order],
        np.max([part.best for part in parts], axis=0),
        sum(part.below_text_threshold for part in parts),
    )


def non_maximum_suppression(corners: Floats, overlap: float = NMS_IOU) -> npt.NDArray[np.intp]:
    """Indices of the boxes (n × 4 x0, y0, x1, y1, best first) to keep, in their order."""
    areas = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
    kept: list[int] = []
    for index, box in enumerate(corners):
        others = corners[kept]
        low = np.maximum(others[:, :2], box[:2])
        high = np.minimum(others[:, 2:], box[2:])
        shared = np.prod(np.clip(high - low, 0, None), axis=1)
        if not (shared > overlap * (areas[kept] + areas[index] - shared)).any():
            kept.append(index)
    return np.array(kept, np.intp)
