"""Presets: saved, loaded, passed on; strict with everything that comes from elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="tested where FastAPI and gradio are: under the WebUIs' pins")
pytest.importorskip("gradio", reason="tested where FastAPI and gradio are: under the WebUIs' pins")

from lib_prodshot.errors import OutputError, RequestError
from lib_prodshot.request import Request, settings
from lib_prodshot.webui import options, presets
from lib_prodshot.webui.panel import preset_box
from lib_prodshot.webui.presets import PresetStore, from_text
from tests.api.local_host import LocalHost


def test_save_load_and_delete(tmp_path: Path) -> None:
    shelf = PresetStore(tmp_path / "new" / "folder")
    assert shelf.names() == []
    shelf.save("Taschen für Ä", {"products": "handbag", "padding": 48})
    shelf.save("alpha", {"products": "shoe"})
    assert shelf.names() == ["alpha", "Taschen für Ä"]
    assert shelf.load("Taschen für Ä").request == Request(products="handbag", padding=48)
    shelf.save("alpha", {"products": "car"})
    assert shelf.load("alpha").request.products == "car"
    shelf.delete("alpha")
    shelf.delete("alpha")
    assert shelf.names() == ["Taschen für Ä"]
    assert [path.name for path in shelf.folder.iterdir()] == ["Taschen für Ä.json"]


def test_a_preset_travels_as_text(tmp_path: Path) -> None:
    request = Request(products="handbag: bag | purse", class_prompts="handbag: x\n", feather=1.5)
    again = from_text(presets.Preset("Bags", request).to_text())
    assert (again.name, again.request) == ("Bags", request)


def test_a_preset_of_an_older_version_lacks_new_settings() -> None:
    again = from_text('{"prodshot_preset": 1, "name": "old", "settings": {"products": "car"}}')
    assert again.request == Request(products="car")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON"),
        ("[" * 9000, "not JSON"),
        ("[]", "no 'prodshot_preset'"),
        ('{"name": "x"}', "no 'prodshot_preset'"),
        ('{"prodshot_preset": 2, "name": "x", "settings": {}}', "format 2"),
        ('{"prodshot_preset": 1, "name": "x", "settings": [1]}', "not a table"),
        ('{"prodshot_preset": 1, "name": "x", "settings": {}, "run": "rm"}', "'run'"),
        ('{"prodshot_preset": 1, "name": "x", "settings": {"colour": "red"}}', "colour: unknown setting"),
        ('{"prodshot_preset": 1, "name": "x", "settings": {"padding": "32"}}', "padding"),
        ('{"prodshot_preset": 1, "name": "../x", "settings": {}}', "name"),
        ('{"prodshot_preset": 1, "settings": {}}', "name"),
        ("{" + " " * 70_000 + "}", "larger"),
    ],
)
def test_strict(text: str, words: str) -> None:
    with pytest.raises(RequestError, match=words.replace("(", "\\(")):
        from_text(text)


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        ".",
        "..",
        "../x",
        "a/b",
        "a\\b",
        ".hidden",
        "x" * 61,
        "con",
        "NUL.txt",
        "lpt1",
        "a\nb",
        "a:b",
        "-x",
        "a.",
        5,
    ],
)
def test_names_that_are_no_files_names(tmp_path: Path, name: Any) -> None:
    shelf = PresetStore(tmp_path)
    for act in (lambda: shelf.save(name, {}), lambda: shelf.load(name), lambda: shelf.delete(name)):
        with pytest.raises(RequestError):
            act()
    assert list(tmp_path.iterdir()) == []


def test_damaged_and_foreign_files(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_bytes(b"\xff\xfe")
    (tmp_path / "..json").write_text("{}")
    (tmp_path / "notes.txt").write_text("x")
    shelf = PresetStore(tmp_path)
    assert shelf.names() == ["broken"]
    with pytest.raises(RequestError):
        shelf.load("broken")
    with pytest.raises(RequestError):
        shelf.load("missing")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\xff\xfe{\0}\0", "not UTF-8"),
        ('{"prodshot_preset": 1, "name": "caf\xe9", "settings": {}}'.encode("cp1252"), "not UTF-8"),
        (b"{", "not JSON"),
        (b"", "not JSON"),
        (b'{"prodshot_preset": 2, "name": "mine", "settings": {}}', "format 2"),
        (b'{"prodshot_preset": 1, "name": "mine", "settings": {"new": 1}}', "new: unknown setting"),
        (b'{"somebody": "else\'s"}', "no 'prodshot_preset'"),
        (b" " * 70_000, "larger"),
    ],
)
def test_what_cannot_be_read_as_a_preset_is_not_missing_and_stays(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "mine.json"
    path.write_bytes(data)
    shelf = PresetStore(tmp_path)
    assert shelf.names() == ["mine"]
    with pytest.raises(RequestError, match=words):
        shelf.load("mine")
    with pytest.raises(OutputError, match=r"mine\.json is there, stays as it is"):
        shelf.save("mine", {"products": "car"})
    assert path.read_bytes() == data
    # told to, it goes
    shelf.delete("mine")
    assert shelf.save("mine", {"products": "car"}).request.products == "car"


@pytest.mark.parametrize("kind", ["a folder", "a link to nothing", "a disk error"])
def test_what_is_no_file_of_ours_stays(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path, shelf = tmp_path / "mine.json", PresetStore(tmp_path)
    if kind == "a folder":
        path.mkdir()
    elif kind == "a link to nothing":
        path.symlink_to("nowhere")
    else:
        shelf.save("mine", {"products": "car"})
        monkeypatch.setattr(Path, "read_text", _broken)
    before = path.lstat()
    with pytest.raises(RequestError, match="the preset 'mine' cannot be read"):
        shelf.load("mine")
    with pytest.raises(OutputError, match="stays as it is"):
        shelf.save("mine", {"products": "shoe"})
    assert path.lstat().st_ino == before.st_ino
    with pytest.raises(RequestError, match="there is no preset 'other'"):
        shelf.load("other")


def _broken(*_: Any, **__: Any) -> str:
    raise OSError(5, "Input/output error")


def test_a_shelf_that_cannot_be_read_is_said_on_the_page(host: LocalHost) -> None:
    shelf = options.preset_store()
    assert shelf.trouble() == ""
    shelf.folder.parent.mkdir(parents=True, exist_ok=True)
    shelf.folder.write_text("no folder")
    assert shelf.names() == [] and "cannot be read: not a directory" in shelf.trouble()
    with preset_box.gr.Blocks():
        box = preset_box.draw(lambda name: name)
    assert "cannot be read" in box.message.value
    shelf.folder.unlink()
    with preset_box.gr.Blocks():
        assert preset_box.draw(lambda name: name).message.value == ""


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        PresetStore(tmp_path / "file" / "presets").save("x", {})


def test_the_seeds_preset_is_offered_with_its_lora(host: LocalHost) -> None:
    (seed,) = (known.preset for known in presets.SHIPPED if known.lora == "ppzocketv2-10")
    assert from_text(seed.to_text()) == seed
    assert options.preset_store().names() == []
    with pytest.raises(RequestError, match="there is no preset"):
        options.preset_store().load(seed.name)
    host.loras.add("ppzocketv2-10")
    shelf = options.preset_store()
    assert shelf.names() == ["ppzocketv2 (seed)"]
    assert "<lora:ppzocketv2-10:1>" in shelf.load(seed.name).request.prompt
    with pytest.raises(RequestError, match="comes with Prodshot"):
        shelf.delete(seed.name)
    shelf.save(seed.name, {"products": "car"})
    assert shelf.names() == [seed.name] and shelf.load(seed.name).request.products == "car"
    shelf.delete(seed.name)
    assert shelf.load(seed.name) == seed


def test_a_preset_without_products_keeps_those_of_the_panel(host: LocalHost) -> None:
    host.loras.add("ppzocketv2-10")
    message, _, products, *others = preset_box._load("ppzocketv2 (seed)")
    assert "Loaded" in message and "value" not in products
    assert all("value" in update for update in others)


# --- the panel's tab ------------------------------------------------------------------------------------------------


def values(**changed: Any) -> list[Any]:
    return list(Request(**changed).to_dict().values())


def test_the_tabs_buttons(host: LocalHost) -> None:
    message, dropdown = preset_box._save("Bags", *values(products="handbag", padding=48))
    assert "Saved Bags" in message and dropdown["value"] == "Bags" and dropdown["choices"] == ["", "Bags"]
    message, name, *updates = preset_box._load("Bags")
    assert "Loaded" in message and name["value"] == "Bags"
    assert [update["value"] for update in updates] == values(products="handbag", padding=48)
    message, text = preset_box._share("Bags", *values(products="car"))
    message, _, *updates = preset_box._take(text["value"])
    assert [update["value"] for update in updates] == values(products="car")
    message, dropdown = preset_box._delete("Bags")
    assert options.preset_store().names() == [] and dropdown["choices"] == [""]


def test_what_goes_wrong_is_said_and_changes_nothing(host: LocalHost) -> None:
    for act in (lambda: preset_box._load("gone"), lambda: preset_box._take("{}")):
        message, *updates = act()
        assert "error" in message and len(updates) == 1 + len(settings())
        assert all("value" not in update for update in updates)
    assert "error" in preset_box._save("../x", *values())[0]
    assert "&lt;script" in preset_box._take(json.dumps({"prodshot_preset": "<script>"}))[0]
    assert preset_box._delete("")[0] == preset_box.gr.update()
