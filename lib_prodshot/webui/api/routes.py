"""The routes /prodshot/v1/*, under the WebUI's rules: its credentials, its queue, limits of size and number.

Bodies are read and checked by hand, so that FastAPI 0.94 with pydantic 1 and 0.127 with pydantic 2 answer alike.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from importlib import metadata
from types import MappingProxyType
from typing import Any

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response

from lib_prodshot import __version__, weights
from lib_prodshot.errors import FieldProblem, OutputError, RequestError, unknown_name
from lib_prodshot.finding import registry
from lib_prodshot.finding.finder import Backend
from lib_prodshot.hosts.active import host
from lib_prodshot.hosts.ground_pictures import REFERENCES, GivenPictures
from lib_prodshot.jobs.scale import measured_size, reference_text
from lib_prodshot.markets.rules import Marketplace
from lib_prodshot.outcome import Outcome
from lib_prodshot.request import WEBUI_BASE, Request, Setting, settings
from lib_prodshot.steps.targets import known_markets
from lib_prodshot.webui import answers, options, service
from lib_prodshot.webui.answers import Refusal, as_json, without_paths
from lib_prodshot.webui.api import bodies, ground_pictures, openapi, packshots
from lib_prodshot.webui.api import pictures as api_pictures
from lib_prodshot.webui.api.guard import check_caller
from lib_prodshot.webui.api.openapi import PICTURES, PREFIX
from lib_prodshot.webui.api.pictures import SentPicture
from lib_prodshot.webui.jobs import files as job_files
from lib_prodshot.webui.jobs.table import JOBS, Job
from lib_prodshot.webui.service import Seen

MAX_ADMITTED = 32
"""Requests with pictures that are read, wait or work at the same time; more are asked to come back later."""

_VERSIONED = ("torch", "gradio", "fastapi", "pydantic", "numpy", "onnxruntime", "transformers")

Handler = Callable[[HttpRequest], Awaitable[Response]]


class Gate:
    """Lets so many requests in and works on one picture at a time, outside of the WebUI's own thread pool."""

    def __init__(self) -> None:
        self._admitted = 0
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="prodshot-api")

    def __enter__(self) -> None:
        if self._admitted >= MAX_ADMITTED:
            raise Refusal(503, f"{MAX_ADMITTED} requests are being worked on; try again", headers={"Retry-After": "2"})
        self._admitted += 1

    def __exit__(self, *_: object) -> None:
        self._admitted -= 1

    async def work(self, task: Callable[..., Any], *arguments: Any) -> Any:
        """Run `task` in the worker thread."""
        return await asyncio.wrap_future(self._worker.submit(task, *arguments))


GATE = Gate()


def add_routes(app: Any) -> None:
    """Add every route of `openapi.ROUTES` to a FastAPI application; a second call (a reload of the UI) does nothing."""
    present = {(path, method) for route in app.routes for path, method in _served_by(route)}
    for route in openapi.ROUTES:
        # a file's name may hold '/', which only Starlette's own notation says
        path = f"{PREFIX}{route.path}".replace("{name}", "{name:path}")
        if (path, route.method) in present:
            continue
        app.add_api_route(
            path,
            _guarded(_HANDLERS[route.method, route.path]),
            methods=[route.method],
            response_model=None,
            response_class=Response if route.is_file else JSONResponse,
            openapi_extra=openapi.operation(route),
            name=f"prodshot_{route.method.lower()}_{route.path.strip('/')}",
        )
    # a description made before our routes were there would leave them out for ever
    app.openapi_schema = None


def _served_by(route: Any) -> list[tuple[str, str]]:
    return [(getattr(route, "path", ""), method) for method in getattr(route, "methods", None) or ()]


def _guarded(handler: Handler) -> Callable[..., Awaitable[Response]]:
    async def endpoint(request: HttpRequest) -> Response:
        try:
            check_caller(request)
            _refuse_query(request)
            return await handler(request)
        except Exception as error:
            return answers.of_error(error)

    # FastAPI reads the signature; as text (from __future__) it would look names up in the wrong module
    endpoint.__annotations__ = {"request": HttpRequest, "return": Response}
    return endpoint


def _refuse_query(request: HttpRequest) -> None:
    unknown = next(iter(request.query_params), None)
    if unknown is not None:
        raise RequestError([FieldProblem(unknown, "this route takes nothing in its address", "a body")])


async def get_schema(_request: HttpRequest) -> Response:
    """The schema as data, with the defaults that these routes and script arguments start from."""
    return as_json({"settings": [_told(known) for known in settings(WEBUI_BASE)], "version": __version__})


_TOLD = frozenset(openapi.SETTING["properties"])


def _told(known: Setting) -> dict[str, Any]:
    """What clients need of a setting; what it does not have (a range, choices, a unit) is left out."""
    had = {key: value for key, value in asdict(known).items() if key in _TOLD and value not in (None, "", ())}
    return {**had, "default": known.default}


async def get_status(_request: HttpRequest) -> Response:
    """What is there and what is not. Verifying weights may read them once, so not in the event loop."""
    return as_json(await GATE.work(_status))


def _status() -> dict[str, Any]:
    folder = options.models_dir()
    return {
        "version": __version__,
        "host": {"name": host().name, "version": host().version},
        "finders": [_finder_status(backend) for backend in registry.backends()],
        "weights": [
            {
                "name": entry.name,
                "file": entry.file,
                "bytes": entry.size,
                "present": weights.look_for(entry, folder).path is not None,
            }
            for entry in weights.select(["lite", "langsam"])
        ],
        "lacks": [without_paths(lack) for lack in host().missing_features()],
        "family": host().inpainting_backend().family(),
        "edit": asdict(host().edit_support()),
        "versions": {"python": platform.python_version(), **_versions()},
        "megabytes": _limit() // 1_000_000,
    }


def _finder_status(backend: Backend) -> dict[str, Any]:
    lacking = [without_paths(lack) for lack in backend.missing_requirements(options.models_dir())]
    return {"name": backend.name, "ready": not lacking, "lacks": lacking}


def _versions() -> Mapping[str, str]:
    found = {}
    for name in _VERSIONED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


async def get_openapi(_request: HttpRequest) -> Response:
    """Our own description."""
    return as_json(openapi.document())


async def post_detect(request: HttpRequest) -> Response:
    """Find and mask."""
    return await _with_pictures(request, ("mask", "overlay"), _detect)


def _detect(loaded: Any, wanted: Request, _given: GivenPictures) -> Seen:
    return service.detect(loaded, wanted)


async def post_enhance(request: HttpRequest) -> Response:
    """Find, mask and enhance."""
    return await _with_pictures(request, ("output",), service.enhance)


async def post_packshot(request: HttpRequest) -> Response:
    """Find, mask and cut out; a packshot for each marketplace, with its check."""
    return await _with_pictures(request, ("output",), service.enhance, {"make": "packshot"})


async def post_check(request: HttpRequest) -> Response:
    """What marketplaces say of pictures as they are."""
    with GATE:
        body = await bodies.read_body(request, _limit(), ("images",))
        sent = api_pictures.take_pictures(body)
        markets = _markets(body.values)
        await GATE.work(api_pictures.read_all, sent)
        checks = [check for name, data in sent for check in await GATE.work(packshots.check, name, data, markets)]
    return as_json({"checks": checks})


def _markets(values: Mapping[str, Any]) -> tuple[Marketplace, ...]:
    unknown = next((name for name in values if name != "marketplace"), None)
    if unknown is not None:
        raise RequestError([FieldProblem(unknown, "unknown field", "images, marketplace")])
    names = values.get("marketplace", "")
    markets = known_markets(names) if isinstance(names, str) else ()
    if not markets:
        raise RequestError([FieldProblem("marketplace", "name one or several, with commas", "such as amazon, zalando")])
    return markets


_PICTURE_FIELDS = ("images", "image", "include")
"""What a route that takes pictures takes beside settings."""

Work = Callable[[Any, Request, GivenPictures], Seen]
"""Takes a picture, the request, and the pictures that it names."""


async def _with_pictures(
    request: HttpRequest, default: Sequence[str], work: Work, fixed: Mapping[str, Any] = MappingProxyType({})
) -> Response:
    """Take pictures through `work` with the settings that were sent; `fixed` are the route's, and nothing else."""
    with GATE:
        body = await bodies.read_body(request, _limit(), (*_PICTURE_FIELDS, REFERENCES))
        sent_along = ground_pictures.take(body)
        sent = _take_pictures(body)
        included = api_pictures.choose(body.values.pop("include", [*default]), PICTURES)
        bodies.refuse_long(body.values)
        wanted = Request.from_arguments([bodies.typed(body, body.values)], base={**WEBUI_BASE, **fixed})
        _refuse_other(fixed, wanted)
        _ = wanted.classes
        service.refuse_unready(wanted.finder)
        given = await GATE.work(ground_pictures.completed, sent_along, wanted)
        read = await GATE.work(api_pictures.read_all, sent)
        if work is not _detect:
            wanted = await _with_one_scale(read, wanted)
        lines = [await GATE.work(_take_through, picture, wanted, included, work, given) for picture in read]
    counts = {status: sum(line["status"] == status for line in lines) for status in ("found", "skipped", "failed")}
    return as_json({"outcomes": lines, **counts}, 207 if counts["failed"] else 200)


def _refuse_other(fixed: Mapping[str, Any], wanted: Request) -> None:
    """Refuse, by name, what a caller wants otherwise than the route has it."""
    for name, value in fixed.items():
        asked = getattr(wanted, name)
        if asked != value:
            raise RequestError([FieldProblem(name, f"this route makes a {value}, not {asked!r}", str(value))])


async def _with_one_scale(read: Sequence[SentPicture], wanted: Request) -> Request:
    """The request with the reference of all its pictures, where their packshots are to have one scale."""
    if not wanted.needs_reference:
        return wanted
    seen = [await GATE.work(service.detect, picture.loaded, wanted) for picture in read]
    return wanted.replace(reference=reference_text(measured_size(each.outcome) for each in seen))


def _take_pictures(body: bodies.Body) -> list[tuple[str, bytes]]:
    """Names and bytes. Raises `RequestError`; a name that nobody knows comes first, for a picture may be missing for
    its sake."""
    try:
        return api_pictures.take_pictures(body)
    except RequestError as error:
        unknown = bodies.unknown_names([*body.values, *body.uploads], _PICTURE_FIELDS)
        raise RequestError([*unknown, *error.problems]) from error


def _limit() -> int:
    return int(host().option("prodshot_api_megabytes", options.API_MEGABYTES)) * 1_000_000


def _take_through(
    sent: SentPicture, wanted: Request, included: Sequence[str], work: Work, given: GivenPictures
) -> dict[str, Any]:
    """One picture's outcome, with the keys of `report.jsonl`; pictures are base64 instead of files."""
    seen = work(sent.loaded, wanted, given)
    outcome = seen.outcome
    made = _packshots_of(outcome, with_pictures="output" in included)
    height, width = sent.loaded.size
    report = outcome.to_json()
    line = {key: report[key] for key in report if key not in ("mask", "output") and report[key] is not None}
    line |= {
        "file": sent.name,
        "reason": without_paths(outcome.verdict.reason),
        "notes": [without_paths(note) for note in outcome.notes],
        "size": [width, height],
        "infotext": seen.infotext(wanted),
    }
    if seen.ran:
        line["ran"] = list(seen.ran)
    return line | made | api_pictures.pictures_of(sent, seen, wanted, included)


def _packshots_of(outcome: Outcome, with_pictures: bool) -> dict[str, Any]:
    """The answer's keys for a picture's packshots. One that cannot be written as asked for (in so few bytes, say) is
    that picture's failure and not the request's."""
    if not outcome.packshots:
        return {}
    try:
        return packshots.answer(outcome, with_pictures)
    except OutputError as error:
        outcome.fail(str(error))
        return {}


async def get_jobs(_request: HttpRequest) -> Response:
    """All jobs."""
    return as_json({"jobs": [job.to_json() for job in JOBS.list()], "kinds": list(JOBS.kinds)})


_JOB_FIELDS = ("kind", "settings")


async def post_job(request: HttpRequest) -> Response:
    """Start a job. Only as JSON: a web page cannot send that without being allowed to."""
    body = await bodies.read_body(request, _limit(), ())
    if body.texts:
        raise Refusal(415, "send application/json")
    unknown = [unknown_name(name, _JOB_FIELDS, "unknown field") for name in body.values if name not in _JOB_FIELDS]
    if unknown:
        raise RequestError(unknown)
    kind, given = body.values.get("kind"), body.values.get("settings", {})
    if not isinstance(kind, str):
        raise RequestError([FieldProblem("kind", "a kind of job is needed", ", ".join(JOBS.kinds))])
    if not isinstance(given, dict):
        raise RequestError([FieldProblem("settings", "this is not an object of names and values")])
    return as_json((await GATE.work(JOBS.start, kind, given)).to_json())


async def get_job(request: HttpRequest) -> Response:
    """One job."""
    return as_json(_known(JOBS.get(request.path_params["job_id"])).to_json())


async def delete_job(request: HttpRequest) -> Response:
    """Cancel a job."""
    return as_json(_known(JOBS.cancel(request.path_params["job_id"])).to_json())


async def get_job_file(request: HttpRequest) -> Response:
    """A file of one job."""
    return job_files.respond(JOBS.get(request.path_params["job_id"]), request.path_params["name"])


def _known(job: Job | None) -> Job:
    if job is None:
        raise Refusal(404, "there is no such job")
    return job


_HANDLERS: dict[tuple[str, str], Handler] = {
    ("GET", "/schema"): get_schema,
    ("GET", "/status"): get_status,
    ("GET", "/openapi.json"): get_openapi,
    ("POST", "/detect"): post_detect,
    ("POST", "/enhance"): post_enhance,
    ("POST", "/packshot"): post_packshot,
    ("POST", "/check"): post_check,
    ("GET", "/jobs"): get_jobs,
    ("POST", "/jobs"): post_job,
    ("GET", "/jobs/{job_id}"): get_job,
    ("DELETE", "/jobs/{job_id}"): delete_job,
    ("GET", "/jobs/{job_id}/files/{name}"): get_job_file,
}
