"""Runs the pipeline for the panel's Find and for the routes, in the WebUI's queue and with its loaded models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

from lib_prodshot import pictures, pipeline
from lib_prodshot.errors import FieldProblem, RequestError
from lib_prodshot.finding import registry
from lib_prodshot.finding.finder import Finder
from lib_prodshot.finding.interface import Findings, Picture, PointSegmenter
from lib_prodshot.hosts.active import host
from lib_prodshot.hosts.generation.results import outcome_parameters, request_parameters
from lib_prodshot.hosts.generation.session import enhancer_for
from lib_prodshot.hosts.ground_pictures import GivenPictures
from lib_prodshot.hosts.interface import Host
from lib_prodshot.hosts.upscaling import upscaler_for
from lib_prodshot.infotext import joined
from lib_prodshot.outcome import Outcome, Verdict
from lib_prodshot.pictures import LoadedPicture
from lib_prodshot.request import ProductClass, Request
from lib_prodshot.webui import answers, options

MAX_PIXELS = 64_000_000
"""Pictures that come over the network may not have more; a file of a few kilobytes can claim any number."""


_NONE = GivenPictures()


def read_picture(data: bytes) -> LoadedPicture:
    """Decode a picture that a browser or a client sent. Raises `PictureError`."""
    return pictures.read(data, MAX_PIXELS)


def refuse_unready(finder: str) -> None:
    """Raise `RequestError` when the request names a finder that is not ready on this server."""
    if finder == "auto":
        return
    backend = next(known for known in registry.backends() if known.name == finder)
    missing = backend.missing_requirements(options.models_dir())
    if missing:
        folder = options.models_dir()
        ready = ", ".join(known.name for known in registry.backends() if not known.missing_requirements(folder))
        raise RequestError([FieldProblem("finder", f"not ready on this server: {' '.join(missing)}", f"auto, {ready}")])


def detect(loaded: LoadedPicture, request: Request, with_candidates: bool = False) -> Seen:
    """Find and mask, and stop there; `with_candidates` as in `pipeline.run`.

    Raises `RequestError`, `FinderUnavailable`, `WeightsError`.
    """
    _ = request.classes  # a request that fits no picture need not wait in the queue
    with host().job("Prodshot: find"), host().use_finder(request.finder) as finder:
        run = partial(pipeline.run, loaded, request, finder, None, with_candidates=with_candidates)
        outcome = _outcome_of(run, request, finder)
        return Seen(outcome, takes_points=isinstance(finder.segmenter, PointSegmenter))


def enhance(loaded: LoadedPicture, request: Request, given: GivenPictures = _NONE) -> Seen:
    """Find, mask and enhance, outside of any generation; `given` are the pictures that the request names. Raises as
    `detect` does, and `EnhanceError` for a host that cannot do what the request needs."""
    _ = request.classes
    upscaler = upscaler_for(host(), request)
    with host().job("Prodshot: enhance"), host().use_finder(request.finder) as finder:
        enhancer = enhancer_for(host(), request, None, 0)
        run = partial(
            pipeline.run,
            loaded,
            request,
            finder,
            enhancer,
            ground=given.ground,
            references=given.references,
            upscaler=upscaler,
        )
        outcome = _outcome_of(run, request, finder)
    return Seen(outcome, outcome.ran or tuple(getattr(enhancer, "ran", ())))


def _outcome_of(run: Callable[[], Outcome], request: Request, finder: Finder) -> Outcome:
    """What `pipeline.run` gives; an unforeseen error becomes this picture's failure; only the console shows its
    traceback."""
    try:
        return run()
    except RequestError:
        raise
    except Exception as error:
        names = tuple(product.name for product in request.classes)
        return Outcome(Verdict("failed", answers.unforeseen(error)), names, finder.name)


@dataclass(frozen=True)
class Seen:
    """A picture's outcome, the settings that each inpaint pass ran with (one line each), and whether the finder's
    segmenter takes points."""

    outcome: Outcome
    ran: tuple[str, ...] = ()
    takes_points: bool = False

    def infotext(self, request: Request) -> str:
        """The parameters line that the WebUI's PNG Info reads and pastes back."""
        parameters = {**outcome_parameters(self.outcome, self.ran), **request_parameters(request)}
        return joined(parameters)


def queued(finder: Finder, host: Host) -> Finder:
    """Wrap the WebUI's finder so that it waits in the WebUI's queue, as every generation does, if it uses the GPU; one
    that needs no GPU runs beside the generations."""
    shares_gpu = any(hasattr(part, "offload") for part in (finder.detector, finder.segmenter))

    def find(call: Callable[[], Findings], _picture: Picture, _classes: Sequence[ProductClass]) -> Findings:
        with host.job("Prodshot: find") if shares_gpu else nullcontext():
            return call()

    return finder.wrapped(find)
