"""The checker: every rule of a marketplace against a written file, and how to mend what it does not keep."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lib_prodshot.errors import PictureError, as_typed
from lib_prodshot.markets.rules import FLAGS, Marketplace, Rule

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from lib_prodshot.markets.measuring import Measures

Status = Literal["pass", "fail", "warning", "not checked"]

UNITS: Mapping[str, str] = {
    **dict.fromkeys(("longest_side", "shortest_side", "width", "height", "side_sum"), "pixels"),
    "megapixels": "megapixels",
    "ratio": "(width ÷ height)",
    "bytes": "bytes",
    "frames": "pictures in the file",
    "depth": "bits per sample",
    "jpeg_quality": "of 100",
    "fill": "of the frame's side",
    "area_share": "of the frame's area",
    "not_white": "pixels of the ground are not white",
    "ringing": "levels from white beside the product",
    "ground_level": "of 255 (the ground's darkest channel)",
    "ground_spread": "levels of difference within the ground",
    "border_sides": "sides with a border",
    "transparent_pixels": "transparent pixels",
    "shadow_share": "of the frame's area is shadow",
    "sharpness": "(variance of the Laplacian)",
    "clipped_share": "of the product is black or white",
}
"""What the number of each measure counts; shares are 0 to 1."""

UNMEASURED = {
    "text": "look yourself whether text was added to the picture",
    "watermark": "look yourself whether the picture carries a watermark or a logo",
}
"""What no step measures yet, and what to do instead."""


@dataclass(frozen=True)
class Checked:
    """One rule's answer: what was measured and what is required, in words or numbers, the status, and how to mend it
    (empty where the rule is kept). `unit` is what a number of it counts, for a reader ('' where there is none)."""

    rule: str
    measured: Any
    required: str
    status: Status
    fix: str
    unit: str = ""

    def to_json(self) -> dict[str, Any]:
        """The answer as it stands in reports and replies."""
        return {
            "rule": self.rule,
            "measured": self.measured,
            "required": self.required,
            "status": self.status,
            "fix": self.fix,
        }


@dataclass(frozen=True)
class Check:
    """One picture file against one marketplace; passed when no rule fails."""

    file: str
    marketplace: str
    rules: tuple[Checked, ...]

    @property
    def passed(self) -> bool:
        """Whether no rule fails; warnings and what is not checked fail nothing."""
        return not any(rule.status == "fail" for rule in self.rules)

    def renamed(self, file: str) -> Check:
        """The same of a file that is called otherwise."""
        rules = (replace(rule, measured=str(rule.measured).replace(self.file, file)) for rule in self.rules)
        return Check(file, self.marketplace, tuple(rules))

    def of(self, *statuses: Status) -> list[Checked]:
        """The rules with one of these statuses."""
        return [rule for rule in self.rules if rule.status in statuses]

    def to_json(self) -> dict[str, Any]:
        """One line of `prodshot check --json`."""
        return {
            "file": self.file,
            "marketplace": self.marketplace,
            "passed": self.passed,
            "rules": [rule.to_json() for rule in self.rules],
        }

    def to_text(self) -> str:
        """'a.jpg: amazon: pass', with each failure and warning in a sentence; and, where their advice names options,
        whose these are."""
        told = self.of("fail", "warning")
        verdict = "pass" if self.passed else "fail"
        lines = [f"{self.file}: {self.marketplace}: {verdict}{_counts(self)}"]
        for rule in sorted(told, key=lambda rule: rule.status):
            measured = f"{rule.measured} {rule.unit}".rstrip()
            lines.append(f"  {rule.status}: {rule.rule}: {measured}, required: {rule.required}; {rule.fix}")
        if any("--" in rule.fix for rule in told):
            whose = as_typed("packshot")
            lines.append(f"  (the options are those of {whose}, which makes the picture anew from its photograph)")
        return "\n".join(lines)


def _counts(check: Check) -> str:
    unchecked = [rule.rule for rule in check.of("not checked")]
    return f" (not checked: {', '.join(unchecked)})" if unchecked else ""


def check_file(
    file: Path,
    market: Marketplace,
    alpha: npt.NDArray[np.uint8] | None = None,
    today: date | None = None,
) -> Check:
    """Measure the file, decoded again, against every rule of a marketplace. A file that cannot be read fails.

    `alpha` (H×W uint8) is what made the picture, where it is known; `today` decides which rules are in force.
    """
    return check_files(file, (market,), alpha, today)[0]


def check_files(
    file: Path,
    markets: tuple[Marketplace, ...],
    alpha: npt.NDArray[np.uint8] | None = None,
    today: date | None = None,
) -> tuple[Check, ...]:
    """As `check_file` for several marketplaces at once: the file is read once."""
    from lib_prodshot.markets.measuring import Measures

    try:
        measures = Measures(file, alpha)
    except PictureError as error:
        return unread(str(file), markets, str(error))
    day = today or date.today()
    return tuple(
        Check(
            str(file),
            market.name,
            (*_told_support(measures, market), *(_answer(each, measures, day) for each in market.rules)),
        )
        for market in markets
    )


def unread(file: str, markets: tuple[Marketplace, ...], reason: str) -> tuple[Check, ...]:
    """The answers to a picture that cannot be read."""
    answer = Checked("readable", reason, "a picture that can be read", "fail", "write the picture again")
    return tuple(Check(file, market.name, (answer,)) for market in markets)


SMALL_SHADOW, WHITE_LEVEL = 0.01, 250
"""Share of the frame, and level of the ground's darkest channel: a smaller shadow on lighter ground may be none
where the product is estimated."""

_BY_SUPPORT = frozenset({"fill", "area_share", "not_white", "ringing", "shadow_share"})


def _told_support(measures: Measures, market: Marketplace) -> tuple[Checked, ...]:
    """How it is known where the product is, for the rules that depend on it."""
    if not any(rule.measure in _BY_SUPPORT for rule in market.rules) or measures.support.is_known:
        return ()
    advice = "give a picture with transparency, or let the packshot check its own result: it knows the alpha"
    return (Checked("product", measures.support.how, "the product's alpha", "not checked", advice),)


def _answer(rule: Rule, measures: Measures, day: date) -> Checked:
    required = required_of(rule)
    if rule.measure in UNMEASURED:
        return Checked(rule.name, None, required, "not checked", rule.fix or UNMEASURED[rule.measure])
    measured = getattr(measures, rule.measure)
    if measured is None and rule.measure in _BY_SUPPORT:
        return Checked(rule.name, None, required, "not checked", "no plain ground tells where the product ends")
    if measured is None and rule.measure == "ai_label":
        advice = "the file does not say how it was made; if AI made it or a part of it, it must"
        return Checked(rule.name, None, required, "not checked", advice)
    if measured is None or _is_kept(rule, measured):
        return Checked(rule.name, measured, required, "pass", "")
    is_coming = rule.since is not None and day < rule.since
    advice = rule.fix or (_LOOK if _may_be_none(rule, measured, measures) else _fix(rule, measured))
    return Checked(
        rule.name, measured, required, "warning" if is_coming else rule.level, advice, UNITS.get(rule.measure, "")
    )


_LOOK = "look: it may be the product's own white, or a veil of the old ground; a shadow is left away with --shadow none"


def _may_be_none(rule: Rule, measured: Any, measures: Measures) -> bool:
    """Whether a shadow that was seen may be no shadow: a little of white ground, where the product is estimated."""
    if rule.measure != "shadow_share" or measures.support.is_known:
        return False
    return bool(measured < SMALL_SHADOW and measures.ground_level >= WHITE_LEVEL)


def _is_kept(rule: Rule, measured: Any) -> bool:
    if rule.one_of:
        return measured in rule.one_of
    if rule.measure in FLAGS:
        return bool(measured == rule.equals)
    if rule.equals is not None and abs(measured - rule.equals) > rule.within + 1e-9:
        return False
    above = rule.minimum is None or measured >= rule.minimum
    return above and (rule.maximum is None or measured <= rule.maximum)


def required_of(rule: Rule) -> str:
    """What a rule asks for, in words: 'at least 500', 'from 2027-01-31 on: at least 500', 'JPEG or PNG'."""
    since = f"from {rule.since.isoformat()} on: " if rule.since else ""
    if rule.one_of:
        return since + " or ".join(rule.one_of)
    if rule.measure in FLAGS:
        return since + _FLAG_WORDS[rule.measure][bool(rule.equals)]
    return since + (_span(rule) if rule.equals is None else f"{rule.equals:g} ± {rule.within:g}")


_FLAG_WORDS: Mapping[str, tuple[str, str]] = {
    "extension_fits": ("an extension of another format", "an extension that fits the format"),
    "text": ("no added text", "text"),
    "watermark": ("no watermark", "a watermark"),
}


def _span(rule: Rule) -> str:
    if rule.minimum is not None and rule.minimum == rule.maximum:
        return _number(rule.minimum)
    if rule.minimum is not None and rule.maximum is not None:
        return f"{_number(rule.minimum)} to {_number(rule.maximum)}"
    if rule.minimum is not None:
        return f"at least {_number(rule.minimum)}"
    return f"at most {_number(rule.maximum or 0)}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:g}"


def _fix(rule: Rule, measured: Any) -> str:
    """How to mend a miss: a sentence on what to do, by what was measured and on which side it missed."""
    advice = _FIXES[rule.measure]
    is_low = rule.minimum is not None and not isinstance(measured, (str, bool)) and measured < rule.minimum
    return (advice[0] if is_low else advice[1]) if isinstance(advice, tuple) else advice(rule)


_LARGER = "make it larger: a larger photograph, or --size with an upscaler"
_SMALLER = "make it smaller: --size"
_SIZE = (_LARGER, _SMALLER)
_RATIO = "give the frame that ratio: --size WxH"

_FIXES: Mapping[str, tuple[str, str] | Callable[[Rule], str]] = {
    **dict.fromkeys(("longest_side", "shortest_side", "width", "height", "side_sum", "megapixels"), _SIZE),
    "ratio": (_RATIO, _RATIO),
    "bytes": ("write it with a higher quality", "write a smaller file: --max-bytes, or a lower quality"),
    "frames": ("", "save one still picture"),
    "depth": ("save it with more bits", "save it with 8 bits per sample"),
    "jpeg_quality": ("write it with a higher quality: --quality 95", "write it with a lower quality"),
    "fill": ("let the product fill more of the frame: --fill", "let the product fill less of the frame: --fill"),
    "area_share": ("let the product fill more of the frame: --fill", "let the product fill less of the frame: --fill"),
    "not_white": ("", "put the product on pure white: --ground white --shadow none, JPEG quality 90 or more"),
    "ringing": ("", "write it with a higher quality: --quality 95"),
    "ground_level": ("put the product on a lighter ground: --ground white", "put the product on a darker ground"),
    "ground_spread": ("", "put the product on a plain ground: --ground white"),
    "border_sides": ("", "crop the frame away that lies around the picture"),
    "transparent_pixels": ("", "put the product on a ground: --ground white"),
    "shadow_share": ("", "leave the shadow away: --shadow none"),
    "sharpness": ("the product looks blurred: take the picture again, or from a larger original", ""),
    "clipped_share": ("", "much of the product is black or white through and through: correct the exposure"),
    "extension_fits": lambda rule: "give the file the extension of its format",
    "format": lambda rule: f"write it as {' or '.join(rule.one_of)}",
    "mode": lambda rule: f"save it as {' or '.join(rule.one_of)}",
    "profile": lambda rule: "convert it to sRGB and embed that profile",
    "ai_label": lambda rule: f"let its XMP say {rule.one_of[0]}: --provenance plain",
}
