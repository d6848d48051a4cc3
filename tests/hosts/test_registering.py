"""Callbacks: the quick way where the host has it, the public way where it has not."""

from __future__ import annotations

from typing import Any

import pytest

from lib_prodshot.hosts.compatibility.callbacks import register
from tests.hosts.conftest import Double


def test_the_public_way(webui: Double) -> None:
    register("app_started", print, "/x/prodshot.py")
    assert webui.script_callbacks.registered["app_started"] == [print]


def test_the_quick_way(webui: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    added: list[Any] = []

    def add_callback(
        callbacks: list[Any], fun: Any, *, name: Any = None, category: str = "", filename: Any = None
    ) -> None:
        added.append((callbacks, fun, category, filename))

    lists: dict[str, list[Any]] = {"callbacks_app_started": []}
    monkeypatch.setattr(webui.script_callbacks, "callback_map", lists, raising=False)
    monkeypatch.setattr(webui.script_callbacks, "add_callback", add_callback, raising=False)
    register("app_started", print, "/x/prodshot.py")
    assert added == [(lists["callbacks_app_started"], print, "app_started", "/x/prodshot.py")]
    assert webui.script_callbacks.registered["app_started"] == []


def test_the_oldest_host_s_way(webui: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    """classic's add_callback takes no file."""
    monkeypatch.setattr(webui.script_callbacks, "add_callback", lambda callbacks, fun: None, raising=False)
    register("ui_settings", print, "/x/prodshot.py")
    assert webui.script_callbacks.registered["ui_settings"] == [print]
