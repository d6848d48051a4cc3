"""Curves of cost against size: their exponents, their table, and a plot of them as SVG."""

from __future__ import annotations

import html
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Curve:
    """Seconds of processor time by size, several of each. `reason`: why it is above linear, where it is."""

    name: str
    unit: str
    seconds: dict[int, list[float]]
    reason: str = ""

    @property
    def medians(self) -> list[tuple[int, float]]:
        return [(size, statistics.median(values)) for size, values in sorted(self.seconds.items())]

    def exponent(self) -> tuple[float, float]:
        """The slope of log cost over log size by least squares, and its standard error."""
        points = [(math.log(size), math.log(value)) for size, values in self.seconds.items() for value in values]
        middle_x, middle_y = (statistics.fmean(point[axis] for point in points) for axis in (0, 1))
        spread = sum((x - middle_x) ** 2 for x, _ in points)
        slope = sum((x - middle_x) * (y - middle_y) for x, y in points) / spread
        rest = sum((y - middle_y - slope * (x - middle_x)) ** 2 for x, y in points)
        return slope, math.sqrt(rest / max(1, len(points) - 2) / spread)

    def last_exponent(self) -> float:
        """The slope between the two largest sizes, where what does not grow weighs least."""
        (size, cost), (next_size, next_cost) = self.medians[-2:]
        return math.log(next_cost / cost) / math.log(next_size / size)

    def to_row(self) -> str:
        slope, error = self.exponent()
        (first, low), (last, high) = self.medians[0], self.medians[-1]
        sizes = f"{first:,} to {last:,} {self.unit}"
        cost = f"{_time(low)} to {_time(high)}"
        exponents = f"{slope:.2f} ± {error:.2f} | {self.last_exponent():.2f}"
        return f"| {self.name} | {sizes} | {cost} | {exponents} | {self.reason} |"

    def to_json(self) -> dict[str, Any]:
        slope, error = self.exponent()
        return {
            "name": self.name,
            "unit": self.unit,
            "seconds": {str(size): values for size, values in self.seconds.items()},
            "exponent": round(slope, 3),
            "standard_error": round(error, 3),
            "last_exponent": round(self.last_exponent(), 3),
        }


def _time(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def to_markdown(curves: Sequence[Curve]) -> str:
    head = "| what | sizes | processor time | exponent | of the last step | |\n|---|---|---|---|---|---|"
    return "\n".join([head, *(curve.to_row() for curve in curves)])


_COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf")
_SIDE, _GAP, _KEY = 190, 44, 16


def to_svg(curves: Sequence[Curve]) -> str:
    """One small plot for each unit: cost over that of the smallest size, both axes logarithmic; grey is linear."""
    units = list(dict.fromkeys(curve.unit for curve in curves))
    width = (_SIDE + _GAP) * min(3, len(units)) + _GAP
    key = _KEY * max(sum(curve.unit == unit for curve in curves) for unit in units)
    height = math.ceil(len(units) / 3) * (_SIDE + key + 2 * _GAP)
    body = []
    for place, unit in enumerate(units):
        left, top = _GAP + place % 3 * (_SIDE + _GAP), _GAP + place // 3 * (_SIDE + key + 2 * _GAP)
        body += _plot(unit, [curve for curve in curves if curve.unit == unit], left, top)
    box = f'xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
    head = f'<svg {box} font-family="sans-serif" font-size="11">'
    return "\n".join((head, f'<rect width="{width}" height="{height}" fill="#fff"/>', *body, "</svg>")) + "\n"


def _plot(unit: str, curves: Sequence[Curve], left: int, top: int) -> list[str]:
    smallest, largest = (pick(size for curve in curves for size in curve.seconds) for pick in (min, max))
    tallest = max(largest / smallest, *(curve.medians[-1][1] / curve.medians[0][1] for curve in curves))

    def at(size: float, growth: float) -> str:
        x = left + _SIDE * math.log(size / smallest) / math.log(largest / smallest)
        y = top + _SIDE * (1 - math.log(max(growth, 1)) / math.log(tallest))
        return f"{x:.1f},{y:.1f}"

    parts = [
        f'<rect x="{left}" y="{top}" width="{_SIDE}" height="{_SIDE}" fill="none" stroke="#999"/>',
        f'<text x="{left}" y="{top - 6}" font-weight="bold">{html.escape(unit)}</text>',
        f'<text x="{left}" y="{top + _SIDE + 14}">{smallest:,}</text>',
        f'<text x="{left + _SIDE}" y="{top + _SIDE + 14}" text-anchor="end">{largest:,}</text>',
        f'<text x="{left - 4}" y="{top + 10}" text-anchor="end">{tallest:,.0f}×</text>',
        f'<text x="{left - 4}" y="{top + _SIDE}" text-anchor="end">1×</text>',
        f'<polyline points="{at(smallest, 1)} {at(largest, largest / smallest)}" fill="none" stroke="#bbb"/>',
    ]
    for number, curve in enumerate(curves):
        colour, first = _COLOURS[number % len(_COLOURS)], curve.medians[0][1]
        points = " ".join(at(size, cost / first) for size, cost in curve.medians)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
        label = html.escape(f"{curve.name}: {curve.exponent()[0]:.2f}")
        parts.append(f'<text x="{left}" y="{top + _SIDE + 30 + _KEY * number}" fill="{colour}">{label}</text>')
    return parts
