"""Gates against a known truth: how much harm to a product is seen, and how often harmless changes raise an alarm.

    python3 -m benchmarks.gates [--scenes 40] [--check] [--json FILE]

The scenes and their harmed and harmless versions are `benchmarks/gate_scenes.py`'s. The silhouettes come from the lite
finder's real weights and the text from rapidocr's, as in the pipeline. Scenes with even numbers choose limits, those
with odd ones are only reported. `--check` exits with 1 where, with the limits that are shipped, less than 95 % of the
harm is seen or more than 2 % of the harmless changes raise an alarm on the reported half: by all gates together, or by
one of them of its own harm. Last, ten labels go through a blur like a VAE's, and the detail lock over them.

It runs in the tests' environment, which it makes when it does not stand. With `--json` each scene's figures are written
as they come, and a run that was stopped goes on behind them: delete the file after a change of what is measured.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib_prodshot.bootstrap import BootstrapError, inside, run_in
from tests import environments

if TYPE_CHECKING:
    from benchmarks.gate_cases import Case

SCENES = 40
GOAL_SEEN, GOAL_ALARMS = 0.95, 0.02

HARM = {
    "growth": ("grown", "bulged", "shrunk", "shifted"),
    "colour and detail": ("recoloured", "blurred"),
    "text": ("letters",),
    "growth in a scene": ("bulged_on_another_ground",),
}
"""By gate, which harm is its own to see."""

GATE_OF = {kind: gate for gate, kinds in HARM.items() for kind in kinds}


@dataclass(frozen=True)
class GateLimits:
    """Shares of the area and of a line's letters, mean ΔE2000, degrees, and how much alike detail is at least."""

    growth: float
    text: float
    delta_e: float
    hue: float
    detail: float
    scene: float


def shipped() -> GateLimits:
    """The limits that stand in `lib_prodshot/gates/`."""
    from lib_prodshot.gates import fidelity, growth, text

    own = fidelity.DIFFUSION
    return GateLimits(growth.LIMIT, text.LIMIT, own.delta_e, own.hue, own.detail, growth.SCENE_LIMIT)


def alarms(case: Case, limits: GateLimits) -> set[str]:
    """The gates that fail a case."""
    figures, found = case.figures, set()
    if case.gates == "scene":
        return {"growth in a scene"} if figures["growth"] > limits.scene else found
    if figures["growth"] > limits.growth:
        found.add("growth")
    if figures.get("text", 0.0) > limits.text:
        found.add("text")
    detail = min(figures["gradient_correlation"], figures["ms_ssim"])
    if figures["delta_e_mean"] > limits.delta_e or figures["hue_shift"] > limits.hue or detail < limits.detail:
        found.add("colour and detail")
    return found


def chosen(cases: Sequence[Case]) -> GateLimits:
    """Limits from these cases: a third of the way from the worst harmless one but one in a hundred to the mildest harm
    but one in twenty that the figure is there to see. Nearer to the harmless ones, for harm may be milder than ours."""

    import numpy as np

    def between(value: Callable[[Case], float], *kinds: str, gates: str = "enhance") -> float:
        calm = [value(case) for case in cases if not case.harm and case.gates == gates]
        harm = [value(case) for case in cases if case.kind in kinds]
        if not calm or not harm:
            return float("nan")
        worst, mildest = np.quantile(calm, 0.99), np.quantile(harm, 0.05)
        return float(worst + (mildest - worst) / 3)

    return GateLimits(
        between(lambda case: case.figures["growth"], *HARM["growth"]),
        between(lambda case: case.figures.get("text", 0.0), *HARM["text"]),
        between(lambda case: case.figures["delta_e_mean"], "recoloured"),
        between(lambda case: case.figures["hue_shift"], "recoloured"),
        1 - between(lambda case: 1 - min(case.figures["gradient_correlation"], case.figures["ms_ssim"]), "blurred"),
        between(lambda case: case.figures["growth"], *HARM["growth in a scene"], gates="scene"),
    )


def summary(cases: Sequence[Case], limits: GateLimits) -> dict[str, Any]:
    """By kind of harm: seen by any gate and by its own; by gate: its own harm seen, and alarms on harmless cases that
    it looks at; and all together."""
    kinds = {}
    for kind in dict.fromkeys(case.kind for case in cases):
        own = [case for case in cases if case.kind == kind]
        rows = [alarms(case, limits) for case in own]
        kinds[kind] = {
            "cases": len(own),
            "harm": own[0].harm,
            "amount": f"{min(case.amount for case in own):g} to {max(case.amount for case in own):g}",
            "any gate": sum(map(bool, rows)),
            "own gate": sum(GATE_OF.get(kind, "") in row for row in rows),
        }
    gates = {}
    for gate, own_harm in HARM.items():
        harmed = [case for case in cases if case.kind in own_harm]
        calm = [case for case in cases if not case.harm and _looks_at(gate, case)]
        rows = [[gate in alarms(case, limits) for case in each] for each in (harmed, calm)]
        gates[gate] = rows
    harmed, calm = ([bool(alarms(case, limits)) for case in cases if case.harm is harm] for harm in (True, False))
    return {"kinds": kinds, "gates": gates, "harmed": len(harmed), "harmless": len(calm)} | {
        "seen": _share(harmed),
        "false alarms": _share(calm),
    }


def _looks_at(gate: str, case: Case) -> bool:
    if gate == "text" and "text" not in case.figures:
        return False
    return (case.gates == "scene") == (gate == "growth in a scene")


def _share(row: Sequence[bool]) -> float:
    return sum(row) / max(len(row), 1)


def main() -> int:
    """Run here when this is the tests' environment, else there."""
    if not inside(environments.TESTS):
        try:
            return run_in(environments.TESTS, ["-m", "benchmarks.gates", *sys.argv[1:]])
        except BootstrapError as error:
            print(f"benchmarks: {error}", file=sys.stderr)
            return 1
    parser = argparse.ArgumentParser(prog="python3 -m benchmarks.gates", description="Gates against a known truth.")
    parser.add_argument("--scenes", type=int, default=SCENES, help="how many (default: %(default)s)")
    parser.add_argument("--check", action="store_true", help="exit with 1 beyond the goals")
    parser.add_argument("--json", type=Path, help="also write every figure here, and go on behind those that are there")
    parser.add_argument("--models-dir", type=Path, help="look for the lite weights here first")
    arguments = parser.parse_args()
    try:
        cases, labels = measured(arguments.scenes, arguments.models_dir, arguments.json)
    except FileNotFoundError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    return report(cases, labels, arguments.check)


def measured(count: int, models_dir: Path | None, file: Path | None) -> tuple[list[Case], list[dict[str, Any]]]:
    """All cases and the labels' rows; those that stand in `file` are taken from it. Raises FileNotFoundError where
    fonts are missing."""
    from benchmarks import gate_scenes
    from benchmarks.gate_cases import Case, Measurer, labels
    from lib_prodshot.finding.registry import load_finder

    gate_scenes.refuse_missing_fonts()
    told = json.loads(file.read_text(encoding="utf-8")) if file is not None and file.is_file() else {}
    cases = [Case(**case) for case in told.get("cases", ()) if case["scene"] < count]
    done = {case.scene for case in cases}
    measurer = Measurer(finder := load_finder("lite", models_dir))
    for scene in gate_scenes.scenes(finder, count):
        if scene.number in done:
            continue
        cases += measurer.cases(scene)
        print(f"scene {scene.number + 1} of {count}", file=sys.stderr, flush=True)
        _write(file, cases, told.get("labels"))
    rows = told.get("labels") or labels(measurer)
    _write(file, cases, rows)
    return cases, rows


def _write(file: Path | None, cases: Sequence[Case], labels: list[dict[str, Any]] | None) -> None:
    if file is not None:
        told = {"cases": [asdict(case) for case in cases], "labels": labels}
        file.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def report(cases: Sequence[Case], labels: Sequence[dict[str, Any]], check: bool) -> int:
    """Print the tables; 1 where a goal is missed and that is to be told."""
    limits, broken = shipped(), []
    print(f"limits that the even scenes choose: {chosen([case for case in cases if case.scene % 2 == 0])}")
    print(f"limits that are shipped:            {limits}")
    for half, name in enumerate(("chosen on", "reported")):
        own = [case for case in cases if case.scene % 2 == half]
        if not own:
            continue
        told = summary(own, limits)
        print(f"\n{name}: {told['harmed']} harmed, {told['harmless']} harmless\n")
        print("| version | amount | cases | a gate failed | its own gate failed |\n|---|---|---|---|---|")
        for kind, row in told["kinds"].items():
            seen_by_own = row["own gate"] if row["harm"] else ""
            print(f"| {kind} | {row['amount']} | {row['cases']} | {row['any gate']} | {seen_by_own} |")
        print("\n| gate | its own harm seen | false alarms |\n|---|---|---|")
        for gate, rows in told["gates"].items():
            print(f"| {gate} | {' | '.join(f'{sum(row)} of {len(row)} ({_share(row):.1%})' for row in rows)} |")
        print(f"\nharm seen {told['seen']:.1%}, false alarms {told['false alarms']:.1%}")
        if half == 1:
            broken = _broken(told)
    print(f"\n| {' | '.join(labels[0])} |\n|{'---|' * len(labels[0])}")
    for row in labels:
        print("| " + " | ".join(str(value) for value in row.values()) + " |")
    print("\n" + ("beyond the goals: " + "; ".join(broken) if broken else "within the goals"))
    return 1 if broken and check else 0


def _broken(told: dict[str, Any]) -> list[str]:
    """What misses a goal: all gates together, and each by itself where there is anything for it to see."""
    shares = {"all gates": (told["seen"], told["false alarms"])}
    shares |= {gate: (_share(rows[0]), _share(rows[1])) for gate, rows in told["gates"].items() if rows[0]}
    wrong = []
    for gate, (seen, false) in shares.items():
        if seen < GOAL_SEEN:
            wrong.append(f"{gate}: harm seen {seen:.1%}, goal {GOAL_SEEN:.0%}")
        if false > GOAL_ALARMS:
            wrong.append(f"{gate}: false alarms {false:.1%}, goal {GOAL_ALARMS:.0%}")
    return wrong


if __name__ == "__main__":
    raise SystemExit(main())
