"""Generated requests against our own description: no 5xx, no invalid request accepted, no valid one refused.

PRODSHOT_FUZZ sets how many requests are generated under each of the two sets of pins (600 unless told; a longer run is
for a release).
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="tested where FastAPI and gradio are: under the WebUIs' pins")
pytest.importorskip("gradio", reason="tested where FastAPI and gradio are: under the WebUIs' pins")

hypothesis = pytest.importorskip("hypothesis")
jsonschema = pytest.importorskip("jsonschema")

import pydantic  # noqa: E402
from hypothesis import HealthCheck, given, seed  # noqa: E402
from hypothesis import settings as profile  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from lib_prodshot.errors import RequestError  # noqa: E402
from lib_prodshot.request import WEBUI_BASE, Request, Setting, settings  # noqa: E402
from lib_prodshot.steps.targets import known_markets  # noqa: E402
from lib_prodshot.webui import picture_codes  # noqa: E402
from lib_prodshot.webui.api import openapi  # noqa: E402
from lib_prodshot.webui.api.bodies import MAX_TEXT  # noqa: E402
from tests.api.tools import as_code, as_file, dark, noise  # noqa: E402

REQUESTS = int(os.environ.get("PRODSHOT_FUZZ", "600"))
SEED = 20240600 + 10 * int(pydantic.VERSION[0])
"""Under each set of pins other requests: half of them here, half there."""

PICTURES = [as_code(as_file(noise(0, (16, 24)))), as_code(as_file(dark((16, 16)))), as_code(as_file(noise(1), "JPEG"))]
RELAXED = {
    "deadline": None,
    "database": None,
    "suppress_health_check": list(HealthCheck),
    "derandomize": False,
}

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | st.just(10**300),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from([known.name for known in settings()] + ["images", "include", "product", "", "__class__"])
PRODUCTS = st.sampled_from(["handbag", "shoe, car", "watch: dial | clock", ["a", "b"]])


def in_range(known: Setting) -> st.SearchStrategy[Any]:
    """Values that the description allows."""
    if known.kind == "flag":
        return st.booleans()
    if known.kind == "choice":
        return st.sampled_from(known.choices)
    if known.kind == "integer":
        assert known.minimum is not None and known.maximum is not None
        return st.integers(int(known.minimum), int(known.maximum))
    if known.kind == "number":
        return st.floats(known.minimum, known.maximum, allow_nan=False)
    return st.text(max_size=40)


def around(known: Setting) -> st.SearchStrategy[Any]:
    """Values on and just beyond the edges, and of other types."""
    edges = [edge for edge in (known.minimum, known.maximum) if edge is not None]
    near = [value for edge in edges for value in (edge, edge - 1, edge + 1, edge + 1e-9, str(edge), -edge)]
    return st.sampled_from(near) | ANYTHING if near else ANYTHING | in_range(known) | st.just("x" * (MAX_TEXT + 1))


TABLE = {known.name: known for known in settings()}
SETTINGS = st.dictionaries(st.sampled_from(sorted(TABLE)), st.just(None), max_size=5).flatmap(
    lambda chosen: st.fixed_dictionaries({name: in_range(TABLE[name]) | around(TABLE[name]) for name in chosen})
)
SENT = st.builds(
    lambda base, chosen, stray: {**base, **chosen, **stray},
    st.fixed_dictionaries(
        {"images": st.lists(st.sampled_from(PICTURES), min_size=1, max_size=2), "products": PRODUCTS},
        optional={"include": st.lists(st.sampled_from(openapi.PICTURES), max_size=2) | ANYTHING},
    ),
    SETTINGS,
    st.just({}) | st.dictionaries(NAMES | st.text(max_size=10), ANYTHING, max_size=1),
)


CHECK_SENT = st.builds(
    lambda base, stray: {**base, **stray},
    st.fixed_dictionaries(
        {
            "images": st.lists(st.sampled_from(PICTURES), min_size=1, max_size=2),
            "marketplace": st.sampled_from(["amazon", "zalando, google", "nowhere", ""]) | ANYTHING,
        }
    ),
    st.just({}) | st.dictionaries(NAMES, ANYTHING, max_size=1),
)
"""Bodies of /check."""

_FIXED = {"/packshot": {"make": "packshot"}}
"""What a route sets by itself and takes from nobody otherwise."""


def _body_of(path: str) -> Mapping[str, Any]:
    (route,) = (route for route in openapi.ROUTES if route.path == path)
    assert route.body is not None
    return route.body


def is_valid(path: str, sent: Mapping[str, Any]) -> bool:
    """What the description and the request's own rules say of a body, asked without the routes."""
    fixed = _FIXED.get(path, {})
    # the description says text; a list of names is a convenience that the schema grants besides
    written = {**sent, "products": ", ".join(sent["products"]) if _is_names(sent.get("products")) else sent["products"]}
    if not jsonschema.Draft7Validator(_body_of(path)).is_valid(written):
        return False
    try:
        named = {name: value for name, value in sent.items() if name not in ("images", "include")}
        wanted = Request.from_arguments([named], base={**WEBUI_BASE, **fixed})
        _ = wanted.classes
    except RequestError:
        return False
    # a ground's picture is a file that no text here names; what is no path must be a picture, and no text here is
    ground = str(sent.get("ground_picture", "")).strip()
    is_code = bool(ground) and not picture_codes.is_path(ground)
    # nor does one name a reference that this server opens
    named = [line.strip() for line in str(sent.get("edit_references", "")).splitlines() if line.strip()]
    is_code |= bool(named) and not any(map(picture_codes.is_path, named))
    # and this host has no upscaler that could enlarge by a model, which finding alone does not need
    is_missing = wanted.needs_ground_picture or (wanted.needs_upscaler and path != "/detect")
    is_missing |= bool(wanted.reference_files)
    is_other = any(getattr(wanted, name) != value for name, value in fixed.items())
    return not (is_missing or is_code or is_other) and all(picture in PICTURES for picture in sent["images"])


def _is_valid_check(sent: Mapping[str, Any]) -> bool:
    if not jsonschema.Draft7Validator(_body_of("/check")).is_valid(sent):
        return False
    try:
        markets = known_markets(sent["marketplace"])
    except RequestError:
        return False
    return bool(markets) and all(picture in PICTURES for picture in sent["images"])


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def test_generated_requests(client: Any) -> None:
    seen: Counter[int] = Counter()
    valid: Counter[bool] = Counter()

    def send(path: str, sent: Any) -> Any:
        content = json.dumps(sent)
        reply = client.post(openapi.PREFIX + path, content=content, headers={"Content-Type": "application/json"})
        seen[reply.status_code] += 1
        return reply

    @seed(SEED + 1)
    @profile(max_examples=REQUESTS * 4 // 6, **RELAXED)
    @given(st.sampled_from(["/detect", "/enhance", "/packshot"]), SENT)
    def pictures(path: str, sent: dict[str, Any]) -> None:
        reply = send(path, sent)
        has_constant = any(word in json.dumps(sent) for word in ("NaN", "Infinity"))
        accepted = is_valid(path, sent) and not has_constant and _names_a_ready_finder(sent)
        valid[accepted] += 1
        if accepted:
            assert reply.status_code in (200, 207), (sent, reply.text)
            assert len(reply.json()["outcomes"]) == len(sent["images"])
        else:
            assert reply.status_code in (400, 422), (sent, reply.status_code, reply.text[:300])

    @seed(SEED + 3)
    @profile(max_examples=REQUESTS // 6, **RELAXED)
    @given(CHECK_SENT)
    def checks(sent: dict[str, Any]) -> None:
        reply = send("/check", sent)
        accepted = _is_valid_check(sent)
        valid[accepted] += 1
        if accepted:
            assert reply.status_code == 200 and reply.json()["checks"], (sent, reply.text)
        else:
            assert reply.status_code in (400, 422), (sent, reply.status_code, reply.text[:300])

    @seed(SEED + 2)
    @profile(max_examples=REQUESTS // 6, **RELAXED)
    @given(st.sampled_from(["/detect", "/enhance", "/packshot", "/check", "/jobs"]), ANYTHING)
    def anything(path: str, sent: Any) -> None:
        assert send(path, sent).status_code in (400, 422), sent

    pictures()
    checks()
    anything()
    print(f"{sum(seen.values())} requests, {valid[True]} of them valid: {dict(seen)}")
    assert sum(seen.values()) >= REQUESTS * 5 // 6
    assert valid[True] > REQUESTS // 20 and seen[422] > REQUESTS // 10
    assert not [status for status in seen if status >= 500]


def _names_a_ready_finder(sent: Mapping[str, Any]) -> bool:
    return sent.get("finder", "auto") in ("auto", "lite")
