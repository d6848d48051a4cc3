"""WebUIs as the engines of a folder job: looked at before the job begins, so that all of them give the same results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lib_prodshot.enhancing.inpaint import InpaintEnhancer
from lib_prodshot.enhancing.interface import Enhanced, Task
from lib_prodshot.errors import EnhanceError, FieldProblem, RequestError
from lib_prodshot.hosts.remote import RemoteError, RemoteWebUI
from lib_prodshot.hosts.remote.inpainting import RemoteInpaintingBackend
from lib_prodshot.jobs.workers.engines import EngineGone
from lib_prodshot.request import Request

_NO_ANSWER = (0, 502, 503, 504)
"""Statuses of a WebUI that is away: no connection, or only its proxy answers."""


class WebUIEngine:
    """The engine 'inpaint', its passes run by a WebUI. Asking what it offers happens once."""

    def __init__(self, webui: RemoteWebUI) -> None:
        self.address = webui.address
        self._webui = webui
        self._backend = RemoteInpaintingBackend(webui)
        self._enhancer = InpaintEnhancer(self._backend)

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
            if isinstance(cause, RemoteError) and cause.status in _NO_ANSWER:
                raise EngineGone(str(cause)) from error
            if isinstance(error, RemoteError):
                raise EnhanceError(str(error)) from error
            raise

    def interrupt(self) -> None:
        """See `Engine`."""
        self._webui.interrupt()

    def look(self, request: Request) -> str:
        """The checkpoint that passes will use. Raises `EnhanceError` for what is asked for and not there, and
        `RemoteError`."""
        self._backend.check(request.sampler, request.scheduler, request.checkpoint)
        loaded = request.checkpoint or str(self._webui.get("/sdapi/v1/options").get("sd_model_checkpoint", ""))
        return loaded.rsplit(" [", 1)[0]


@dataclass(frozen=True)
class Survey:
    """One engine for each WebUI that answers, and the checkpoint it will use, by address; a sentence on each other."""

    engines: list[WebUIEngine]
    checkpoints: dict[str, str]
    absent: tuple[str, ...]


def survey(addresses: Sequence[str], request: Request) -> Survey:
    """Look at every WebUI before the job begins.

    Raises `RemoteError` when none answers, `EnhanceError` when one lacks what the request asks for.
    """
    engines: list[WebUIEngine] = []
    checkpoints: dict[str, str] = {}
    absent: list[RemoteError] = []
    for address in addresses:
        engine = WebUIEngine(RemoteWebUI(address))
        try:
            checkpoints[engine.address] = engine.look(request)
        except RemoteError as error:
            absent.append(error)
        except EnhanceError as error:
            raise EnhanceError(f"{engine.address}: {error}") from error
        else:
            engines.append(engine)
    if not engines:
        raise RemoteError("; ".join(map(str, absent)))
    return Survey(engines, checkpoints, tuple(map(str, absent)))


def refuse_repeated(addresses: Sequence[str]) -> None:
    """Raise `RequestError` for an address given twice: a WebUI makes one picture at a time."""
    for place, address in enumerate(addresses):
        if address.rstrip("/") in [other.rstrip("/") for other in addresses[:place]]:
            raise RequestError([FieldProblem("webui", f"{address} is given twice")])


def refuse_different(checkpoints: Mapping[str, str]) -> None:
    """Raise `RequestError` when results would depend on which WebUI makes them."""
    if len(set(checkpoints.values())) > 1:
        told = ", ".join(f"{address}: {checkpoint}" for address, checkpoint in checkpoints.items())
        message = f"the WebUIs have different checkpoints loaded ({told}), so results would differ; name one"
        raise RequestError([FieldProblem("checkpoint", message)])
