"""A WebUI from the future: what moved is told in words, and nothing else of the WebUI breaks."""

from __future__ import annotations

import sys

import pytest

from lib_prodshot.hosts import current
from tests.hosts.conftest import Double


def test_the_host_we_know_is_fit(webui: Double) -> None:
    assert current.why_unfit() == ""


def test_a_module_that_is_gone(webui: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(current, "_HOST", [])
    monkeypatch.setitem(sys.modules, "modules.shared", None)
    assert "modules.shared" in current.why_unfit()
    # in the drop-down nevertheless, where its panel says why
    assert webui.door.ProdshotScript().show(False) is True


def test_a_list_that_is_gone(webui: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(webui.sd_models, "checkpoints_list")
    told = current.why_unfit()
    assert "checkpoints_list" in told and "please report it" in told


def test_a_callback_that_is_gone(
    webui: Double, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from lib_prodshot.hosts.registering import register

    monkeypatch.delattr(webui.script_callbacks, "on_ui_settings")
    register("ui_settings", print, "/x/prodshot.py")
    assert "ui_settings" in capsys.readouterr().out


def test_generations_go_on_where_we_are_unfit(webui: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(current, "_HOST", [])
    monkeypatch.setitem(sys.modules, "modules.launch_utils", None)
    monkeypatch.delattr(webui.sd_samplers, "all_samplers")
    made = webui.generate()
    assert len(made.images) == 1 and "Prodshot" not in made.infotexts[0]
