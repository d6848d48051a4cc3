"""HTTP client for Prodshot's API in a remote WebUI: detect, enhance, jobs.

`inpainting` processes pictures locally and uses the remote WebUI for sampling only.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, cast

import httpx

from lib_prodshot.errors import FieldProblem, ProdshotError, RequestError
from lib_prodshot.outcome import Audit, Detection, Outcome, Verdict

ATTEMPTS = 5
FIRST_PAUSE = 0.5
"""Seconds before the second attempt; each further pause is twice as long."""

MAX_RESPONSE = 2**30
"""Limit of a response in bytes, so that a wrong server cannot fill the memory."""

_BUSY = (502, 503)
"""HTTP statuses of a server that is busy or not started behind its proxy: any request may be retried."""

_GATEWAY_TIMEOUT = 504
"""HTTP status of a proxy's timeout: the server behind it may be processing the request."""

_IDEMPOTENT = ("GET", "DELETE")
"""Methods that may be sent twice: they start no work."""


class RemoteError(ProdshotError):
    """A WebUI that cannot be reached, or that answered with an error; `status` is HTTP's, 0 without an answer."""

    def __init__(self, message: str, status: int = 0) -> None:
        self.status = status
        super().__init__(message)


@dataclass(frozen=True)
class RemotePicture:
    """A remote result for one picture: its outcome and the requested files (empty: not requested)."""

    outcome: Outcome
    output: bytes = field(default=b"", repr=False)
    mask: bytes = field(default=b"", repr=False)
    overlay: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class RemoteJob:
    """State of a remote job; `done` and `total` are in the unit of its kind."""

    id: str
    kind: str
    state: str
    done: int
    total: int
    text: str = ""
    error: str = ""
    result: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        """Whether the job has ended."""
        return self.state in ("done", "failed", "cancelled")


class RemoteWebUI:
    """A client for one WebUI. `address` is its page's ('http://127.0.0.1:7860'), with `user:password@` where it asks
    for them (`--api-auth`); `RequestError` (field webui) for what is no address.

    Every call raises `RemoteError`, or `RequestError` naming the fields that the server refused. Connection errors
    and busy answers are retried with growing pauses; a request that may have begun to work is not. Close it, or use
    it as a context manager.
    """

    def __init__(
        self,
        address: str,
        *,
        timeout: float = 30.0,
        patience: float = 1800.0,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        url = _parse(address)
        # shown in messages: never with the password
        self.address = str(url.copy_with(userinfo=b"")).rstrip("/")
        self._patience = httpx.Timeout(timeout, read=patience)
        self._sleep = sleep
        self._http = httpx.Client(
            base_url=self.address,
            auth=(url.username, url.password) if url.username else None,
            timeout=timeout,
            transport=transport,
            # reading the certificates takes a tenth of a second, and redirects are not followed
            verify=url.scheme != "http",
        )

    def __enter__(self) -> RemoteWebUI:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def schema(self) -> list[dict[str, Any]]:
        """Every setting that the server knows, with default, range and help."""
        with self._parsing():
            return list(self.get("/prodshot/v1/schema")["settings"])

    def status(self) -> dict[str, Any]:
        """Finders, weights and versions of the server."""
        with self._parsing():
            return {**self.get("/prodshot/v1/status")}

    def detect(
        self, pictures: Sequence[bytes], include: Sequence[str] = ("mask",), **settings: Any
    ) -> list[RemotePicture]:
        """Find products on pictures (files' bytes). `settings` are the schema's; `include` chooses mask, overlay."""
        return self._send_pictures("/prodshot/v1/detect", pictures, include, settings)

    def enhance(
        self, pictures: Sequence[bytes], include: Sequence[str] = ("output",), **settings: Any
    ) -> list[RemotePicture]:
        """Enhance products remotely; the `output` of a skipped or failed picture is the very file that was sent."""
        return self._send_pictures("/prodshot/v1/enhance", pictures, include, settings)

    def start_job(self, kind: str, settings: Mapping[str, Any]) -> RemoteJob:
        """Start a remote job."""
        with self._parsing():
            return _job(self.post("/prodshot/v1/jobs", {"kind": kind, "settings": dict(settings)}))

    def job(self, job_id: str) -> RemoteJob:
        """The state of a job."""
        with self._parsing():
            return _job(self.get(f"/prodshot/v1/jobs/{job_id}"))

    def cancel_job(self, job_id: str) -> RemoteJob:
        """Cancel a job."""
        with self._parsing():
            return _job(self._answer("DELETE", f"/prodshot/v1/jobs/{job_id}", None))

    def wait_for_job(
        self, job_id: str, progress: Callable[[RemoteJob], None] = lambda job: None, interval: float = 1.0
    ) -> RemoteJob:
        """Poll until the job has ended; `progress` is called with each state."""
        while True:
            job = self.job(job_id)
            progress(job)
            if job.is_over:
                return job
            self._sleep(interval)

    def get(self, path: str) -> Any:
        """GET any route of the server; returns its JSON."""
        return self._answer("GET", path, None)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """POST JSON to any route of the server and wait for its JSON, up to `patience` seconds."""
        return self._answer("POST", path, body)

    def interrupt(self) -> None:
        """Interrupt the server's sampling; errors are ignored."""
        with suppress(ProdshotError):
            self.post("/sdapi/v1/interrupt", {})

    def sampling_progress(self) -> float:
        """Progress of the running generation, 0..1; 0 if unknown."""
        with suppress(ProdshotError, KeyError, TypeError, ValueError):
            return float(self.get("/sdapi/v1/progress?skip_current_image=true")["progress"])
        return 0.0

    def _send_pictures(
        self, path: str, pictures: Sequence[bytes], include: Sequence[str], settings: Mapping[str, Any]
    ) -> list[RemotePicture]:
        sent = {"images": [_encode(data) for data in pictures], "include": list(include), **settings}
        with self._parsing():
            return [_picture(line) for line in self.post(path, sent)["outcomes"]]

    @contextmanager
    def _parsing(self) -> Iterator[None]:
        """Context for parsing a response: an unexpected structure raises `RemoteError`."""
        try:
            yield
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            advice = "is its Prodshot of another version?"
            raise RemoteError(f"{self.address} answered something else than Prodshot does; {advice}") from error

    def _answer(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        response = self._try(method, path, body)
        if response.is_success:
            try:
                return response.json()
            except ValueError as error:
                raise RemoteError(f"{self.address} answered something else than JSON; is it a WebUI?") from error
        raise self._error(path, response)

    def _try(self, method: str, path: str, body: Mapping[str, Any] | None) -> httpx.Response:
        timeout = self._http.timeout if body is None else self._patience
        pause = FIRST_PAUSE
        for attempt in range(1, ATTEMPTS + 1):
            try:
                response = self._read(method, path, body, timeout)
            except httpx.HTTPError as error:
                # work that may have begun is not asked for twice
                if attempt == ATTEMPTS or not _is_retryable(method, error):
                    raise RemoteError(f"{self.address} cannot be reached: {_message(error)}") from error
            else:
                if attempt == ATTEMPTS or not _is_busy(method, response.status_code):
                    return response
                pause = max(pause, _retry_after(response))
            self._sleep(pause)
            pause *= 2
        raise AssertionError("the last attempt returns or raises")

    def _read(self, method: str, path: str, body: Mapping[str, Any] | None, timeout: httpx.Timeout) -> httpx.Response:
        """Read the whole response, of which no more than `MAX_RESPONSE` bytes are read."""
        parts, size = [], 0
        with self._http.stream(method, path, json=body, timeout=timeout) as response:
            for part in response.iter_bytes():
                parts.append(part)
                size += len(part)
                if size > MAX_RESPONSE:
                    raise RemoteError(f"{self.address} answered too much; is it a WebUI?")
        kept = {name: response.headers[name] for name in ("retry-after",) if name in response.headers}
        return httpx.Response(response.status_code, headers=kept, content=b"".join(parts))

    def _error(self, path: str, response: httpx.Response) -> ProdshotError:
        status = response.status_code
        told = _json_object(response)
        problems = told.get("detail")
        ours = path.startswith("/prodshot/")
        if ours and status == 422 and isinstance(problems, list) and all(isinstance(item, dict) for item in problems):
            fields = [
                FieldProblem(str(item.get("field", "")), str(item.get("message", "")), str(item.get("allowed", "")))
                for item in problems
            ]
            return RequestError(fields) if fields else RemoteError(f"{self.address} refused the request", status)
        if status == 401:
            advice = "write http://user:password@host:port"
            return RemoteError(f"{self.address} wants user and password (--api-auth): {advice}", status)
        if status == 404 and ours and "error" not in told:
            advice = "install the extension there and start it with --api"
            return RemoteError(f"{self.address} has no Prodshot API: {advice}", status)
        if status == 404 and path.startswith("/sdapi/"):
            return RemoteError(f"{self.address} has no API: start the WebUI with --api", status)
        return RemoteError(f"{self.address} answered {status}: {_reason(told, response)[:300]}", status)


def _reason(told: Mapping[str, Any], response: httpx.Response) -> str:
    """Why, on one line: a WebUI tells the error's name as `error`, and its text as `detail` or `errors`."""
    text = told.get("detail") or told.get("errors") or ""
    parts = [" ".join(str(part).split()) for part in (told.get("error") or "", text)]
    return ": ".join(dict.fromkeys(part for part in parts if part)) or response.reason_phrase


def _parse(address: str) -> httpx.URL:
    text = address if "://" in address else f"http://{address}"
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, ValueError) as error:
        raise _no_address(address) from error
    if url.scheme not in ("http", "https") or not url.host:
        raise _no_address(address)
    return url


def _no_address(address: str) -> RequestError:
    return RequestError([FieldProblem("webui", f"{address!r} is no address of a WebUI; write http://host:port")])


def _is_retryable(method: str, error: httpx.HTTPError) -> bool:
    if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)):
        return True
    return method in _IDEMPOTENT and isinstance(error, httpx.TransportError)


def _is_busy(method: str, status: int) -> bool:
    return status in _BUSY or (status == _GATEWAY_TIMEOUT and method in _IDEMPOTENT)


def _message(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "it did not answer in time"
    return " ".join(str(error).split()) or type(error).__name__


def _retry_after(response: httpx.Response) -> float:
    text = response.headers.get("retry-after", "")
    return min(float(text), 60.0) if text.isdigit() else 0.0


def _json_object(response: httpx.Response) -> dict[str, Any]:
    try:
        told = response.json()
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _job(told: Mapping[str, Any]) -> RemoteJob:
    known = {name: told[name] for name in ("id", "kind", "state", "done", "total", "text")}
    return RemoteJob(**known, error=str(told.get("error", "")), result=told.get("result", {}))


def _picture(line: Mapping[str, Any]) -> RemotePicture:
    outcome = Outcome(
        verdict=Verdict(line["status"], line["reason"]),
        products=tuple(line["products"]),
        finder=line["finder"],
        detections=tuple(
            Detection(found["label"], found["score"], cast(Any, tuple(found["box"])), found["area"])
            for found in line["detections"]
        ),
        audit=Audit(**line["audit"]) if "audit" in line else None,
        seconds=dict(line["seconds"]),
        notes=tuple(line["notes"]),
        file=line["file"],
    )
    return RemotePicture(outcome, *(base64.b64decode(line.get(kind, "")) for kind in ("output", "mask", "overlay")))


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()
