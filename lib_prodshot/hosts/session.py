"""Prodshot within one generation: looks at each picture that it is shown, and keeps what came of it."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any, Literal

from PIL import Image

from lib_prodshot import pipeline
from lib_prodshot.enhancing import Enhancer, load_enhancer
from lib_prodshot.enhancing.inpaint import InpaintEnhancer
from lib_prodshot.errors import ProdshotError
from lib_prodshot.finding.interface import Finder
from lib_prodshot.hosts import results
from lib_prodshot.hosts.hooks import SESSION
from lib_prodshot.hosts.interface import Host
from lib_prodshot.hosts.moved import moved
from lib_prodshot.hosts.pil import image_from, loaded_from
from lib_prodshot.outcome import Outcome, Verdict
from lib_prodshot.request import Request, parse_products

PENDING = "not looked at yet"
"""The verdict in an infotext that a WebUI writes before there is a picture."""

Source = Literal["script", "accordion"]

Wrap = Callable[[Finder], Finder]


def _as_it_is(finder: Finder) -> Finder:
    return finder


@dataclass(frozen=True)
class Seen:
    """What came of one picture: the picture to go on with, its outcome, what ran, and what goes along with it."""

    image: Image.Image
    outcome: Outcome
    ran: tuple[str, ...] = ()
    extras: tuple[results.Extra, ...] = ()


@dataclass(frozen=True)
class Record:
    """What is kept of a picture until the generation ends: its outcome without arrays."""

    outcome: Outcome
    ran: tuple[str, ...]


@dataclass
class Session:
    """One generation's requests and results. `problem` says why the request itself cannot be followed."""

    host: Host
    source: Source
    request: Request | None
    problem: str = ""
    records: dict[int, Record] = field(default_factory=dict)
    gallery: list[tuple[Image.Image, str]] = field(default_factory=list)
    told: set[str] = field(default_factory=set)

    def attach(self, parent: Any) -> None:
        """Make this the generation's session, and have each picture's infotext tell its outcome."""
        setattr(parent, SESSION, self)
        parent.extra_generation_params = {**results.without_ours(parent.extra_generation_params), **self.parameters()}

    def parameters(self) -> dict[str, Any]:
        """Infotext parameters: the request as it is, the outcome as a callable that each picture's infotext asks."""
        known = results.request_parameters(self.request) if self.request else {}
        if self.source == "script":
            known["Script"] = results.VERDICT
        return {
            results.VERDICT: self._teller(results.VERDICT),
            **known,
            **{key: self._teller(key) for key in (results.RAN, results.NOTES)},
        }

    def _teller(self, key: str) -> Callable[..., str | None]:
        def tell(p: Any = None, index: int = 0, use_main_prompt: bool = False, **_: Any) -> str | None:
            if use_main_prompt:
                return self.summary() if key == results.VERDICT else None
            number = getattr(p, "iteration", 0) * getattr(p, "batch_size", 1) + (index or 0)
            record = self.records.get(number)
            if record is None:
                return PENDING if key == results.VERDICT else None
            return results.outcome_parameters(record.outcome, record.ran).get(key)

        return tell

    def summary(self) -> str:
        """The verdict of several pictures."""
        found = sum(record.outcome.status == "found" for record in self.records.values())
        return f"found in {found} of {len(self.records)} pictures"

    def look(self, image: Image.Image, parent: Any, number: int, wrap: Wrap = _as_it_is) -> Seen:
        """Take a picture through the pipeline. Whatever goes wrong becomes a verdict, told on every surface, and the
        picture is the one that came. `wrap` may put something around the finder.
        """
        try:
            seen = self._look(image, parent, number, wrap)
        except ProdshotError as error:
            seen = self._failed(image, str(error))
        except Exception as error:
            _report()
            seen = self._failed(image, moved(error) or f"{type(error).__name__}: {error}")
        light = replace(seen.outcome, result=None, picture=None, mask=None, alpha=None)
        self.records[number] = Record(light, seen.ran)
        self._tell(parent, seen.outcome)
        return seen

    def _look(self, image: Image.Image, parent: Any, number: int, wrap: Wrap) -> Seen:
        request = self.request
        if request is None:
            return self._failed(image, self.problem)
        if self.host.interrupted():
            return self._failed(image, "interrupted before it was looked at")
        loaded = loaded_from(image)
        enhancer = enhancer_for(self.host, request, parent, number)
        with self.host.lend_finder(request.finder) as finder:
            outcome = pipeline.run(loaded, request, wrap(finder), enhancer, self._say_stage)
        outcome.notes += self._warn_of_loss()
        ran = tuple(enhancer.ran) if isinstance(enhancer, InpaintEnhancer) else ()
        extras = tuple(results.extras_of(request, image, loaded, outcome))
        if outcome.status != "found" or outcome.result is None:
            return Seen(image, outcome, ran, extras)
        enhanced = image_from(outcome.result)
        enhanced.info = dict(image.info)
        return Seen(enhanced, outcome, ran, extras)

    def _warn_of_loss(self) -> tuple[str, ...]:
        lossy = self.host.lossy_format()
        if not lossy:
            return ()
        return (f"the WebUI writes {lossy}, which changes pixels everywhere; set its file format for images to png",)

    def _say_stage(self, stage: str) -> None:
        self.host.say(f"Prodshot: {stage}")

    def _failed(self, image: Image.Image, reason: str) -> Seen:
        products = self.request.products.strip() if self.request else ""
        names = tuple(product.name for product in parse_products(products)) if products else ()
        return Seen(image, Outcome(Verdict("failed", reason), names, "none"))

    def _tell(self, parent: Any, outcome: Outcome) -> None:
        """Failures and notes for console and page, each once; the infotext asks by itself."""
        self.host.say("")
        if outcome.status == "failed" and self._is_news(outcome.to_infotext()):
            self.host.warn(outcome.to_infotext())
            comment(parent, outcome.to_infotext())
        for note in outcome.notes:
            self.note(parent, note)

    def note(self, parent: Any, text: str) -> None:
        """Tell something for console and page, once."""
        if self._is_news(text):
            print(f"Prodshot: {text}")
            comment(parent, text)

    def _is_news(self, message: str) -> bool:
        known = message in self.told
        self.told.add(message)
        return not known

    def finish(self, processed: Any) -> None:
        """Hand gallery and outcomes to the generation's result."""
        results.add_to_gallery(processed, self.gallery)
        self.gallery = []
        outcomes = [self.records[number].outcome for number in sorted(self.records)]
        results.report_outcomes(processed, outcomes)
        # of a single failure the page has been told already
        if len(outcomes) > 1 or (outcomes and outcomes[0].status != "failed"):
            verdict = outcomes[0].to_infotext() if len(outcomes) == 1 else self.summary()
            results.put_first_comment(processed, f"Prodshot: {verdict}")


def _report() -> None:
    """The traceback, where the WebUI's other tracebacks go."""
    try:
        import_module("modules.errors").report("Prodshot failed on a picture", exc_info=True)
    except (ImportError, AttributeError):
        traceback.print_exc()


def comment(parent: Any, text: str) -> None:
    """A line under the WebUI's gallery."""
    if hasattr(parent, "comment"):
        parent.comment(f"Prodshot: {text}")


def enhancer_for(host: Host, request: Request, parent: Any, number: int) -> Enhancer:
    """The enhancer that the request asks for, working within the generation `parent` on its picture `number`."""
    if request.engine == "inpaint":
        return InpaintEnhancer(host.painter(parent, number))
    return load_enhancer(request.engine)


def session_of(parent: Any) -> Session | None:
    """The session that a generation carries."""
    session = getattr(parent, SESSION, None)
    return session if isinstance(session, Session) else None
