"""Texts and tables that others wrote: requests, product lists, presets, recipes, headers of weights, file names in
reports, and what a WebUI at the other end answers. Each is accepted, or refused with an error of ours."""

from __future__ import annotations

import csv
import io
import json
import random
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from lib_prodshot.errors import ProdshotError, RequestError
from lib_prodshot.outcome import Detection, Outcome, Verdict, csv_cells
from lib_prodshot.products import parse_products, parse_prompts, parse_thresholds
from lib_prodshot.request import WEBUI_BASE, Request, Setting
from lib_prodshot.request import settings as schema

ANY_TEXT = st.text(st.characters(), max_size=60)
"""Any Unicode, lone surrogates too: file names on Linux may hold them."""

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT | st.just(10**300),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=8,
)


def explore(
    chance: random.Random, count: int, strategy: st.SearchStrategy[Any], check: Callable[[Any], str]
) -> Counter[str]:
    """Give `count` values of the strategy to `check`, which says how each ended."""
    ends: Counter[str] = Counter()

    @seeded(chance.randrange(2**63))
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def one(value: Any) -> None:
        ends[check(value)] += 1

    one()
    return ends


# --- requests -------------------------------------------------------------------------------------------------------


def _value(known: Setting) -> st.SearchStrategy[Any]:
    """Right ones, ones at and beyond the edges, and anything."""
    edges = [edge for edge in (known.minimum, known.maximum) if edge is not None]
    choices = [*known.choices, *edges, *(edge + step for edge in edges for step in (-1, 1, 1e-9)), True, False]
    return st.sampled_from(choices) | ANYTHING | st.floats() | st.integers(-5, 70)


SENT = st.dictionaries(st.sampled_from([known.name for known in schema()]), st.none(), max_size=6).flatmap(
    lambda chosen: st.fixed_dictionaries({name: _value(TABLE[name]) for name in chosen})
)
TABLE = {known.name: known for known in schema()}


def requests(chance: random.Random, count: int, keep: Path) -> Counter[str]:
    """Settings by name and by place; what is accepted says the same when it is read again."""
    stray = st.just({}) | st.dictionaries(ANY_TEXT, ANYTHING, max_size=1)
    arguments = st.tuples(SENT, stray).map(lambda pair: [{"products": "mug", **pair[0], **pair[1]}])
    return explore(chance, count, arguments | st.lists(ANYTHING, max_size=len(TABLE) + 3), _request)


def _request(arguments: list[Any]) -> str:
    try:
        request = Request.from_arguments(arguments, base=WEBUI_BASE)
    except RequestError as error:
        assert error.problems and all(problem.message for problem in error.problems)
        return "refused"
    assert Request(**request.to_dict()) == request
    assert Request(**json.loads(json.dumps(request.to_dict(), allow_nan=False))) == request
    try:
        assert request.classes
    except RequestError:
        return "accepted, without a product"
    return "accepted"


# --- the small languages --------------------------------------------------------------------------------------------

LISTS = ANY_TEXT | st.lists(ANY_TEXT | st.sampled_from([*",;:|.\n", " or ", "mug", "Ⅷ", "\u202e"])).map("".join)


def product_lists(chance: random.Random, count: int, keep: Path) -> Counter[str]:
    """Lists of products in any writing; what is read reads the same when it is written again."""
    return explore(chance, count, LISTS, _products)


def _products(text: str) -> str:
    try:
        classes = parse_products(text)
    except RequestError:
        return "refused"
    assert 1 <= len(classes) <= 64
    assert all(product.name and product.phrases and all(product.phrases) for product in classes)
    assert all(letter.isprintable() or letter == " " for product in classes for letter in product.name)
    again = parse_products(", ".join(product.as_text() for product in classes))
    assert [one.phrases for one in again] == [one.phrases for one in classes]
    return "accepted"


def thresholds_and_prompts(chance: random.Random, count: int, keep: Path) -> Counter[str]:
    """'watch: 0.4' and 'handbag: [class] on marble'."""
    return explore(chance, count, LISTS, _thresholds_and_prompts)


def _thresholds_and_prompts(text: str) -> str:
    ends = []
    for parse in (parse_thresholds, parse_prompts):
        try:
            parse(text)
            ends.append("accepted")
        except RequestError:
            ends.append("refused")
    return "refused" if set(ends) == {"refused"} else "accepted"


# --- files of settings ----------------------------------------------------------------------------------------------


def presets(chance: random.Random, count: int, keep: Path) -> Counter[str]:
    """Any text, any JSON, and JSON that is nearly a preset."""
    from lib_prodshot.webui import presets as shelf

    def check(text: str) -> str:
        try:
            preset = shelf.from_text(text)
        except RequestError:
            return "refused"
        assert shelf.from_text(preset.to_text()) == preset
        return "accepted"

    content = st.fixed_dictionaries(
        {"prodshot_preset": st.just(1) | ANYTHING, "name": st.just("mine") | ANY_TEXT, "settings": SENT | ANYTHING}
    )
    nested = st.integers(1, 20_000).map(lambda depth: "[" * depth)
    return explore(chance, count, ANY_TEXT | nested | (ANYTHING | content).map(json.dumps), check)


def recipes(chance: random.Random, count: int, keep: Path) -> Counter[str]:
    """Any text, and TOML of right names and of others."""
    from lib_prodshot.training.recipe.files import compose, parse_text, save
    from lib_prodshot.training.recipe.recipe import SETTINGS, Recipe

    names = st.sampled_from([known.name for known in SETTINGS]) | st.text("abc_", min_size=1, max_size=5)
    plain = st.booleans() | st.integers(-9, 9) | st.floats() | ANY_TEXT.map(_writable)
    tables = st.dictionaries(names, plain | st.lists(plain, max_size=3), max_size=4)
    nested = st.integers(1, 5_000).map(lambda depth: "a = " + "[" * depth)

    def check(text: str) -> str:
        path = keep / "recipe.toml"
        path.write_text(text, encoding="utf-8", errors="surrogatepass")
        try:
            parse_text(text)
            recipe = compose(path, complete=False)
        except RequestError as error:
            assert error.problems
            return "refused"
        save(recipe, keep / "again.toml")
        assert isinstance(compose(keep / "again.toml", complete=False), Recipe)
        return "accepted"

    return explore(chance, count, ANY_TEXT | nested | tables.map(_as_toml), check)


def _writable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _as_toml(values: dict[str, Any]) -> str:
    import tomli_w

    return tomli_w.dumps(values)


def weights_headers(chance: random.Random, count: int, keep: Path) -> Counter[str]:
    """Safetensors files whose header says anything: a LoRA to be published, a checkpoint whose family is asked for."""
    from lib_prodshot.hosts.installed import family_of_file
    from lib_prodshot.training.lora import LoraError, header_problem, inspect

    numbers = st.integers(-9, 40) | ANYTHING
    entry = st.fixed_dictionaries(
        {
            "dtype": st.sampled_from(["F16", "F32", "BF16", "I8"]) | ANYTHING,
            "shape": st.lists(st.integers(0, 4), max_size=3) | ANYTHING,
            "data_offsets": st.tuples(numbers, numbers) | ANYTHING,
        }
    )
    keys = st.sampled_from(["lora_unet_a.alpha", "lora_unet_a.lora_down.weight", "lora_unet_a.lora_up.weight"])
    headers = st.dictionaries(keys | ANY_TEXT | st.just("__metadata__"), entry | ANYTHING, max_size=4) | ANYTHING
    nested = st.integers(1, 20_000).map(lambda depth: b"[" * depth)
    lengths = st.none() | st.integers(0, 2**64 - 1)

    def check(case: tuple[bytes, int | None, int]) -> str:
        header, length, tail = case
        path = keep / "case.safetensors"
        told = len(header) if length is None else length
        path.write_bytes(told.to_bytes(8, "little") + header + bytes(tail))
        assert family_of_file(path) in ("sd15", "sd2", "sdxl", "other")
        assert isinstance(header_problem(path), str)
        try:
            inspect(path)
        except LoraError:
            return "refused"
        return "accepted"

    texts = headers.map(lambda header: json.dumps(header).encode()) | nested | st.binary(max_size=60)
    return explore(chance, count, st.tuples(texts, lengths, st.integers(0, 80)), check)


# --- reports --------------------------------------------------------------------------------------------------------

HOSTILE = (
    "<script>alert(1)</script>.png",
    '"><img src=x onerror=alert(1)>.png',
    "</style><script>.png",
    "--><script>.png",
    "javascript:alert(1).png",
    "=cmd|'/c calc'!A0.jpg",
    "=cmd().jpg",
    "+1.png",
    "-1.png",
    "@SUM(A1).png",
    "\t=1.png",
    "\r=1.png",
    "\n=1.png",
    "＝1+1.png",
    "{{title}}.png",
    "<!-- rows -->.png",
    'a,"b\n=c.png',
    "\udcff\udc80.png",
    "\u202egnp.exe",
)
NAMES = st.sampled_from(HOSTILE) | ANY_TEXT | st.tuples(st.sampled_from(HOSTILE), ANY_TEXT).map("".join)
RUNS = "=+-@\t\r\n＝＋－＠"
"""What makes a spreadsheet take a cell for a formula, or leave out what precedes one."""


class Tags(HTMLParser):
    """Counts a page's tags, and keeps its attributes that could run or load something."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.bad: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        for name, value in attributes:
            text = (value or "").strip().lower()
            loads = name in ("src", "href") and not text.startswith(("data:image/webp;base64,", "./"))
            if name.startswith("on") or loads:
                self.bad.append(f"{tag} {name}={value}")


def reports(chance: random.Random, count: int, keep: Path) -> Counter[str]:
    """Names of files and products that are anything, in `report.jsonl`, `report.csv` and the page."""
    from lib_prodshot.jobs.report.contact_sheet import write_job_page
    from lib_prodshot.jobs.report.report import csv_row

    def check(names: tuple[str, str, str]) -> str:
        file, product, reason = names
        outcome = Outcome(Verdict("failed", reason), (product,), "lite", (Detection(product, 0.5, (1, 2, 3, 4), 9),))
        outcome.file, outcome.mask_file, outcome.output_file = file, file, file
        line = json.loads(json.dumps(outcome.to_json()))
        assert (line["file"], line["reason"], line["products"]) == (file, reason, [product])
        cells = csv_cells(line)
        assert csv_cells(outcome.to_json()) == cells
        written = csv_row(cells).encode("utf-8", "backslashreplace").decode()
        (read,) = csv.reader(io.StringIO(written, newline=""), strict=True)
        assert len(read) == len(cells)
        assert not [cell for cell in read if cell[:1] and cell[:1] in RUNS and not _is_number(cell)], read
        page = keep / "index.html"
        write_job_page(page, [line], lambda _: (None, None, None), f"Prodshot: {product}")
        tags = Tags()
        tags.feed(page.read_text(encoding="utf-8"))
        assert not tags.bad and tags.tags["script"] == 1 and tags.tags["article"] == 1, (tags.bad, tags.tags)
        return "told"

    return explore(chance, count, st.tuples(NAMES, NAMES, NAMES), check)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


# --- a WebUI at the other end ---------------------------------------------------------------------------------------


def remote_answers(chance: random.Random, count: int, keep: Path) -> Counter[str]:
    """Any JSON for an answer, and answers that are nearly right."""
    import httpx

    from lib_prodshot.hosts.remote import RemoteWebUI

    outcome = st.fixed_dictionaries(
        {
            "status": st.sampled_from(["found", "skipped"]) | ANYTHING,
            "reason": ANY_TEXT,
            "products": st.lists(ANY_TEXT, max_size=2) | ANYTHING,
            "finder": ANY_TEXT,
            "detections": st.lists(ANYTHING, max_size=2) | ANYTHING,
            "seconds": st.dictionaries(ANY_TEXT, st.floats(), max_size=1) | ANYTHING,
            "notes": st.lists(ANY_TEXT, max_size=1) | ANYTHING,
            "file": ANY_TEXT,
        },
        optional={"audit": ANYTHING, "output": ANY_TEXT | ANYTHING, "mask": ANYTHING},
    )
    job = st.fixed_dictionaries(dict.fromkeys(("id", "kind", "state", "done", "total", "text"), ANYTHING))
    answers = ANYTHING | outcome.map(lambda line: {"outcomes": [line]}) | job
    calls: tuple[Callable[[RemoteWebUI], Any], ...] = (
        lambda webui: webui.enhance([b"x"], products="mug"),
        lambda webui: webui.job("1"),
        lambda webui: webui.schema(),
    )

    def check(case: tuple[int, Any, int]) -> str:
        status, told, call = case
        content = json.dumps(told).encode()
        transport = httpx.MockTransport(lambda request: httpx.Response(status, content=content))
        with RemoteWebUI("http://shop:7860", transport=transport, sleep=lambda seconds: None) as webui:
            try:
                calls[call](webui)
            except ProdshotError as error:
                assert str(error)
                return "refused"
        return "accepted"

    statuses = st.sampled_from([200, 200, 200, 207, 400, 404, 422, 500, 503])
    return explore(chance, count, st.tuples(statuses, answers, st.integers(0, 2)), check)
