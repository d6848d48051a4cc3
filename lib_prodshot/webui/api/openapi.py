"""Our routes described for clients, from the same schema that checks them: one document of our own, and the same
pieces for the server's page. The pieces mean the same in OpenAPI 3.0 (FastAPI 0.94) and 3.1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lib_prodshot import __version__
from lib_prodshot.request import WEBUI_BASE, Setting, setting_named, settings
from lib_prodshot.steps.registry import settings_by_step
from lib_prodshot.webui.api.bodies import MAX_TEXT

PREFIX = "/prodshot/v1"
PICTURES = ("output", "mask", "overlay")
"""What an answer may carry of each picture."""

Schema = dict[str, Any]


@dataclass(frozen=True)
class Route:
    """One route: method, path below `PREFIX`, what it is for, what it takes and what it answers; `is_file`: a file as
    it is, not JSON."""

    method: str
    path: str
    summary: str
    answer: Schema
    body: Schema | None = None
    multipart: bool = False
    description: str = ""
    parameters: tuple[Schema, ...] = ()
    errors: tuple[int, ...] = ()
    is_file: bool = False


_ERRORS = {
    400: "The body is damaged: neither JSON nor multipart as its content type says.",
    401: "User and password of the server's API are needed.",
    403: "The request comes from a foreign web page.",
    404: "There is no such job, or no such file of it.",
    413: "The request is larger than this server accepts.",
    415: "The body is neither application/json nor multipart/form-data.",
    422: "Something in the request cannot be accepted; `detail` names each field and what it allows.",
    503: "The server is busy (see Retry-After), or no finder can run on it.",
}
_ALWAYS = (401,)
_WITH_BODY = (400, 403, 413, 415, 422, 503)


def property_of(known: Setting) -> Schema:
    """One setting as JSON schema."""
    described: Schema = {"title": known.label, "description": known.help, "default": known.default}
    if known.kind == "flag":
        return {"type": "boolean", **described}
    if known.kind == "choice":
        return {"type": "string", "enum": list(known.choices), **described}
    if known.name in ("ground_picture", "edit_references"):
        return {"type": "string", **described}
    if known.kind == "text":
        return {"type": "string", "maxLength": MAX_TEXT, **described}
    kind = "integer" if known.kind == "integer" else "number"
    return {"type": kind, "minimum": known.minimum, "maximum": known.maximum, **described}


_IMAGES: Schema = {
    "type": "array",
    "minItems": 1,
    "maxItems": 64,
    "items": {"type": "string", "format": "byte", "minLength": 1},
    "description": "Pictures as base64 of either alphabet, padded or not, or as data URLs; in multipart: files.",
}
_IMAGE: Schema = {**_IMAGES["items"], "description": "One picture, in place of `images`."}
_ONE_FIELD = [{"required": ["images"]}, {"required": ["image"]}]
_CHECK_REQUEST: Schema = {
    "type": "object",
    "additionalProperties": False,
    "required": ["marketplace"],
    "oneOf": _ONE_FIELD,
    "properties": {
        "images": _IMAGES,
        "image": _IMAGE,
        "marketplace": {"type": "string", "minLength": 1, "description": "One or several, with commas."},
    },
}


def _request_schema(default: Sequence[str], make: str = "") -> Schema:
    """The body of a route that takes pictures; with `make` one that makes nothing else."""
    properties = {known.name: property_of(known) for known in settings(WEBUI_BASE)}
    if make:
        properties["make"] = {**properties["make"], "enum": [make], "default": make}
    properties["products"] = {**properties["products"], "minLength": 1}
    groups = {step: _group_schema(step, group) for step, group in settings_by_step().items()}
    include = {
        "type": "array",
        "items": {"type": "string", "enum": list(PICTURES)},
        "default": list(default),
        "description": "What the answer carries of each picture, as base64 of a PNG.",
    }
    return {
        "type": "object",
        "additionalProperties": False,
        # the products stand flat or in their step's group, one picture in either field
        "allOf": [
            {"anyOf": [{"required": ["products"]}, {"required": [setting_named("products").owner]}]},
            {"oneOf": _ONE_FIELD},
        ],
        "properties": {"images": _IMAGES, "image": _IMAGE, "include": include, **properties, **groups},
    }


def _group_schema(step: str, group: Sequence[Setting]) -> Schema:
    """The settings of one step as an object, an alternative to their flat names; JSON bodies only."""
    described = f"The settings of the step {step}, instead of their flat names (not in multipart)."
    properties = {known.field: {"description": f"See {known.name}."} for known in group}
    return {"type": "object", "additionalProperties": False, "description": described, "properties": properties}


_TEXT: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "number"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_TEXTS: Schema = {"type": "array", "items": _TEXT}


def _object(required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Schema:
    return {"type": "object", "required": list(required), "properties": {**required, **(optional or {})}}


_PROBLEM = _object({"field": _TEXT, "message": _TEXT, "allowed": _TEXT})
_ERROR = _object({"error": _TEXT, "detail": {"type": "array", "items": _PROBLEM}})
_DETECTION = _object(
    {
        "label": _TEXT,
        "score": {"type": "number", "minimum": 0, "maximum": 1},
        "box": {"type": "array", "items": {"type": "integer"}, "minItems": 4, "maxItems": 4},
        "area": _COUNT,
    }
)
_ENHANCE_AUDIT = _object(
    {
        "changed_outside": _COUNT,
        "max_difference_outside": _COUNT,
        "delta_e_mean": _NUMBER,
        "delta_e_p95": _NUMBER,
        "changed_inside_share": {"type": "number", "minimum": 0, "maximum": 1},
    }
)
_PACKSHOT_AUDIT = _object(
    {"changed_inside": _COUNT, "inner_pixels": _COUNT, "compared_with": _TEXT},
    {"changed_outside": {"type": "integer", "nullable": True, "description": "null: it does not apply"}},
)
_AUDIT: Schema = {"anyOf": [_ENHANCE_AUDIT, _PACKSHOT_AUDIT]}
_RULE = _object(
    {
        "rule": _TEXT,
        "measured": {"nullable": True, "description": "A number, a text, or null where nothing measures it."},
        "required": _TEXT,
        "status": {"type": "string", "enum": ["pass", "fail", "warning", "not checked"]},
        "fix": _TEXT,
    }
)
_SOURCE_TYPE: Schema = {
    "type": "string",
    "nullable": True,
    "description": "What the result's XMP says of how it was made, in the IPTC's words.",
}
_PACKSHOT = _object(
    {
        "marketplace": {"type": "string", "nullable": True},
        "file": {"type": "string", "description": "The name that the packshot's file would have."},
        "output": {"type": "string", "nullable": True, "description": "That file as base64."},
        "size": {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2},
        "format": _TEXT,
        "quality": {"type": "integer", "nullable": True},
        "bytes": _COUNT,
        "fill": _NUMBER,
        "area_share": _NUMBER,
        "scale": _NUMBER,
        "set": {"type": "object", "description": "The settings that the marketplace set."},
        "audit": _PACKSHOT_AUDIT,
        "digital_source_type": _SOURCE_TYPE,
        "passed": {"type": "boolean", "nullable": True},
        "rules": {"type": "array", "items": _RULE, "description": "What is not passed."},
    }
)
_CHECKS = _object(
    {
        "checks": {
            "type": "array",
            "items": _object(
                {
                    "file": _TEXT,
                    "marketplace": _TEXT,
                    "passed": {"type": "boolean"},
                    "rules": {"type": "array", "items": _RULE},
                }
            ),
        }
    }
)
_OUTCOME = _object(
    {
        "file": _TEXT,
        "status": {"type": "string", "enum": ["found", "skipped", "failed"]},
        "reason": _TEXT,
        "products": _TEXTS,
        "detections": {"type": "array", "items": _DETECTION},
        "size": {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2},
        "seconds": {"type": "object", "additionalProperties": _NUMBER},
        "finder": _TEXT,
        "version": _TEXT,
        "notes": _TEXTS,
        "infotext": _TEXT,
    },
    {
        "audit": _AUDIT,
        "digital_source_type": {"type": "string", "description": _SOURCE_TYPE["description"]},
        "ran": _TEXTS,
        "packshots": {"type": "array", "items": _PACKSHOT},
        "needs_review": _TEXTS,
        "gravity": {
            "type": "number",
            "description": "How grave the gravest of these reasons is, from 1 (an estimate) to below 4; 0 without one",
        },
        **dict.fromkeys(PICTURES, _TEXT),
    },
)
_OUTCOMES = _object(
    {"outcomes": {"type": "array", "items": _OUTCOME}, "found": _COUNT, "skipped": _COUNT, "failed": _COUNT}
)
_JOB = _object(
    {
        "id": _TEXT,
        "kind": _TEXT,
        "state": {"type": "string", "enum": ["queued", "running", "done", "failed", "cancelled"]},
        "done": _COUNT,
        "total": _COUNT,
        "text": _TEXT,
        "created": _NUMBER,
        "files": {"type": "object", "additionalProperties": _TEXT},
    },
    {"figures": {"type": "object"}, "finished": _NUMBER, "error": _TEXT, "result": {"type": "object"}},
)
_JOB_REQUEST: Schema = {
    "type": "object",
    "additionalProperties": False,
    "required": ["kind"],
    "properties": {
        "kind": {"type": "string", "minLength": 1, "description": "A kind of job that /jobs lists under `kinds`."},
        "settings": {"type": "object", "description": "What the kind of job takes.", "default": {}},
    },
}
SETTING = _object(
    {
        "name": _TEXT,
        "kind": _TEXT,
        "default": {},
        "label": _TEXT,
        "help": _TEXT,
        "owner": {"type": "string", "description": "The step whose setting it is."},
        "field": {"type": "string", "description": "Its name where settings are grouped by step."},
        "section": _TEXT,
        "infotext": _TEXT,
    },
    {"minimum": _NUMBER, "maximum": _NUMBER, "step": _NUMBER, "choices": _TEXTS, "unit": _TEXT},
)
_FINDER = _object({"name": _TEXT, "ready": {"type": "boolean"}, "lacks": _TEXTS})
_WEIGHT = _object({"name": _TEXT, "file": _TEXT, "bytes": _COUNT, "present": {"type": "boolean"}})
_STATUS = _object(
    {
        "version": _TEXT,
        "host": _object({"name": _TEXT, "version": _TEXT}),
        "finders": {"type": "array", "items": _FINDER},
        "weights": {"type": "array", "items": _WEIGHT},
        "lacks": _TEXTS,
        "family": {"type": "string", "description": "Of the checkpoint in use: sd15, sd2, sdxl or other."},
        "versions": {"type": "object", "additionalProperties": _TEXT},
        "megabytes": _COUNT,
    }
)
_JOB_ID: Schema = {"name": "job_id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
_FILE_NAME: Schema = {
    "name": "name",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "minLength": 1},
    "description": "With '/' for sub-folders; the telling ones stand in the job's `files`.",
}

_PICTURES_IN = (
    "Send JSON, or multipart/form-data with one part `images` for each file and the settings as parts of their names. "
    "An absent product is an answer (`skipped`), not an error. 207 instead of 200: at least one picture failed; its "
    "`reason` says why."
)

_OUTPUT_IN = f"{_PICTURES_IN} `output` of a picture that was skipped or failed is the very file that was sent."
_SETTINGS_OUT = _object({"settings": {"type": "array", "items": SETTING}, "version": _TEXT})
_JOBS_OUT = _object({"jobs": {"type": "array", "items": _JOB}, "kinds": _TEXTS})

ROUTES = (
    Route("GET", "/schema", "Every setting with its default, range and help", _SETTINGS_OUT),
    Route("GET", "/status", "Which finders and weights are there, and what the WebUI lacks", _STATUS),
    Route("GET", "/openapi.json", "This document", {"type": "object"}),
    Route(
        "POST",
        "/detect",
        "Boxes, scores and masks of products named in words",
        _OUTCOMES,
        _request_schema(("mask", "overlay")),
        multipart=True,
        description=_PICTURES_IN,
        errors=_WITH_BODY,
    ),
    Route(
        "POST",
        "/enhance",
        "Enhance products; every pixel outside the feathered mask stays as it was",
        _OUTCOMES,
        _request_schema(("output",)),
        multipart=True,
        description=_OUTPUT_IN,
        errors=_WITH_BODY,
    ),
    Route(
        "POST",
        "/packshot",
        "Cut products out, put them on a new ground, frame them, and check them for marketplaces",
        _OUTCOMES,
        _request_schema(("output",), make="packshot"),
        multipart=True,
        description=f"{_OUTPUT_IN} As /enhance with `make` 'packshot', which need not be sent.",
        errors=_WITH_BODY,
    ),
    Route(
        "POST",
        "/check",
        "What marketplaces say of pictures as they are",
        _CHECKS,
        _CHECK_REQUEST,
        multipart=True,
        errors=_WITH_BODY,
    ),
    Route("GET", "/jobs", "All jobs, and the kinds that can be started", _JOBS_OUT),
    Route("POST", "/jobs", "Start a job", _JOB, _JOB_REQUEST, errors=(400, 403, 413, 415, 422)),
    Route("GET", "/jobs/{job_id}", "How far a job has come", _JOB, parameters=(_JOB_ID,), errors=(404,)),
    Route(
        "DELETE",
        "/jobs/{job_id}",
        "Cancel a job; what it has written stays",
        _JOB,
        description="It finishes what it is at (a picture, a step); called again it lets go of that too.",
        parameters=(_JOB_ID,),
        errors=(403, 404),
    ),
    Route(
        "GET",
        "/jobs/{job_id}/files/{name}",
        "A file that a job wrote: its report, a result",
        {},
        parameters=(_JOB_ID, _FILE_NAME),
        errors=(404,),
        is_file=True,
    ),
)
"""Every route there is; `routes` serves exactly these."""


def operation(route: Route) -> Schema:
    """A route as an OpenAPI operation."""
    described: Schema = {
        "tags": ["prodshot"],
        "summary": route.summary,
        "operationId": f"prodshot_{route.method.lower()}{route.path.translate(_AS_NAME)}",
        "responses": {"200": {"description": "The file."} if route.is_file else _content("Done.", route.answer)},
    }
    if route.description:
        described["description"] = route.description
    if route.parameters:
        described["parameters"] = list(route.parameters)
    if route.body is not None:
        described["requestBody"] = _request_body(route)
    if route.multipart:
        described["responses"]["207"] = _content("Done, but at least one picture failed.", route.answer)
    for status in (*_ALWAYS, *route.errors):
        described["responses"][str(status)] = _content(_ERRORS[status], _ERROR)
    return described


_AS_NAME = str.maketrans({"/": "_", ".": "_", "{": None, "}": None})


def _content(words: str, schema: Schema) -> Schema:
    return {"description": words, "content": {"application/json": {"schema": schema}}}


def _request_body(route: Route) -> Schema:
    assert route.body is not None
    content: Schema = {"application/json": {"schema": route.body}}
    if route.multipart:
        files = {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1, "maxItems": 64}
        file = {"type": "string", "format": "binary"}
        properties = {**route.body["properties"], "images": files, "image": file}
        content["multipart/form-data"] = {"schema": {**route.body, "properties": properties}}
    return {"required": True, "content": content}


def document() -> Schema:
    """The whole document, for servers whose own page leaves our routes out."""
    paths: dict[str, Schema] = {}
    for route in ROUTES:
        operations = paths.setdefault(f"{PREFIX}{route.path}", {})
        operations[route.method.lower()] = {**operation(route), "security": [{"basic": []}, {}]}
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "Prodshot",
            "version": __version__,
            "description": "Find a product named in words, skip pictures without it, enhance it, leave the rest alone.",
        },
        "paths": paths,
        "components": {"securitySchemes": {"basic": {"type": "http", "scheme": "basic"}}},
    }
