"""Whether two hosts give the same answer: verdicts, boxes and masks to the pixel, and what each pass leaves alone.

Each host's answers are held against those of the hosts before it. PRODSHOT_SIDE_BY_SIDE may name a folder: the answers
are kept there for hosts that other runs start, and `side-by-side.md` tells all that are there in a table.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.webui.conftest import img2img, none_module, seed_picture
from tests.webui.server import Server
from tests.webui.test_http import _dilate

PICTURES = {"car": "car", "handbag": "handbag", "shoes": "shoe", "watch": "watch", "unknown": "car"}
"""Each of the seed's pictures with what is looked for in it; on 'unknown' there is only the Moon."""

REACH = 10
"""Pixels beyond the mask to which the default feather reaches."""


@dataclass(frozen=True)
class Answer:
    """What a host makes of one picture. `mask` is the mask's SHA-256; the counts are ours, not the host's."""

    status: str
    reason: str
    boxes: list[list[object]]
    mask: str
    changed_outside: int
    control_difference: float
    """Mean difference inside the mask between control weight 0 and 1, in grey levels of 255."""
    without_control_difference: float
    """The same between control weight 0 and no ControlNet at all."""

    @property
    def found(self) -> tuple[object, ...]:
        """What must not depend on the host."""
        return self.status, self.reason, self.boxes, self.mask


ANSWERS: dict[str, dict[str, Answer]] = {}
"""By host, then by picture."""


@pytest.mark.parametrize("name", PICTURES)
def test_every_host_gives_the_same_verdicts_and_masks(clean: Server, seed_dir: Path, name: str) -> None:
    answer = look(clean, seed_dir, name)
    remember(clean.installation.host, name, answer)
    print("\n" + table())
    assert answer.status == ("skipped" if name == "unknown" else "found")
    assert answer.changed_outside == 0
    if answer.status == "found":
        assert answer.control_difference > 0.2
        assert answer.without_control_difference < 0.05
    for host, theirs in ANSWERS.items():
        if name in theirs:
            assert answer.found == theirs[name].found, host


def look(server: Server, seed_dir: Path, name: str) -> Answer:
    """A picture through the script: with control weight 0, with 1, and without ControlNet."""
    picture = seed_picture(seed_dir, name)
    given = {"products": PICTURES[name], "finder": "lite", "prompt": "[class] on oak", "save_masks": True}
    held = {**given, **none_module(server)}
    answers = [img2img(server, picture, {**held, "control_weight": weight}) for weight in (0.0, 1.0)]
    answers.append(img2img(server, picture, {**given, "control": "off"}))
    (outcome,) = answers[1].outcomes
    boxes = [[found["label"], found["score"], *found["box"]] for found in outcome["detections"]]
    mask = np.asarray(answers[1].images[1]) == 255 if boxes else np.zeros(picture.size[::-1], bool)
    reach = _dilate(mask, REACH)
    original = np.asarray(picture).astype(int)
    changed = sum(int(((answer.pixels() != original).any(axis=2) & ~reach).sum()) for answer in answers)
    zero, one, off = (answer.pixels()[mask] for answer in answers)
    return Answer(
        outcome["status"],
        outcome["reason"],
        boxes,
        hashlib.sha256(np.packbits(mask).tobytes()).hexdigest(),
        changed,
        float(np.abs(zero - one).mean()) if boxes else 0.0,
        float(np.abs(zero - off).mean()) if boxes else 0.0,
    )


def remember(host: str, name: str, answer: Answer) -> None:
    """Keep a host's answer, in this process and, where a folder is named, for others."""
    folder = os.environ.get("PRODSHOT_SIDE_BY_SIDE", "")
    if folder:
        for file in sorted(Path(folder).glob("*.json")):
            theirs = json.loads(file.read_text(encoding="utf-8"))
            ANSWERS[file.stem] = {picture: Answer(**given) for picture, given in theirs.items()}
    ANSWERS.setdefault(host, {})[name] = answer
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        kept = {picture: asdict(given) for picture, given in ANSWERS[host].items()}
        (Path(folder) / f"{host}.json").write_text(json.dumps(kept, indent=1), encoding="utf-8")
        (Path(folder) / "side-by-side.md").write_text(table() + "\n", encoding="utf-8")


def table() -> str:
    """The answers of all hosts, picture by picture."""
    lines = [
        "| picture | host | verdict | mask (SHA-256) | changed outside | weight 0 against 1 | weight 0 against none |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in PICTURES:
        for host, answers in ANSWERS.items():
            if name not in answers:
                continue
            answer = answers[name]
            found = answer.status == "found"
            differences = (answer.control_difference, answer.without_control_difference)
            cells = [f"{value:.2f}" if found else "" for value in differences]
            mask = answer.mask[:12] if found else ""
            verdict = f"{answer.status}: {answer.reason}"
            lines.append(
                f"| {name} | {host} | {verdict} | {mask} | {answer.changed_outside} | {cells[0]} | {cells[1]} |"
            )
    return "\n".join(lines)
