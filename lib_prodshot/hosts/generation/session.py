"""Session of Prodshot in one generation: runs the pipeline on each picture and records the outcomes."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from lib_prodshot import __version__, pipeline
from lib_prodshot.enhancing import Enhancer, enhancer_on, load_enhancer
from lib_prodshot.errors import FinderUnavailable, ProdshotError
from lib_prodshot.finding.finder import Finder
from lib_prodshot.hosts.compatibility.interface_changes import describe_change
from lib_prodshot.hosts.generation import recent, results
from lib_prodshot.hosts.generation.attributes import SESSION
from lib_prodshot.hosts.generation.saved_files import shown
from lib_prodshot.hosts.generation.shop_files import ShopFile, written_and_checked
from lib_prodshot.hosts.ground_pictures import GivenPictures
from lib_prodshot.hosts.interface import Host
from lib_prodshot.hosts.pil import loaded_from
from lib_prodshot.hosts.upscaling import upscaler_for
from lib_prodshot.outcome import AUDIT, NOTES, RAN, VERDICT, VERSION, Outcome, Verdict
from lib_prodshot.provenance import Painted
from lib_prodshot.request import Request, parse_products

PENDING = "not looked at yet"
"""The verdict in an infotext that a WebUI writes before there is a picture."""

NO_FINDER_ADVICE = "Prodshot's panel has a button that gets one"
"""Ends the sentence of a generation without a finder; by these words our script puts the button beside it."""

Source = Literal["script", "accordion"]

Wrap = Callable[[Finder], Finder]


def _unwrapped(finder: Finder) -> Finder:
    return finder


@dataclass(frozen=True)
class PictureResult:
    """Result for one picture: the picture to continue with, its outcome, the passes run, additional pictures, and the
    files of packshots by marketplace."""

    image: Image.Image
    outcome: Outcome
    ran: tuple[str, ...] = ()
    extras: tuple[results.Extra, ...] = ()
    files: Mapping[str, ShopFile] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """Outcome of a picture without arrays, stored until the generation ends."""

    outcome: Outcome
    ran: tuple[str, ...]


@dataclass
class Session:
    """Request and results of one generation; `problem` is the reason why the request is invalid, or cannot be done
    here, `given` the pictures that it names."""

    host: Host
    source: Source
    request: Request | None
    problem: str = ""
    records: dict[int, Record] = field(default_factory=dict)
    gallery: list[tuple[Image.Image, str]] = field(default_factory=list)
    reported: set[str] = field(default_factory=set)
    compared: dict[int, recent.Result] = field(default_factory=dict)
    given: GivenPictures = field(default_factory=GivenPictures)

    def attach(self, parent: Any) -> None:
        """Attach the session to the generation and add the outcome to each picture's infotext."""
        setattr(parent, SESSION, self)
        parent.extra_generation_params = {**results.without_ours(parent.extra_generation_params), **self.parameters()}

    def parameters(self) -> dict[str, Any]:
        """Infotext parameters: the request as values, the outcome as callables evaluated for each picture."""
        known = results.request_parameters(self.request) if self.request else {}
        if self.source == "script":
            known[results.SCRIPT] = VERDICT
        return {
            VERDICT: self._parameter_function(VERDICT),
            **known,
            **{key: self._parameter_function(key) for key in (RAN, AUDIT, NOTES)},
            VERSION: __version__,
        }

    def _parameter_function(self, key: str) -> Callable[..., str | None]:
        def value(p: Any = None, index: int = 0, use_main_prompt: bool = False, **_: Any) -> str | None:
            if use_main_prompt:
                return self.summary() if key == VERDICT else None
            number = getattr(p, "iteration", 0) * getattr(p, "batch_size", 1) + (index or 0)
            record = self.records.get(number)
            if record is None:
                return PENDING if key == VERDICT else None
            return results.outcome_parameters(record.outcome, record.ran).get(key)

        return value

    def summary(self) -> str:
        """The verdict of several pictures."""
        found = sum(record.outcome.status == "found" for record in self.records.values())
        return f"found in {found} of {len(self.records)} pictures"

    def process(
        self,
        image: Image.Image,
        parent: Any,
        number: int,
        wrap: Wrap = _unwrapped,
        painted: tuple[Painted, ...] = (),
    ) -> PictureResult:
        """Run the pipeline on a picture. An error becomes the verdict, reported everywhere, and the picture is returned
        unchanged. `wrap` may wrap the finder; `painted` is what the generation painted of the picture.
        """
        try:
            result = self._process(image, parent, number, wrap, painted)
        except FinderUnavailable as error:
            print(f"Prodshot: {error}")
            result = self._failed(image, f"{error.brief}; {NO_FINDER_ADVICE}")
        except ProdshotError as error:
            result = self._failed(image, str(error))
        except Exception as error:
            _print_traceback()
            result = self._failed(image, describe_change(error) or f"{type(error).__name__}: {error}")
        light = _without_arrays(result.outcome)
        self.records[number] = Record(light, result.ran)
        if not getattr(parent, "is_api", False):
            alpha = result.outcome.alpha
            self.compared[number] = recent.Result(
                image, result.image, light, result.ran, alpha, self.source, files=result.files
            )
        self._notify(parent, result.outcome)
        return result

    def _process(
        self, image: Image.Image, parent: Any, number: int, wrap: Wrap, painted: tuple[Painted, ...]
    ) -> PictureResult:
        request = self.request
        if request is None or self.problem:
            return self._failed(image, self.problem)
        if self.host.interrupted():
            return self._failed(image, "interrupted before it was looked at")
        loaded = loaded_from(image)
        enhancer = enhancer_for(self.host, request, parent, number)
        with self.host.use_finder(request.finder) as finder:
            outcome = pipeline.run(
                loaded,
                request,
                wrap(finder),
                enhancer,
                self._say_stage,
                self.given.ground,
                references=self.given.references,
                upscaler=upscaler_for(self.host, request),
                painted=painted,
            )
        outcome.notes += self._warn_of_loss()
        files = written_and_checked(outcome, request.file_names)
        # of several tries the taken one's; where none gave a picture, what ran until it failed
        ran = outcome.ran or tuple(getattr(enhancer, "ran", ()))
        extras = tuple(results.extras_of(request, image, loaded, outcome))
        if outcome.status != "found" or outcome.result is None:
            return PictureResult(image, outcome, ran, extras)
        enhanced = shown(outcome.result, image.info, outcome.digital_source_type)
        return PictureResult(enhanced, outcome, ran, extras, files)

    def _warn_of_loss(self) -> tuple[str, ...]:
        lossy = self.host.lossy_format()
        if not lossy:
            return ()
        return (f"the WebUI writes {lossy}, which changes pixels everywhere; set its file format for images to png",)

    def _say_stage(self, stage: str) -> None:
        self.host.say(f"Prodshot: {stage}")

    def _failed(self, image: Image.Image, reason: str) -> PictureResult:
        products = self.request.products.strip() if self.request else ""
        names = tuple(product.name for product in parse_products(products)) if products else ()
        return PictureResult(image, Outcome(Verdict("failed", reason), names, "none"))

    def _notify(self, parent: Any, outcome: Outcome) -> None:
        """Print failures and notes and show them on the page, each once."""
        self.host.say("")
        if outcome.status == "failed" and self._is_new(outcome.to_infotext()):
            self.host.warn(outcome.to_infotext())
            comment(parent, outcome.to_infotext())
        for note in outcome.notes:
            self.note(parent, note)

    def note(self, parent: Any, text: str) -> None:
        """Print a note and show it on the page, once."""
        if self._is_new(text):
            print(f"Prodshot: {text}")
            comment(parent, text)

    def _is_new(self, message: str) -> bool:
        known = message in self.reported
        self.reported.add(message)
        return not known

    def finish(self, processed: Any) -> None:
        """Add gallery and outcomes to the generation's result, and keep its pictures for the result card."""
        self._remember_results(processed)
        results.add_to_gallery(processed, self.gallery)
        self.gallery = []
        outcomes = [self.records[number].outcome for number in sorted(self.records)]
        results.report_outcomes(processed, outcomes)
        # of a single failure the page has been told already
        if len(outcomes) > 1 or (outcomes and outcomes[0].status != "failed"):
            verdict = results.verdict_line(outcomes[0]) if len(outcomes) == 1 else self.summary()
            results.put_first_comment(processed, f"Prodshot: {verdict}")

    def _remember_results(self, processed: Any) -> None:
        first = processed.index_of_first_image
        for place, number in enumerate(sorted(self.compared)):
            shown = processed.images[first + place : first + place + 1]
            infotexts = processed.infotexts[first + place : first + place + 1]
            if not shown or not infotexts:
                continue
            saved = getattr(shown[0], "already_saved_as", None)
            result = replace(self.compared[number], infotext=infotexts[0], path=Path(saved) if saved else None)
            # a grid stands before the pictures, with an infotext of its own: it shows the first one's card
            recent.remember(result, infotexts if place else [*processed.infotexts[:first], *infotexts])
        self.compared.clear()


def _without_arrays(outcome: Outcome) -> Outcome:
    packshots = [replace(made, result=None, alpha=None) for made in outcome.packshots]
    return replace(outcome, result=None, picture=None, mask=None, alpha=None, packshots=packshots)


def _print_traceback() -> None:
    """Print the traceback by the WebUI's error reporting."""
    try:
        import_module("modules.errors").report("Prodshot failed on a picture", exc_info=True)
    except (ImportError, AttributeError):
        traceback.print_exc()


def comment(parent: Any, text: str) -> None:
    """Add a line under the WebUI's gallery."""
    if hasattr(parent, "comment"):
        parent.comment(f"Prodshot: {text}")


def enhancer_for(host: Host, request: Request, parent: Any, number: int) -> Enhancer:
    """Create the request's enhancer for picture `number` of the generation `parent`."""
    if request.uses_webui:
        backend = host.inpainting_backend(parent, number)
        return enhancer_on(backend, request.running_engine, say=lambda text: host.say(f"Prodshot: {text}"))
    return load_enhancer(request.running_engine)


def session_of(parent: Any) -> Session | None:
    """The session attached to a generation, or None."""
    session = getattr(parent, SESSION, None)
    return session if isinstance(session, Session) else None
