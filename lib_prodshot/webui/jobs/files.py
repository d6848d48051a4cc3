"""Serving the files of a job to a browser, its report and results, by the API's route and by the page's own.

Pages are shown in a sandbox: a folder of pictures may hold anybody's files, and none of them is to act for the user.
"""

from __future__ import annotations

import mimetypes
from typing import Any

from starlette.requests import Request as HttpRequest
from starlette.responses import FileResponse, Response

from lib_prodshot.webui import answers
from lib_prodshot.webui.answers import Refusal
from lib_prodshot.webui.jobs.table import JOBS, Job

PAGE_ROUTE = "/prodshot/jobs"
"""Where the WebUI's page reads files of the jobs it started, with or without `--api`; each job has a key of its own,
that only the page gets."""

_MEDIA_TYPES = {
    ".html": "text/html",
    ".csv": "text/csv",
    ".json": "application/json",
    **dict.fromkeys((".jsonl", ".log", ".toml"), "text/plain"),
}
_HEADERS = {
    "Content-Security-Policy": "sandbox allow-scripts allow-downloads allow-popups",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
    "Referrer-Policy": "no-referrer",
}


def respond(job: Job | None, name: str) -> Response:
    """Return the response with a file of the job. Raises `Refusal` (404) where there is none to be read."""
    path = job.file(name) if job else None
    if path is None:
        raise Refusal(404, "there is no such job, or no such file of it")
    kind = _MEDIA_TYPES.get(path.suffix.lower()) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return FileResponse(path, media_type=kind, headers=_HEADERS)


def page_link(job: Job, what: str) -> str:
    """Return `page_address` of one of the files that the job names (`Control.serve`)."""
    return page_address(job, job.files.get(what, ""))


def page_address(job: Job, name: str) -> str:
    """Return the address of a file in the job's folder, relative to the WebUI's; '' where there is none."""
    return f"{PAGE_ROUTE.lstrip('/')}/{job.key}/{name}" if job.file(name) else ""


def add_page_route(app: Any) -> None:
    """Let the page open the files of jobs; a second call (a reload of the UI) does nothing."""
    path = PAGE_ROUTE + "/{key}/{name:path}"
    if any(getattr(route, "path", "") == path for route in app.routes):
        return

    async def endpoint(request: HttpRequest) -> Response:
        try:
            return respond(JOBS.with_key(request.path_params["key"]), request.path_params["name"])
        except Exception as error:
            return answers.of_error(error)

    app.add_route(path, endpoint, methods=["GET"], include_in_schema=False)
