"""What `install.py` does to the Python of a real WebUI: it adds, and replaces nothing."""

from __future__ import annotations

import re
import subprocess
from importlib.metadata import distributions

from tests.test_install import UNMET
from tests.webui import server as servers
from tests.webui.conftest import installation_of
from tests.webui.server import Installation


def packages_of(installation: Installation) -> dict[str, str]:
    """Name and version of what lies in the environment's own folder, not in one behind it."""
    (folder,) = installation.python.parent.parent.glob("lib/python*/site-packages")
    found = {str(entry.metadata["Name"]): entry.version for entry in distributions(path=[str(folder)])}
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found.items()}


def test_nothing_of_the_webui_s_own_is_replaced(installation: Installation) -> None:
    theirs, ours = packages_of(installation_of(installation.host)), packages_of(installation)
    print(f"{installation.host}: {len(theirs)} packages, gained {ours}")
    assert len(theirs) > 50
    assert not set(theirs) & set(ours)
    assert "groundingdino-py" in {*theirs, *ours} and "onnxruntime" in {*theirs, *ours}
    assert servers.run_installer(installation) == "", "a second start installs nothing"


def test_pip_has_no_new_complaint(installation: Installation) -> None:
    before, after = complaints(installation_of(installation.host)), complaints(installation)
    assert after <= {*before, UNMET}, after - before


def complaints(installation: Installation) -> set[str]:
    """What `pip check` finds wrong, told by the WebUI's own pip."""
    pip = [str(installation_of(installation.host).python), "-m", "pip", "--disable-pip-version-check"]
    command = [*pip, "--python", str(installation.python), "check"]
    done = subprocess.run(command, env=servers.quiet_environment(), capture_output=True, text=True, check=False)
    return {line for line in done.stdout.splitlines() if "requires" in line or "has requirement" in line}
