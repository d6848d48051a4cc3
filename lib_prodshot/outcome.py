"""What comes out for one picture: detections, verdict, audit, timings; as JSON line, CSV row and infotext."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from lib_prodshot import __version__

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from lib_prodshot.finding.interface import Findings
    from lib_prodshot.pictures import RestoredPicture

Status = Literal["found", "skipped", "failed"]

VERDICT = "Prodshot"
"""The infotext key of the verdict; every processed picture has it. All our other keys begin with it."""

RAN = "Prodshot ran"
"""The infotext key of what really ran: size, sampling, prompt and ControlNet of each pass."""

AUDIT = "Prodshot audit"
"""The infotext key of the audit in a few words."""

NOTES = "Prodshot notes"

OUTCOMES = "Prodshot outcomes"
"""Parameter of the API's response: one outcome for each picture, as `report.jsonl` has them."""

VERSION = "Prodshot version"
"""The infotext key of the version that made the picture."""

CONTROL_APPLIED = "Prodshot ControlNet applied"
"""Parameter of the API's response, for a remote client: whether ControlNet was applied; true or false."""

CONTROL_REASON = "Prodshot ControlNet reason"
"""Parameter of the API's response, for a remote client: what ControlNet said when it was not applied."""

INFOTEXT_KEYS = (VERDICT, RAN, AUDIT, NOTES, OUTCOMES, VERSION, CONTROL_APPLIED, CONTROL_REASON)
"""Every key that is no setting's. The registry of steps refuses a setting whose infotext key is one of them."""

CSV_COLUMNS = (
    "file",
    "status",
    "reason",
    "products",
    "detections",
    "mask",
    "output",
    "changed_outside",
    "max_difference_outside",
    "changed_inside",
    "inner_pixels",
    "compared_with",
    "delta_e_mean",
    "delta_e_p95",
    "changed_inside_share",
    "seconds",
    "finder",
    "version",
    "passed",
    "fill",
    "scale",
    "enlarged_by",
    "needs_review",
    "digital_source_type",
    "gravity",
)


_OF_EACH_PACKSHOT = ("fill", "scale", "enlarged_by")


@dataclass(frozen=True)
class Detection:
    """One product found: `label` as the user wrote it, `score` 0..1, `box` x0, y0, x1, y1 in whole pixels of the
    picture as given (after EXIF rotation), `area` of its mask in pixels."""

    label: str
    score: float
    box: tuple[int, int, int, int]
    area: int

    def to_json(self) -> dict[str, Any]:
        """The detection as it stands in reports and API replies."""
        return {"label": self.label, "score": round(self.score, 4), "box": list(self.box), "area": self.area}


@dataclass(frozen=True)
class Verdict:
    """found, skipped (the products are absent: an answer, not an error) or failed, each with its reason."""

    status: Status
    reason: str


@dataclass(frozen=True)
class Audit:
    """What the last composite proved: pixels that changed where the feathered mask is 0 (must be 0), the largest
    difference among them (levels of the picture's own depth), the colour shift inside the mask (ΔE2000), and the share
    of the pixels there that changed (0..1)."""

    changed_outside: int
    max_difference_outside: int
    delta_e_mean: float
    delta_e_p95: float
    changed_inside_share: float = 0.0

    def describe(self) -> str:
        """The figures in a few words, for the line under a gallery and the infotext."""
        shift = f"ΔE {self.delta_e_mean:.1f} mean, {self.delta_e_p95:.1f} 95th percentile"
        return f"outside {self.changed_outside} pixels changed; inside {self.changed_inside_share:.0%}, {shift}"

    def to_json(self) -> dict[str, Any]:
        """The audit as it stands in reports and API replies."""
        return {
            "changed_outside": self.changed_outside,
            "max_difference_outside": self.max_difference_outside,
            "delta_e_mean": round(self.delta_e_mean, 3),
            "delta_e_p95": round(self.delta_e_p95, 3),
            "changed_inside_share": round(self.changed_inside_share, 4),
        }


@dataclass(frozen=True)
class PackshotAudit:
    """What was counted on a packshot: pixels that changed among those that show the product alone (alpha exactly 1;
    must be 0), and how many those are. They are compared with the input's own; where the frame scales the product
    (`resampled`) with exactly that scaling of the input, where a model enlarged it (`enlarged_by`) with that of the
    model's picture. What lies outside the product is meant to change."""

    changed_inside: int
    inner_pixels: int
    resampled: bool = False
    enlarged_by: str = ""

    def to_json(self) -> dict[str, Any]:
        """The audit as it stands in reports and API replies; `changed_outside` does not apply: null."""
        return {
            "changed_outside": None,
            "changed_inside": self.changed_inside,
            "inner_pixels": self.inner_pixels,
            "compared_with": self._compared_with(),
        }

    def _compared_with(self) -> str:
        told = f"the input, enlarged by {self.enlarged_by}" if self.enlarged_by else "the input"
        return f"{told}, resampled" if self.resampled else told


@dataclass
class Packshot:
    """One packshot of a picture, for one marketplace ('' for none): `result` ready to be written as `format` at
    `quality`, within `max_bytes` (0: any); `alpha` is the product's share of each pixel (H×W uint8, in the frame),
    `size` width and height, `fill` and `area_share` the product's in the frame, `scale` pixels of the frame for one of
    the picture, `made` the settings that the marketplace set. Where each product has a frame of its own, `product` is
    its label and `number` its place among the picture's, from 1 on. `enlarged_by`: what enlarged it, '' where nothing
    did.

    `digital_source_type` is what its file says of how it was made ('' for nothing).

    When it is written, `file` is its path, `bytes` and `quality` what they came out as, and `check` the marketplace's
    answer as `markets.checking.Check.to_json` gives it. `refused_alone` are the rules that the file misses where nobody
    knows its alpha, of one that passes by it.
    """

    marketplace: str
    result: RestoredPicture | None
    alpha: npt.NDArray[np.uint8] | None
    format: str
    quality: int | None
    max_bytes: int
    size: tuple[int, int]
    fill: float
    area_share: float
    scale: float
    made: Mapping[str, Any]
    audit: Audit | PackshotAudit | None
    product: str = ""
    number: int = 0
    enlarged_by: str = ""
    file: str = ""
    bytes: int = 0
    digital_source_type: str = ""
    check: Mapping[str, Any] | None = None
    refused_alone: tuple[str, ...] = ()

    @property
    def passed(self) -> bool | None:
        """Whether the marketplace would take it; None where nobody asked."""
        return None if self.check is None else bool(self.check["passed"])

    def to_json(self) -> dict[str, Any]:
        """The packshot as it stands in reports and API replies; of the check only what is not passed."""
        rules = self.check["rules"] if self.check else ()
        return {
            "marketplace": self.marketplace or None,
            "product": self.product or None,
            "number": self.number or None,
            "output": self.file or None,
            "size": list(self.size),
            "format": self.format,
            "quality": self.quality,
            "bytes": self.bytes,
            "fill": self.fill,
            "area_share": self.area_share,
            "scale": self.scale,
            "enlarged_by": self.enlarged_by or None,
            "set": dict(self.made),
            "audit": self.audit.to_json() if self.audit else None,
            "digital_source_type": self.digital_source_type or None,
            "passed": self.passed,
            "rules": [rule for rule in rules if rule["status"] != "pass"],
        }


@dataclass(frozen=True)
class Doubt:
    """Why somebody should look at a result, in a few words, and how grave that is: the whole part is a level, 1 for
    what is estimated to 3 for what misses a rule, the rest how far the measured figure is over its limit."""

    text: str
    gravity: float


WAS_ENLARGED = "the product was enlarged"
"""How the doubt begins that a product was enlarged a lot. Where photographs are smaller than what a marketplace wants,
every picture of a run has it."""


def gravity_of(line: Mapping[str, Any]) -> float:
    """The `gravity` of a report line that needs a review; 1 where an edited one, or one of before, has no number."""
    told = line.get("gravity")
    return float(told) if isinstance(told, (int, float)) and told else 1.0


@dataclass(frozen=True)
class StepRecord:
    """One step that ran: its id, its version, and what it measured."""

    step: str
    version: int
    figures: Mapping[str, float | int | str]

    def to_json(self) -> dict[str, Any]:
        """The step's line in the report."""
        return {"step": self.step, "version": self.version, **self.figures}


@dataclass(frozen=True)
class GatesAnswer:
    """What the gates said to a picture: pass, fail or not checked, the gates that failed or were not checked, and why
    they were not, in a sentence ('' in reports that did not tell)."""

    status: str
    failed: tuple[str, ...] = ()
    not_checked: tuple[str, ...] = ()
    why_not_checked: str = ""

    @classmethod
    def of(cls, figures: Iterable[Mapping[str, Any]]) -> GatesAnswer | None:
        """That of the best of the tries among the steps' figures; where several scenes were painted, of which none may
        fail, that of the worst scene. None where no gate was asked."""
        tries: list[list[GatesAnswer]] = []
        for each in figures:
            if "gates" in each:
                if each["try"] == 1 or not tries:
                    tries.append([])
                failed, unmeasured = (_listed(str(each.get(key) or "")) for key in ("failed", "not_checked"))
                tries[-1].append(cls(str(each["gates"]), failed, unmeasured, str(each.get("why_not_checked", ""))))
        best = (min(group, key=lambda answer: len(answer.failed)) for group in tries)
        return max(best, key=lambda answer: len(answer.failed), default=None)

    @property
    def reasons(self) -> tuple[str, ...]:
        """'growth: fail', 'text was not checked: no line in the product could be read for sure'."""
        failed = (f"{name}: fail" for name in self.failed)
        unmeasured = (f"{name}: not checked" for name in self.not_checked)
        return (*failed, *((self.why_not_checked,) if self.why_not_checked else unmeasured))


def _listed(names: str) -> tuple[str, ...]:
    return tuple(names.split(", ")) if names else ()


@dataclass
class Outcome:
    """Everything about one picture. Arrays stay out of the JSON: `mask` is H×W uint8 (255 = product), `alpha` the
    feathered mask (H×W uint8, 0 = untouched), `picture` the result (H×W×3 uint8 RGB), `result` the same in the
    input's own size, mode and orientation (a packshot: in its frame's), ready to be written; None unless found.
    `packshots` are all that were made of the picture; of several `result` is the last. `needs_review` says why somebody
    should look at it, `gravity` how grave the gravest of these reasons is (`Doubt`; 0 without one).
    `digital_source_type` is what the result says of how it was made, in the IPTC's words ('' for nothing). `findings`
    are all that the finder found, where the caller asked for its candidates; `ran` says what the passes behind the
    result really ran with, one line each. `result_notes` are those of the notes that tell what was done to the result:
    a failure gives them up with it. `is_final`: the same request would fail on the same picture again."""

    verdict: Verdict
    products: tuple[str, ...]
    finder: str
    detections: tuple[Detection, ...] = ()
    audit: Audit | PackshotAudit | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    result_notes: tuple[str, ...] = ()
    steps: list[StepRecord] = field(default_factory=list)
    file: str = ""
    mask_file: str = ""
    output_file: str = ""
    packshots: list[Packshot] = field(default_factory=list)
    needs_review: tuple[str, ...] = ()
    gravity: float = 0.0
    digital_source_type: str = ""
    result: RestoredPicture | None = None
    picture: npt.NDArray[np.uint8] | None = None
    mask: npt.NDArray[np.uint8] | None = None
    alpha: npt.NDArray[np.uint8] | None = None
    findings: Findings | None = None
    ran: tuple[str, ...] = ()
    is_final: bool = False

    @property
    def status(self) -> Status:
        """found, skipped or failed."""
        return self.verdict.status

    def doubt(self, *doubts: Doubt) -> None:
        """Note why somebody should look at the result."""
        self.needs_review += tuple(doubt.text for doubt in doubts)
        self.gravity = max(self.gravity, *(doubt.gravity for doubt in doubts), 0.0)

    def fail(self, reason: str) -> None:
        """Turn into a failure: what was learnt stays (detections, timings), every result is given up."""
        self.verdict = Verdict("failed", reason)
        self.result = self.picture = self.audit = None
        self.mask_file = self.output_file = self.digital_source_type = ""
        self.packshots, self.needs_review, self.gravity = [], (), 0.0
        self.notes = tuple(note for note in self.notes if note not in self.result_notes)

    def to_json(self) -> dict[str, Any]:
        """One line of `report.jsonl`."""
        return {
            "file": self.file,
            "status": self.verdict.status,
            "reason": self.verdict.reason,
            "products": list(self.products),
            "detections": [detection.to_json() for detection in self.detections],
            "mask": self.mask_file or None,
            "output": self.output_file or None,
            "audit": self.audit.to_json() if self.audit else None,
            "digital_source_type": self.digital_source_type or None,
            "seconds": {stage: round(spent, 4) for stage, spent in self.seconds.items()},
            "finder": self.finder,
            "version": __version__,
            "notes": list(self.notes),
            "steps": [record.to_json() for record in self.steps],
            **({"packshots": [each.to_json() for each in self.packshots]} if self.packshots else {}),
            **({"needs_review": list(self.needs_review), "gravity": round(self.gravity, 3)} if self.packshots else {}),
        }

    def to_infotext(self) -> str:
        """The verdict in a few words: 'found handbag 0.81' or 'skipped: …'."""
        if self.status != "found":
            return f"{self.status}: {self.verdict.reason}"
        return f"found {self.describe_detections()}"

    def describe_detections(self) -> str:
        """'handbag 0.81, shoe 0.64'."""
        return ", ".join(f"{found.label} {found.score:.2f}" for found in self.detections)


def csv_cells(line: Mapping[str, Any]) -> list[str]:
    """One row of `report.csv` from a line of `report.jsonl`, in the order of `CSV_COLUMNS`; safe to open in a
    spreadsheet. 'detect' and 'segment' are parts of 'find' and not counted again."""
    flat = {**line, **(line.get("audit") or {})}
    flat["products"] = ", ".join(map(str, line.get("products") or ()))
    flat["detections"] = " | ".join(
        f"{found['label']} {found['score']:.2f} {' '.join(map(str, found['box']))}"
        for found in line.get("detections") or ()
    )
    flat["passed"] = " | ".join(
        f"{made['marketplace']} {'pass' if made['passed'] else 'fail'}"
        for made in line.get("packshots") or ()
        if made.get("passed") is not None
    )
    for key in _OF_EACH_PACKSHOT:
        flat[key] = " | ".join(str(made[key]) for made in line.get("packshots") or () if made.get(key) is not None)
    flat["digital_source_type"] = _source_types(line)
    flat["needs_review"] = "; ".join(map(str, line.get("needs_review") or ()))
    stages = (line.get("seconds") or {}).items()
    flat["seconds"] = round(sum(spent for stage, spent in stages if stage not in ("detect", "segment")), 4)
    return [spreadsheet_safe(flat.get(column)) for column in CSV_COLUMNS]


def _source_types(line: Mapping[str, Any]) -> str:
    """The digital source type; of packshots that differ, each with its marketplace."""
    told = [(made["marketplace"], made.get("digital_source_type")) for made in line.get("packshots") or ()]
    if len({kind for _, kind in told}) > 1:
        return " | ".join(f"{marketplace} {kind}" for marketplace, kind in told if kind)
    return str(line.get("digital_source_type") or "")


_RUN = "=+-@＝＋－＠\t\r\n"


def spreadsheet_safe(value: Any) -> str:
    """Text for one CSV cell that no spreadsheet will run: a leading = + - @ (in full width too), tab or line end gets
    an apostrophe.

    Source: OWASP, "CSV Injection". Numbers keep their sign.
    """
    if value is None:
        return ""
    if isinstance(value, (int, float)):
        return str(value)
    text = str(value)
    return f"'{text}" if text[:1] in _RUN and text else text
