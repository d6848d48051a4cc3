"""What the panel's Find and the routes ask of the pipeline, under the WebUI's rules: its queue, its memory."""

from __future__ import annotations

import json
from dataclasses import dataclass

from lib_prodshot import pictures, pipeline
from lib_prodshot.enhancing.interface import Enhancer
from lib_prodshot.errors import FieldProblem, RequestError
from lib_prodshot.finding import registry
from lib_prodshot.finding.interface import Finder
from lib_prodshot.hosts.current import host
from lib_prodshot.hosts.results import outcome_parameters, request_parameters
from lib_prodshot.hosts.session import enhancer_for
from lib_prodshot.outcome import Outcome, Verdict
from lib_prodshot.pictures import LoadedPicture
from lib_prodshot.request import Request
from lib_prodshot.webui import answers, options

MAX_PIXELS = 64_000_000
"""Pictures that come over the network may not have more; a file of a few kilobytes can claim any number."""


def read_picture(data: bytes) -> LoadedPicture:
    """Decode a picture that a browser or a client sent. Raises `PictureError`."""
    return pictures.read(data, MAX_PIXELS)


def refuse_unready(finder: str) -> None:
    """A finder asked for by name that this server lacks is the request's fault, not the server's. Raises
    `RequestError`."""
    if finder == "auto":
        return
    backend = next(known for known in registry.backends() if known.name == finder)
    lacking = backend.lacking(options.models_dir())
    if lacking:
        ready = ", ".join(known.name for known in registry.backends() if not known.lacking(options.models_dir()))
        raise RequestError([FieldProblem("finder", f"not ready on this server: {' '.join(lacking)}", f"auto, {ready}")])


def look(loaded: LoadedPicture, request: Request) -> Outcome:
    """Find and mask, and stop there. Raises `RequestError`, `FinderUnavailable`, `WeightsError`."""
    _ = request.classes  # a request that fits no picture need not wait in the queue
    with host().job("Prodshot: find"), host().lend_finder(request.finder) as finder:
        return _take_through(loaded, request, finder, None)


def enhance(loaded: LoadedPicture, request: Request) -> Seen:
    """Find, mask and enhance, outside of any generation. Raises as `look` does, and `EnhanceError` for a host that
    cannot do what the request needs."""
    _ = request.classes
    with host().job("Prodshot: enhance"), host().lend_finder(request.finder) as finder:
        enhancer = enhancer_for(host(), request, None, 0)
        outcome = _take_through(loaded, request, finder, enhancer)
    return Seen(outcome, tuple(getattr(enhancer, "ran", ())))


def _take_through(loaded: LoadedPicture, request: Request, finder: Finder, enhancer: Enhancer | None) -> Outcome:
    """`pipeline.run`; what nobody foresaw is this picture's failure, and only the console gets to know more of it."""
    try:
        return pipeline.run(loaded, request, finder, enhancer)
    except RequestError:
        raise
    except Exception as error:
        names = tuple(product.name for product in request.classes)
        return Outcome(Verdict("failed", answers.unforeseen(error)), names, finder.name)


@dataclass(frozen=True)
class Seen:
    """What came of a picture, and what really ran on it (one line for each inpaint pass)."""

    outcome: Outcome
    ran: tuple[str, ...] = ()

    def infotext(self, request: Request) -> str:
        """The parameters line that the WebUI's PNG Info reads and pastes back."""
        parameters = {**outcome_parameters(self.outcome, self.ran), **request_parameters(request)}
        return ", ".join(f"{key}: {_quoted(value)}" for key, value in parameters.items())


def _quoted(value: object) -> str:
    """A value as the WebUI writes it into an infotext (`modules.infotext_utils.quote`)."""
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if any(mark in text for mark in ",\n:") else text
