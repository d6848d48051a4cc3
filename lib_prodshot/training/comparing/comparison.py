"""The result of a comparison: every picture and every epoch in figures, and the epoch to take."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lib_prodshot.training.comparing.likeness import Copy, Likeness
from lib_prodshot.training.comparing.looks import Look
from lib_prodshot.training.comparing.recommending import EpochScore, Recommendation
from lib_prodshot.training.comparing.samples import Sample


@dataclass(frozen=True)
class Compared:
    """A sample picture with what was seen on it; `nearest` is the photograph that it is nearest to."""

    sample: Sample
    look: Look
    likeness: Likeness | None
    nearest: Path | None
    copy: Copy | None

    @property
    def copy_of(self) -> str:
        """The name of the photograph that it copies, empty where it copies none."""
        return self.nearest.name if self.nearest and self.copy and self.copy.is_copy else ""

    def to_json(self) -> dict[str, Any]:
        """The picture for programs."""
        alike = self.likeness
        return {
            "epoch": self.sample.epoch,
            "prompt": self.sample.prompt,
            "seed": None if self.sample.seed < 0 else self.sample.seed,
            "file": self.sample.file.name,
            "found": self.look.found,
            "score": self.look.score,
            "colour": alike and alike.colour,
            "shape": alike and alike.shape,
            "difference": alike and alike.difference,
            "nearest": self.nearest.name if self.nearest else None,
            "bits": self.copy.bits if self.copy else None,
            "copy_of": self.copy_of or None,
        }


@dataclass(frozen=True)
class Comparison:
    """The result: every epoch with pictures, every picture, the epoch to take, and `notes` of what else there is to
    say. `source` is what made the pictures, `losses` the run's curve (step, epoch, loss)."""

    run: Path
    name: str
    products: str
    finder: str
    source: str
    prompts: tuple[str, ...]
    photographs: int
    photographs_with_product: int
    epochs: tuple[EpochScore, ...]
    pictures: tuple[Compared, ...]
    recommendation: Recommendation
    losses: tuple[tuple[int, int, float], ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """For programs and the HTTP API: names of files, not paths."""
        return {
            "name": self.name,
            "products": self.products,
            "finder": self.finder,
            "source": self.source,
            "prompts": list(self.prompts),
            "photographs": self.photographs,
            "photographs_with_product": self.photographs_with_product,
            "epochs": [{**asdict(one), "copies": list(one.copies), "problem": one.problem} for one in self.epochs],
            "pictures": [one.to_json() for one in self.pictures],
            "recommended": self.recommendation.epoch or None,
            "reason": self.recommendation.reason,
            "notes": list(self.notes),
        }

    def to_text(self) -> str:
        """For people: a line for each epoch, and the recommendation."""
        lines = ["epoch  found   score  colour ΔE  shape  difference  loss    copies"]
        for one in self.epochs:
            shown = f"{one.found}/{one.pictures}"
            cells: tuple[str, ...] = (
                f"{one.epoch:>5}",
                f"{shown:>6}",
                f"{one.score:>6.2f}",
                f"{figure(one.colour, 1):>9}",
            )
            cells += (f"{figure(one.shape):>5}", f"{figure(one.difference):>10}", f"{figure(one.loss, 4):<6}")
            lines.append("  ".join((*cells, ", ".join(one.copies) or "-")))
        return "\n".join([*lines, "", self.recommended_text()])

    def recommended_text(self) -> str:
        """The recommendation in a sentence."""
        taken = self.recommendation
        head = f"take epoch {taken.epoch}" if taken.epoch else "no epoch can be recommended"
        return f"{head}: {taken.reason}"


def figure(value: float | None, digits: int = 2) -> str:
    """A figure of a table, '-' where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"
