"""`python -m tests.hosts.record_contract FULL`: keep of the recorded signatures what the contract tests ask for.

FULL is the record of whole modules of five hosts (../shared/hosts-contract.json: parameter lists, read out of their
source by `ast`); `contract.json` beside this file holds the part that we rely on, so that tests run in any checkout.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lib_prodshot.bootstrap import ROOT
from tests.hosts.calls import CALLS, FORGE_CODE, MIKUBILL_CALLS, PROCESSING, SCRIPTS, STATE
from tests.hosts.signatures import Call, signatures_in

FULL = ROOT.parent / "shared" / "hosts-contract.json"
KEPT = Path(__file__).with_name("contract.json")
DOUBLE = ROOT / "tests" / "double"

CLASSES = {
    PROCESSING: ("StableDiffusionProcessing", "StableDiffusionProcessingImg2Img"),
    STATE: ("State",),
    FORGE_CODE: ("ControlNetUnit", "ControlMode", "ResizeMode"),
    "internal_controlnet/args.py": ("ControlNetUnit",),
    "scripts/enums.py": ("ControlMode", "ResizeMode"),
}
"""Classes of which the fields count."""


def kept_of(full: Mapping[str, Any]) -> dict[str, Any]:
    """The part of the full record that the tests use."""
    hosts = {}
    for host, known in full["hosts"].items():
        calls = [call for call in CALLS if host in call.hosts]
        modules = _modules(known["modules"], calls, _double_names() if host == "a1111" else {})
        hosts[host] = {"label": known["label"], "commit": known["commit"], "pins": known["pins"], "modules": modules}
    mikubill = _modules(full["mikubill_controlnet"]["modules"], MIKUBILL_CALLS, {})
    return {"_about": full["_about"], "hosts": hosts, "mikubill_controlnet": {"modules": mikubill}}


def _modules(recorded: Mapping[str, Any], calls: Iterable[Call], more: Mapping[str, set[str]]) -> dict[str, Any]:
    wanted = {file: {*names} for file, names in CLASSES.items()}
    for call in calls:
        wanted.setdefault(call.file, set()).add(call.name)
    for file, names in more.items():
        wanted.setdefault(file, set()).update(names)
    kept = {}
    for file, names in sorted(wanted.items()):
        known = recorded.get(file) or {}
        hooks = {name for name in known if file == SCRIPTS and name.startswith("Script.")}
        kept[file] = {name: known[name] for name in sorted(names | hooks) if name in known}
    return {file: names for file, names in kept.items() if names}


def _double_names() -> dict[str, set[str]]:
    """What the double defines, by the file that it stands for."""
    files = sorted((DOUBLE / "modules").glob("*.py"))
    return {f"modules/{path.name}": {*signatures_in(path.read_text(encoding="utf-8"))} for path in files}


def main() -> None:
    """Write `contract.json`."""
    full = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    KEPT.write_text(json.dumps(kept_of(full), indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
