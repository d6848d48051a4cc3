"""The summary of a folder job: counts, classes, time per stage, pictures per worker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lib_prodshot.errors import tells_of_unknown
from lib_prodshot.jobs.report.ledger import Line
from lib_prodshot.outcome import WAS_ENLARGED, gravity_of

STAGES = ("read", "find", "mask", "enhance", "preserve", "write")
"""The stages of one picture, in their order; 'detect' and 'segment' are parts of 'find'."""

NAMED = 5
"""So many of the pictures that failed, and of those that need a look, are named on the console."""

_COUNTERS = ("statuses", "pictures", "detections", "workers", "seconds", "timed", "unknown")


@dataclass
class Summary:
    """Totals over report lines. `seconds` are summed over all pictures by stage, without waiting; `before` pictures
    were already done when this run began; `listed` are those that the job is about; `refused` have a packshot that its
    marketplace would refuse, `review` need a look, `enlarged` of them for nothing but an enlarged product. `unknown`
    are the notes of products that were not looked for, by how many pictures have them. Of those that failed the first
    few are named (`failures`: file, reason), of those that need a look the gravest (`gravest`: how grave, file,
    reasons)."""

    listed: int
    before: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    pictures: Counter[str] = field(default_factory=Counter)
    detections: Counter[str] = field(default_factory=Counter)
    workers: Counter[str] = field(default_factory=Counter)
    seconds: Counter[str] = field(default_factory=Counter)
    timed: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    review: int = 0
    enlarged: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    gravest: list[tuple[float, str, str]] = field(default_factory=list)
    notes: tuple[str, ...] = ()

    def add(self, lines: Iterable[Line]) -> Summary:
        """Add these lines to the totals; returns itself."""
        for line in lines:
            self.statuses[str(line["status"])] += 1
            self.workers[str(line.get("worker"))] += 1
            self.refused += any(made.get("passed") is False for made in line.get("packshots") or ())
            self.review += bool(line.get("needs_review"))
            self.enlarged += is_enlarged_alone(line)
            self._name(line)
            self.unknown.update(filter(tells_of_unknown, map(str, line.get("notes") or ())))
            labels = [str(found["label"]) for found in line.get("detections") or []]
            if line["status"] == "found":
                self.pictures.update(set(labels))
                self.detections.update(labels)
            for stage, spent in (line.get("seconds") or {}).items():
                self.seconds[stage] += spent
                self.timed[stage] += 1
        return self

    def _name(self, line: Line) -> None:
        """Note a picture that the console is to name."""
        if line["status"] == "failed":
            self._keep([(str(line["file"]), str(line.get("reason")))], [])
        elif line.get("needs_review"):
            told = "; ".join(map(str, line["needs_review"]))
            self._keep([], [(gravity_of(line), str(line["file"]), told)])

    def _keep(self, failures: Iterable[tuple[str, str]], gravest: Iterable[tuple[float, str, str]]) -> None:
        # by name where nothing else tells them apart: the order in which pictures are done is chance
        self.failures = sorted((*self.failures, *failures))[:NAMED]
        self.gravest = sorted((*self.gravest, *gravest), key=lambda one: (-one[0], *one[1:]))[:NAMED]

    def add_totals(self, other: Summary) -> None:
        """Add the totals of other lines."""
        for name in _COUNTERS:
            getattr(self, name).update(getattr(other, name))
        self.refused += other.refused
        self.review += other.review
        self.enlarged += other.enlarged
        self._keep(other.failures, other.gravest)

    def to_cache(self) -> dict[str, Any]:
        """Return the totals over lines as JSON, to be read by `from_cache`."""
        return {
            name: getattr(self, name) for name in (*_COUNTERS, "refused", "review", "enlarged", "failures", "gravest")
        }

    @classmethod
    def from_cache(cls, told: Mapping[str, Any]) -> Summary:
        """Read what `to_cache` gave."""
        totals = cls(0, refused=told["refused"], review=told["review"], enlarged=told["enlarged"])
        for name in _COUNTERS:
            getattr(totals, name).update(told[name])
        totals._keep(map(tuple, told["failures"]), map(tuple, told["gravest"]))
        return totals

    @property
    def is_complete(self) -> bool:
        """Whether every picture of the job has its line."""
        return sum(self.statuses.values()) == self.listed

    def to_json(self) -> dict[str, Any]:
        """Return the content of `summary.json` and of a job's result."""
        return {
            "pictures": self.listed,
            "done": sum(self.statuses.values()),
            "done_before": self.before,
            **{status: self.statuses[status] for status in ("found", "skipped", "failed")},
            "classes": {
                name: {"pictures": count, "detections": self.detections[name]}
                for name, count in sorted(self.pictures.items())
            },
            "workers": dict(sorted(self.workers.items())),
            "seconds": {stage: round(spent, 3) for stage, spent in self.seconds.items()},
            "notes": list(self.notes),
        }

    def to_text(self) -> str:
        """Return `to_lines` as one text."""
        return "\n".join(self.to_lines())

    def to_lines(self) -> list[str]:
        """Return some lines for the console; names of files stand in them as they are."""
        done = sum(self.statuses.values())
        counts = ", ".join(f"{self.statuses[status]} {status}" for status in ("found", "skipped", "failed"))
        lines = [f"{done} of {self.listed} pictures: {counts}" + (f" ({self.before} before)" if self.before else "")]
        lines += _named(self.failures, self.statuses["failed"])
        if self.review:
            refused = f", {self.refused} of them for what a marketplace would refuse" if self.refused else ""
            enlarged = told_of_enlarged(self.enlarged)
            gravest = ", the gravest first" if self.review > 1 else ""
            lines.append(f"  {self.review} need a look{refused}{enlarged}{gravest}:")
            lines += _named([(name, told) for _, name, told in self.gravest], self.review)
        lines += [f"  {note} (in {counted(count, 'picture')})" for note, count in sorted(self.unknown.items())]
        for name, count in sorted(self.pictures.items()):
            lines.append(f"  {name}: in {counted(count, 'picture')}, {counted(self.detections[name], 'detection')}")
        spent = [f"{stage} {self.seconds[stage] / self.timed[stage]:.3f} s" for stage in STAGES if self.timed[stage]]
        if spent:
            lines.append(f"  mean time per picture: {', '.join(spent)}")
        if len(self.workers) > 1:
            shares = (f"{name} {count}" for name, count in sorted(self.workers.items()))
            lines.append(f"  who did what: {', '.join(shares)}")
        return [*lines, *(f"  {note}" for note in self.notes)]


def is_enlarged_alone(line: Line) -> bool:
    """Whether nothing is told of a picture's packshots but that the product was enlarged."""
    reasons = [str(reason) for reason in line.get("needs_review") or ()]
    return bool(reasons) and all(WAS_ENLARGED in reason for reason in reasons)


def told_of_enlarged(pictures: int) -> str:
    """What the console says of so many such pictures, behind how many need a look."""
    return f", {pictures} of them only because {WAS_ENLARGED} (small photographs)" if pictures else ""


def _named(pictures: Sequence[tuple[str, str]], total: int) -> list[str]:
    """A line for each of these pictures and what is told of it, and how many of `total` are not among them."""
    more = [f"    … and {total - len(pictures)} more in report.csv"] if total > len(pictures) else []
    return [*("    " + (told if told.startswith(name) else f"{name}: {told}") for name, told in pictures), *more]


def counted(number: int, noun: str) -> str:
    """Return number and noun: '1 picture', '2 pictures'."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
