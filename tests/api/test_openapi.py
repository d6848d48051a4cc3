"""The description of the routes: whole, valid, the same for both FastAPIs, and true of what they answer."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("fastapi", reason="tested where FastAPI and gradio are: under the WebUIs' pins")
pytest.importorskip("gradio", reason="tested where FastAPI and gradio are: under the WebUIs' pins")

from lib_prodshot.request import settings
from lib_prodshot.webui.api import openapi
from tests.api.tools import DETECT, ENHANCE, as_file, body, dark, noise

jsonschema = pytest.importorskip("jsonschema")


def all_of(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (path, method): operation
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if path.startswith(openapi.PREFIX)
    }


def test_the_servers_page_and_our_own_document_agree(client: Any) -> None:
    ours = all_of(client.get(f"{openapi.PREFIX}/openapi.json").json())
    theirs = all_of(client.get("/openapi.json").json())
    assert ours.keys() == theirs.keys()
    assert len(ours) == len(openapi.ROUTES)
    for key, operation in ours.items():
        assert operation.get("requestBody") == theirs[key].get("requestBody")
        for status, response in operation["responses"].items():
            assert theirs[key]["responses"][status].get("content") == response.get("content")


def test_every_setting_is_described_with_its_range() -> None:
    (route,) = (route for route in openapi.ROUTES if route.path == "/enhance")
    assert route.body is not None
    properties = route.body["properties"]
    for known in settings():
        described = properties[known.name]
        assert described["description"] == known.help
        assert described.get("minimum") == known.minimum and described.get("maximum") == known.maximum
        assert tuple(described.get("enum", ())) == known.choices
    assert route.body["additionalProperties"] is False


def test_the_schemas_are_schemas() -> None:
    for route in openapi.ROUTES:
        jsonschema.Draft7Validator.check_schema(route.answer)
        if route.body:
            jsonschema.Draft7Validator.check_schema(route.body)


def test_a_second_registration_adds_nothing(client: Any) -> None:
    from lib_prodshot.webui.api.routes import add_routes

    before = len(client.app.routes)
    add_routes(client.app)
    assert len(client.app.routes) == before


def check_answer(client: Any, method: str, path: str, reply: Any) -> None:
    operation = all_of(client.get(f"{openapi.PREFIX}/openapi.json").json())[path, method]
    response = operation["responses"][str(reply.status_code)]
    jsonschema.validate(reply.json(), response["content"]["application/json"]["schema"])


@pytest.mark.parametrize("path", ["/schema", "/status", "/openapi.json", "/jobs"])
def test_answers_are_as_described(client: Any, path: str) -> None:
    check_answer(client, "get", openapi.PREFIX + path, client.get(openapi.PREFIX + path))


@pytest.mark.parametrize("path", [DETECT, ENHANCE])
def test_outcomes_are_as_described(client: Any, path: str) -> None:
    include = list(openapi.PICTURES)
    check_answer(client, "post", path, client.post(path, json=body(as_file(noise()), as_file(dark()), include=include)))
    check_answer(client, "post", path, client.post(path, json={}))
    failing = body(as_file(noise()), engine="retouch", delta_e_limit=0, over_limit="refuse")
    check_answer(client, "post", path, client.post(path, json=failing))
