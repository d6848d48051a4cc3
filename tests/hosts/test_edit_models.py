"""An edit model under the engine 'inpaint': said with the result, by what the host tells of the model it has loaded."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from lib_prodshot.hosts.compatibility import edit_models
from tests.hosts.conftest import Double, noise_picture, outcomes, parameters
from tests.hosts.test_memory import set_module

PLAIN = {"kontext": False, "edit": False, "klein": False}


def tell(monkeypatch: pytest.MonkeyPatch, told: object) -> None:
    """Let the host say this of its loaded model."""
    module = ModuleType("backend.args")
    module.dynamic_args = told  # type: ignore[attr-defined]
    set_module(monkeypatch, module)


def test_it_is_said_with_the_result(webui: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    tell(monkeypatch, SimpleNamespace(**PLAIN | {"edit": True}))
    looked = webui.run_script({"products": "car"}, init_images=[noise_picture()])
    assert outcomes(looked)[0]["status"] == "found"
    assert "an edit model (Qwen-Image-Edit)" in parameters(webui, looked)["Prodshot notes"]


@pytest.mark.parametrize(
    ("told", "options", "kind"),
    [
        (SimpleNamespace(**PLAIN), {}, ""),
        # Forge's own are a table of other things
        ({"embedding_dir": "x", "kontext": True}, {}, ""),
        (SimpleNamespace(), {}, ""),
        (SimpleNamespace(**PLAIN | {"kontext": True}), {}, "Kontext"),
        (SimpleNamespace(**PLAIN | {"klein": True}), {}, "Flux.2 Klein"),
        (SimpleNamespace(**PLAIN | {"klein": True}), {"klein_no_reference": False}, "Flux.2 Klein"),
        (SimpleNamespace(**PLAIN | {"klein": True}), {"klein_do_reference": True}, "Flux.2 Klein"),
        (SimpleNamespace(**PLAIN | {"klein": True}), {"klein_no_reference": True}, ""),
        (SimpleNamespace(**PLAIN | {"klein": True}), {"klein_do_reference": False}, ""),
    ],
)
def test_what_the_host_tells(
    webui: Double, monkeypatch: pytest.MonkeyPatch, told: object, options: dict[str, Any], kind: str
) -> None:
    tell(monkeypatch, told)
    webui.shared.opts.data.update(options)
    assert (f"({kind})" in edit_models.warning()) if kind else not edit_models.warning()


def test_a_host_without_that_module_has_no_edit_models(webui: Double) -> None:
    assert edit_models.warning() == ""
