"""Runs of the script within the WebUI's generations, and the accordion's hooks.

On txt2img the script lets the WebUI generate, and the always-on hooks process every output; on img2img it processes
the input first, so that an absent product costs no sampling.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

from PIL import Image

from lib_prodshot.enhancing.prompts import CLASS
from lib_prodshot.errors import (
    FinderUnavailable,
    OutputError,
    PictureError,
    RequestError,
    WeightsError,
)
from lib_prodshot.finding.finder import Finder
from lib_prodshot.hosts.active import host
from lib_prodshot.hosts.finder_cache import CachedFindings, cached_per_picture, restricted_to
from lib_prodshot.hosts.generation import results
from lib_prodshot.hosts.generation.arguments import (
    accordion_is_on,
    given_arguments,
    is_api,
    raise_for_api,
    refuse_generation,
    request_from,
    split_enabled,
)
from lib_prodshot.hosts.generation.attributes import SESSION
from lib_prodshot.hosts.generation.merging import merge_results
from lib_prodshot.hosts.generation.session import PictureResult, Session, session_of
from lib_prodshot.hosts.ground_pictures import GivenPictures, given_for
from lib_prodshot.hosts.nested_pass.parent import (
    initialise,
    inpaint_region,
    is_nested_pass,
    overrides_applied,
    picture_index,
    save_parameters,
    set_model_names,
)
from lib_prodshot.hosts.server_paths import check_folder, open_for_page
from lib_prodshot.hosts.upscaling import upscaler_for
from lib_prodshot.request import ProductClass, Request

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Rgb = npt.NDArray[np.uint8]

IDLE_ACCORDION = "script and accordion are both on: the script did the work, the accordion nothing"


def before(parent: Any, arguments: Sequence[Any]) -> None:
    """The accordion's `before_process`: attach a session to the generation if the accordion is on.

    An invalid request of an API caller ends the generation with HTTP status 422; on the page every picture says why.

    Copies of a generation (X/Y/Z plot's cells, ADetailer's) carry an earlier session, which is removed.
    """
    if is_nested_pass(parent):
        return
    former = session_of(parent)
    if former is not None and former.source == "script":
        return
    vars(parent).pop(SESSION, None)
    request, problem, given = None, "", GivenPictures()
    try:
        enabled, rest = split_enabled(arguments)
        if not enabled:
            return
        request = request_from(parent, rest)
        given = _checked(parent, request)
    except RequestError as error:
        problem = str(error)
        refuse_generation(parent, error)
    Session(host(), "accordion", request, problem, given=given).attach(parent)


def each_picture(parent: Any, shown: Any) -> None:
    """`postprocess_image_after_composite`: process a finished picture before it is saved; `shown.image` is replaced."""
    session = session_of(parent)
    if session is None or is_nested_pass(parent):
        return
    seen = session.process(shown.image, parent, picture_index(parent), painted=(results.painted_by(parent),))
    shown.image = seen.image
    if seen.extras:
        _store_extras(session, parent, picture_index(parent), seen, results.infotext_now(parent))


def after(parent: Any, processed: Any) -> None:
    """`postprocess`: add gallery and outcomes to the result. ADetailer calls it early, without pictures."""
    session = session_of(parent)
    if session is None or is_nested_pass(parent) or not processed.images:
        return
    session.finish(processed)


def run_on_outputs(parent: Any, script: Any, arguments: Sequence[Any]) -> Any:
    """The script on txt2img: generate and process every output; with [class] in the prompt, once for each product.

    Raises HTTPException 422 for an invalid request over the API; on the page pictures are generated with the reason.
    """
    request, problem, given = _parse_request(parent, script, arguments)
    products = _products_in_turn(parent, request)
    import_module("modules.processing").fix_seed(parent)
    state = import_module("modules.shared").state
    if len(products) > 1:
        state.job_count = parent.n_iter * len(products)
    done: list[Any] = []
    for product in products:
        if state.interrupted or state.stopping_generation:
            break
        idle = not done and accordion_is_on(parent, script)
        session = Session(host(), "script", request, problem, given=given)
        done.append(_generate(parent, session, product, alone=len(products) == 1, idle_accordion=idle))
    return merge_results(parent, done)


def _products_in_turn(parent: Any, request: Request | None) -> list[ProductClass | None]:
    """The products to generate one after another; [None] if no prompt contains [class]."""
    prompts = [parent.prompt, getattr(parent, "hr_prompt", "")]
    if request is None or not any(CLASS in text for text in prompts if isinstance(text, str)):
        return [None]
    return list(request.classes)


def _generate(parent: Any, session: Session, product: ProductClass | None, alone: bool, idle_accordion: bool) -> Any:
    inner = copy.copy(parent)
    if hasattr(inner, "extra_result_images"):
        inner.extra_result_images = []
    if product is not None and session.request is not None:
        session.request = session.request.only(product)
        for name in ("prompt", "negative_prompt", "hr_prompt", "hr_negative_prompt"):
            text = getattr(inner, name, None)
            if isinstance(text, str):
                setattr(inner, name, text.replace(CLASS, product.name))
    if not alone:
        inner.do_not_save_grid = True
    session.attach(inner)
    if idle_accordion:
        session.note(inner, IDLE_ACCORDION)
    with closing(inner):
        return import_module("modules.processing").process_images(inner)


def run_on_input(parent: Any, script: Any, arguments: Sequence[Any]) -> Any:
    """The script on img2img: process the input; without a product it is returned unchanged and nothing is sampled.

    Raises HTTPException 422 for an invalid request over the API, `PictureError` where there is no input.
    """
    request, problem, given = _parse_request(parent, script, arguments)
    pictures = _inputs(parent)
    initialise(parent, len(pictures) * _variants(parent, pictures))
    session = Session(host(), "script", request, problem, given=given)
    session.attach(parent)
    if accordion_is_on(parent, script):
        session.note(parent, IDLE_ACCORDION)
    try:
        with overrides_applied(parent):
            return _run_on_pictures(session, parent, pictures)
    finally:
        vars(parent).pop(SESSION, None)


def _parse_request(parent: Any, script: Any, arguments: Sequence[Any]) -> tuple[Request | None, str, GivenPictures]:
    """Parse the script's request; returns it (None: there is none), why it cannot be done, and its pictures."""
    request = None
    try:
        request = request_from(parent, given_arguments(parent, script, arguments))
        return request, "", _checked(parent, request)
    except RequestError as error:
        raise_for_api(parent, error)
        return request, str(error), GivenPictures()


def _checked(parent: Any, request: Request) -> GivenPictures:
    """The pictures that a request names, read once for the generation. Raises `RequestError` for what cannot be done
    here, before anything is sampled."""
    _refuse_unknown(parent, request)
    upscaler_for(host(), request)
    return given_for(request, check_folder if is_api(parent) else open_for_page)


def _refuse_unknown(parent: Any, request: Request) -> None:
    """Raise `UnknownProducts` over the API before anything is sampled, where the finder can tell without a picture; on
    the page the picture's verdict says it."""
    if not is_api(parent):
        return
    with suppress(FinderUnavailable, WeightsError), host().use_finder(request.finder) as finder:
        request.find.refuse_unknown(finder)


def _inputs(parent: Any) -> list[Image.Image]:
    """The generation's input pictures without repetition: the Batch tab repeats one for each variant."""
    pictures = [image for image in parent.init_images or [] if image is not None]
    if not pictures:
        raise PictureError("there is no picture to look at; put one on the img2img canvas")
    return list({id(image): image for image in pictures}.values())


def _run_on_pictures(session: Session, parent: Any, pictures: list[Image.Image]) -> Any:
    made: list[tuple[Image.Image, str]] = []
    anything_sampled = False
    for number, seen in enumerate(_process_all(session, parent, pictures)):
        set_model_names(parent)
        has_sampled = bool(seen.ran) and seen.outcome.status == "found"
        anything_sampled |= has_sampled
        infotext = (results.infotext_of if has_sampled else results.infotext_unsampled)(parent, number)
        image = seen.image.copy()
        image.info = {**seen.image.info, "parameters": infotext} if _writes_infotext() else dict(seen.image.info)
        if parent.save_samples():
            _save(session, parent, number, image, infotext)
        _store_extras(session, parent, number, seen, infotext)
        made.append((image, infotext))
    save_parameters(made[0][1])
    processed = import_module("modules.processing").Processed(
        parent,
        [image for image, _ in made],
        seed=parent.all_seeds[0],
        info=made[0][1],
        subseed=parent.all_subseeds[0],
        infotexts=[infotext for _, infotext in made],
    )
    if not anything_sampled:
        results.claim_no_sampling(processed)
    session.finish(processed)
    return processed


def _process_all(session: Session, parent: Any, pictures: list[Image.Image]) -> Iterator[PictureResult]:
    """Process each picture and its variants (none if skipped or failed); the finder runs once for each picture."""
    number = 0
    for picture in pictures:
        wrap = _finder_wrapper(parent, picture)
        for _ in range(_variants(parent, pictures)):
            seen = session.process(picture, parent, number, wrap)
            yield seen
            number += 1
            if seen.outcome.status != "found":
                break


def _variants(parent: Any, pictures: list[Image.Image]) -> int:
    """Number of results for each picture: batch count × batch size; several pictures share the batch size."""
    return int(parent.n_iter * (parent.batch_size if len(pictures) == 1 else 1))


def _finder_wrapper(parent: Any, picture: Image.Image) -> Callable[[Finder], Finder]:
    cache: CachedFindings = []
    region = inpaint_region(parent, picture.size)

    def wrap(finder: Finder) -> Finder:
        inner = finder if region is None else restricted_to(region, finder)
        return cached_per_picture(inner, cache)

    return wrap


def _store_extras(session: Session, parent: Any, number: int, seen: PictureResult, infotext: str) -> None:
    """Add originals, masks and overlays to the gallery, and save them if the WebUI saves its pictures."""
    for extra in seen.extras:
        if parent.save_samples():
            _save(session, parent, number, extra.image, infotext, suffix=f"-prodshot-{extra.kind}")
        session.gallery.append((extra.image, infotext))


def _save(session: Session, parent: Any, number: int, image: Image.Image, infotext: str, suffix: str = "") -> None:
    """Save a picture; a failure becomes a note, and the picture is still returned."""
    try:
        host().save(image, parent, number, infotext, suffix)
    except OutputError as error:
        session.note(parent, str(error))


def _writes_infotext() -> bool:
    return bool(host().option("enable_pnginfo", True))
