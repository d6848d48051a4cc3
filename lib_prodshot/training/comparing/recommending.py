"""Which epoch to take, and why: one rule, written here and told with every recommendation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from lib_prodshot.training.comparing.likeness import Likeness


@dataclass(frozen=True)
class Seen:
    """One sample picture of an epoch as the rule sees it: how sure the finder is, whether the product is there, how
    like it is, and the photograph that it copies (empty: none)."""

    found: bool
    score: float
    likeness: Likeness | None = None
    copy_of: str = ""


_TOO_LONG = "train fewer epochs or repeats, or with more photographs"
_TOO_SHORT = (
    "train longer, look whether the captions have the activation tag, or lower box_threshold where the pictures do show"
    " it"
)


@dataclass(frozen=True)
class EpochScore:
    """An epoch: its LoRA's file (empty: it is gone), the loss at its end, and its sample pictures in figures.

    `score`, `colour`, `shape` and `difference` are means, the latter three over the pictures with the product; `noise`
    is the standard error of `difference`. `copies` are the photographs that pictures of it copy.
    """

    epoch: int
    lora: str
    loss: float | None
    pictures: int
    found: int
    score: float
    colour: float | None
    shape: float | None
    difference: float | None
    noise: float
    copies: tuple[str, ...]

    @classmethod
    def of(cls, epoch: int, lora: str, loss: float | None, pictures: Sequence[Seen]) -> EpochScore:
        """The figures of an epoch from its pictures, of which there is one at least."""
        alike = [one.likeness for one in pictures if one.likeness is not None]
        differences = [one.difference for one in alike]
        return cls(
            epoch=epoch,
            lora=lora,
            loss=loss,
            pictures=len(pictures),
            found=sum(one.found for one in pictures),
            score=round(fmean(one.score for one in pictures), 4),
            colour=round(fmean(one.colour for one in alike), 2) if alike else None,
            shape=round(fmean(one.shape for one in alike), 4) if alike else None,
            difference=round(fmean(differences), 4) if alike else None,
            noise=round(stdev(differences) / len(differences) ** 0.5, 4) if differences[1:] else 0.0,
            copies=tuple(dict.fromkeys(one.copy_of for one in pictures if one.copy_of)),
        )

    @property
    def found_share(self) -> float:
        """The share of its pictures that show the product."""
        return self.found / self.pictures

    @property
    def problem(self) -> str:
        """Why it is not recommended whatever else it is, empty where nothing speaks against it."""
        return self._problem[0]

    @property
    def way_out(self) -> str:
        """What to do about its problem, empty where it has none."""
        return self._problem[1]

    @property
    def _problem(self) -> tuple[str, str]:
        if not self.lora:
            return "its LoRA is gone", "put it back, or train it once more"
        if self.copies:
            return f"a picture of it is a copy of {self.copies[0]}", _TOO_LONG
        return ("", "") if self.found else ("none of its pictures shows the product", _TOO_SHORT)


@dataclass(frozen=True)
class Recommendation:
    """The epoch to take and why; 0 where none can be recommended, and then `reason` says what to do."""

    epoch: int
    reason: str


def recommend(scores: Sequence[EpochScore]) -> Recommendation:
    """The epoch to take, by this rule:

    1. An epoch whose LoRA is gone, of which a picture copies a photograph (it has memorised them), or whose pictures
       never show the product, is out.
    2. Of the others those stay whose pictures show the product most often: a share of their pictures, so that epochs
       with fewer pictures can be compared.
    3. Of these the one that differs least from the photographs (`Likeness.difference`) sets the measure, and the
       earliest that differs by no more than the measure's standard error beyond it is taken: what trained longer and is
       no better for sure has only lost freedom (the one-standard-error rule of Breiman, Friedman, Olshen, Stone 1984,
       Classification and Regression Trees).
    """
    possible = [one for one in scores if not one.problem]
    if not possible:
        return Recommendation(0, _why_none(scores))
    most = max(one.found_share for one in possible)
    likely = [one for one in possible if one.found_share == most]
    best = min(likely, key=_difference)
    taken = min(
        (one for one in likely if _difference(one) <= _difference(best) + best.noise), key=lambda one: one.epoch
    )
    return Recommendation(taken.epoch, _why(taken, best, scores))


def _difference(one: EpochScore) -> float:
    return one.difference if one.difference is not None else 1.0


def _why(taken: EpochScore, best: EpochScore, scores: Sequence[EpochScore]) -> str:
    words = [f"the product is on {taken.found} of its {taken.pictures} pictures"]
    words.append(f"it differs from the photographs {_difference(taken):.2f} times as much as these among each other")
    if taken is not best:
        words.append(
            f"epoch {best.epoch} is no nearer for sure ({_difference(best):.2f}, give or take {best.noise:.2f}), "
            "and the earlier one is freer"
        )
    copying = [str(one.epoch) for one in scores if one.copies]
    if copying:
        words.append(f"epoch {', '.join(copying)} copies photographs")
    return "; ".join(words)


def _why_none(scores: Sequence[EpochScore]) -> str:
    if all(one.lora and one.copies for one in scores):
        return f"every epoch copies photographs: {_TOO_LONG}"
    if all(one.lora and not one.found for one in scores):
        return f"no picture shows the product: {_TOO_SHORT}"
    epochs: dict[str, list[str]] = {}
    for one in scores:
        epochs.setdefault(f"{one.problem} ({one.way_out})", []).append(str(one.epoch))
    sentences = (f"{', '.join(those)}: {problem}" for problem, those in epochs.items())
    return f"something speaks against each epoch; {'; '.join(sentences)}"
