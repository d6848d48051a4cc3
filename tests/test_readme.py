"""What README.md and docs/ show is true: commands parse, the Python example runs, the JSON has the report's keys."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from lib_prodshot import products
from lib_prodshot.bootstrap import DEMO, ROOT
from lib_prodshot.cli import COMMANDS, build_parser
from lib_prodshot.commands.demo import find_photographs
from lib_prodshot.errors import RequestError
from lib_prodshot.outcome import Outcome, Verdict
from lib_prodshot.products import parse_products

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMAND_LINE = re.compile(r"^(?:(?:python3|\.venvs/demo/bin/python) -m lib_prodshot|prodshot) (.+)$", re.M)


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)


def command_lines() -> list[str]:
    return [line for page in PAGES for block in blocks(page, "sh") for line in COMMAND_LINE.findall(block)]


def test_there_is_something_to_check() -> None:
    assert any(line == "demo" for line in command_lines())
    assert any(line.startswith("enhance ") for line in command_lines())


@pytest.mark.parametrize("line", command_lines())
def test_a_command_that_is_shown_is_one_that_there_is(line: str) -> None:
    arguments = build_parser().parse_args(shlex.split(line))
    assert callable(arguments.run)


def test_the_readme_names_every_command_and_no_other() -> None:
    table = re.findall(r"^\| `prodshot (\w+)", (ROOT / "README.md").read_text(encoding="utf-8"), re.M)
    assert sorted(table) == sorted(COMMANDS)


def test_the_readme_is_short_and_begins_with_a_picture() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.split()) < 1200
    assert text.index("](docs/images/overview.jpg)") < text.index("##")


def test_the_demo_environment_is_where_the_readme_says() -> None:
    assert f"{DEMO.folder().relative_to(ROOT).as_posix()}/bin/python" in PAGES[0].read_text(encoding="utf-8")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args([command, "--help"])
    assert ended.value.code == 0
    assert f"prodshot {command}" in capsys.readouterr().out


def test_the_json_line_has_the_reports_keys() -> None:
    shown = [json.loads(block) for block in blocks(ROOT / "README.md", "json")]
    line = Outcome(Verdict("found", ""), (), "lite").to_json()
    assert [list(example) for example in shown] == [list(line)]


def test_the_python_example_runs(models_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    coffee = next(path for path in find_photographs() if path.name == "coffee.png")
    shutil.copy(coffee, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRODSHOT_MODELS", str(models_dir))
    example, *_ = blocks(ROOT / "README.md", "python")
    names: dict[str, object] = {}
    exec(compile(example, "README.md", "exec"), names)
    assert names["outcome"].status == "found"  # type: ignore[attr-defined]
    assert (tmp_path / "better.png").read_bytes() != coffee.read_bytes()


def product_rows() -> list[tuple[str, str]]:
    rows = re.findall(r"^\| `(.+)` \| (.+) \|$", (ROOT / "docs" / "products.md").read_text(encoding="utf-8"), re.M)
    return [(written.replace("\\|", "|"), read) for written, read in rows]


@pytest.mark.parametrize(("written", "read"), product_rows())
def test_products_are_read_as_the_table_says(written: str, read: str) -> None:
    if not read.startswith("refused"):
        assert " / ".join(product.name for product in parse_products(written)) == read
        return
    with pytest.raises(RequestError) as caught:
        parse_products(written)
    for way in re.findall("`(.+?)`", read):
        assert repr(way) in str(caught.value)
        assert parse_products(way)


def test_the_pages_limits_of_products() -> None:
    told = (ROOT / "docs" / "products.md").read_text(encoding="utf-8")
    assert len(product_rows()) > 12
    assert f"At most {products.MAX_CLASSES} products, {products.MAX_NAME_LENGTH} characters a name" in told


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target
