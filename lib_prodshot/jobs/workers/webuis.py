"""WebUIs as the engines of a folder job: checked before the job starts, so that all of them give the same results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lib_prodshot.enhancing import enhancer_on
from lib_prodshot.enhancing.interface import Enhanced, Task
from lib_prodshot.errors import EnhanceError, FieldProblem, RequestError
from lib_prodshot.hosts.remote import RemoteError, RemoteWebUI
from lib_prodshot.hosts.remote.inpainting import RemoteInpaintingBackend
from lib_prodshot.jobs.workers.engines import EngineUnavailable
from lib_prodshot.request import Request

_UNAVAILABLE = (0, 502, 503, 504)
"""HTTP statuses of a WebUI that is unavailable: no connection (0), or only its proxy answers."""


class WebUIEngine:
    """An engine that is a WebUI's model, its passes run by a WebUI whose features are asked for once."""

    def __init__(self, webui: RemoteWebUI, engine: str) -> None:
        self.address = webui.address
        self._webui = webui
        self._backend = RemoteInpaintingBackend(webui)
        self._enhancer = enhancer_on(self._backend, engine)

    @property
    def name(self) -> str:
        """See `Engine`."""
        return self._enhancer.name

    def enhance(self, task: Task) -> Enhanced:
        """See `Engine`."""
        try:
            return self._enhancer.enhance(task)
        except (EnhanceError, RemoteError) as error:
            cause = error if isinstance(error, RemoteError) else error.__cause__
            if isinstance(cause, RemoteError) and cause.status in _UNAVAILABLE:
                raise EngineUnavailable(str(cause)) from error
            if isinstance(error, RemoteError):
                raise EnhanceError(str(error)) from error
            raise

    def interrupt(self) -> None:
        """See `Engine`."""
        self._webui.interrupt()

    def check(self, request: Request) -> str:
        """Return the checkpoint that passes will use. Raises `RemoteError`, and `EnhanceError` for what the WebUI does
        not have."""
        self._backend.check(*request.pass_models)
        loaded = request.pass_models[2] or str(self._webui.get("/sdapi/v1/options").get("sd_model_checkpoint", ""))
        return loaded.rsplit(" [", 1)[0]


@dataclass(frozen=True)
class Connected:
    """The WebUIs of a job: an engine for each that answers, its checkpoint by address, and why others do not."""

    engines: list[WebUIEngine]
    checkpoints: dict[str, str]
    unreachable: tuple[str, ...]


def connect(addresses: Sequence[str], request: Request) -> Connected:
    """Connect to every WebUI and check it.

    Raises `RemoteError` when none answers, `EnhanceError` when one misses what the request needs.
    """
    engines: list[WebUIEngine] = []
    checkpoints: dict[str, str] = {}
    unreachable: list[RemoteError] = []
    for address in addresses:
        engine = WebUIEngine(RemoteWebUI(address), request.running_engine)
        try:
            checkpoints[engine.address] = engine.check(request)
        except RemoteError as error:
            unreachable.append(error)
        except EnhanceError as error:
            raise EnhanceError(f"{engine.address}: {error}") from error
        else:
            engines.append(engine)
    if not engines:
        raise RemoteError("; ".join(map(str, unreachable)))
    return Connected(engines, checkpoints, tuple(map(str, unreachable)))


def check_unique(addresses: Sequence[str]) -> None:
    """Raise `RequestError` for an address given twice: a WebUI makes one picture at a time."""
    for index, address in enumerate(addresses):
        if address.rstrip("/") in [other.rstrip("/") for other in addresses[:index]]:
            raise RequestError([FieldProblem("webui", f"{address} is given twice")])


def check_same_checkpoint(checkpoints: Mapping[str, str]) -> None:
    """Raise `RequestError` when results would depend on which WebUI makes them."""
    if len(set(checkpoints.values())) > 1:
        listed = ", ".join(f"{address}: {checkpoint}" for address, checkpoint in checkpoints.items())
        message = f"the WebUIs have different checkpoints loaded ({listed}), so results would differ; name one"
        raise RequestError([FieldProblem("checkpoint", message)])
