"""What Prodshot does within the WebUI's generations: the script's two runs, and the accordion's hooks.

The script on txt2img lets the WebUI generate and has every output looked at by the always-on hooks; on img2img it
looks at the input first, so that an absent product costs no sampling at all.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from importlib import import_module
from typing import Any

from PIL import Image

from lib_prodshot.enhancing.prompts import CLASS
from lib_prodshot.errors import OutputError, PictureError, RequestError
from lib_prodshot.finding.finder import Finder
from lib_prodshot.hosts.active import host
from lib_prodshot.hosts.finder_cache import CachedFindings, cached_per_picture, restricted_to
from lib_prodshot.hosts.generation import results
from lib_prodshot.hosts.generation.arguments import given, refuse, request_from, split_enabled
from lib_prodshot.hosts.generation.attributes import SESSION
from lib_prodshot.hosts.generation.merging import merged
from lib_prodshot.hosts.generation.session import Seen, Session, session_of
from lib_prodshot.hosts.nested_pass.parent import (
    drawn_region,
    is_inner,
    number_of,
    overridden,
    prepare,
    tell_model,
    write_params,
)
from lib_prodshot.request import ProductClass, Request


def before(parent: Any, arguments: Sequence[Any]) -> None:
    """The accordion's `before_process`: give the generation a session if the accordion is on.

    Copies of a generation (X/Y/Z plot's cells, ADetailer's) carry the former one's: it is taken off them.
    """
    if is_inner(parent):
        return
    former = session_of(parent)
    if former is not None and former.source == "script":
        return
    vars(parent).pop(SESSION, None)
    request, problem = None, ""
    try:
        enabled, rest = split_enabled(arguments)
        if not enabled:
            return
        request = request_from(parent, rest)
    except RequestError as error:
        problem = str(error)
    Session(host(), "accordion", request, problem).attach(parent)


def each_picture(parent: Any, shown: Any) -> None:
    """`postprocess_image_after_composite`: look at a finished picture before it is saved. `shown.image` is replaced."""
    session = session_of(parent)
    if session is None or is_inner(parent):
        return
    seen = session.look(shown.image, parent, number_of(parent))
    shown.image = seen.image
    if seen.extras:
        _keep_extras(session, parent, number_of(parent), seen, results.infotext_now(parent))


def after(parent: Any, processed: Any) -> None:
    """`postprocess`: hand gallery and outcomes to the result. ADetailer calls it early, with no pictures."""
    session = session_of(parent)
    if session is None or is_inner(parent) or not processed.images:
        return
    session.finish(processed)


def run_on_outputs(parent: Any, script: Any, arguments: Sequence[Any]) -> Any:
    """The script on txt2img: generate, every output looked at; with [class] in the prompt, each product in turn.

    Raises HTTPException 422 for a wrong request over the API; on the page the pictures are made and say what is wrong.
    """
    request, problem = _read(parent, script, arguments)
    products = _products_in_turn(parent, request)
    import_module("modules.processing").fix_seed(parent)
    state = import_module("modules.shared").state
    if len(products) > 1:
        state.job_count = parent.n_iter * len(products)
    done = []
    for product in products:
        if state.interrupted or state.stopping_generation:
            break
        done.append(_generate(parent, request, problem, product, alone=len(products) == 1))
    return merged(parent, done)


def _products_in_turn(parent: Any, request: Request | None) -> list[ProductClass | None]:
    """The products to generate one after another; [None] where the prompt asks for none of them by name."""
    prompts = [parent.prompt, getattr(parent, "hr_prompt", "")]
    if request is None or not any(CLASS in text for text in prompts if isinstance(text, str)):
        return [None]
    return list(request.classes)


def _generate(parent: Any, request: Request | None, problem: str, product: ProductClass | None, alone: bool) -> Any:
    inner = copy.copy(parent)
    if hasattr(inner, "extra_result_images"):
        inner.extra_result_images = []
    if product is not None and request is not None:
        request = request.only(product)
        for name in ("prompt", "negative_prompt", "hr_prompt", "hr_negative_prompt"):
            text = getattr(inner, name, None)
            if isinstance(text, str):
                setattr(inner, name, text.replace(CLASS, product.name))
    if not alone:
        inner.do_not_save_grid = True
    Session(host(), "script", request, problem).attach(inner)
    with closing(inner):
        return import_module("modules.processing").process_images(inner)


def run_on_input(parent: Any, script: Any, arguments: Sequence[Any]) -> Any:
    """The script on img2img: look at the input; absent, it comes back as it is, and nothing is sampled.

    Raises HTTPException 422 for a wrong request over the API, `PictureError` where there is no input.
    """
    request, problem = _read(parent, script, arguments)
    pictures = _inputs(parent)
    prepare(parent, len(pictures) * _variants(parent, pictures))
    session = Session(host(), "script", request, problem)
    session.attach(parent)
    try:
        with overridden(parent):
            return _run_on_pictures(session, parent, pictures)
    finally:
        vars(parent).pop(SESSION, None)


def _read(parent: Any, script: Any, arguments: Sequence[Any]) -> tuple[Request | None, str]:
    """The script's request, or why there is none."""
    try:
        return request_from(parent, given(parent, script, arguments)), ""
    except RequestError as error:
        refuse(parent, error)
        return None, str(error)


def _inputs(parent: Any) -> list[Image.Image]:
    """The generation's input pictures, each once: the Batch tab repeats one for each variant."""
    pictures = [image for image in parent.init_images or [] if image is not None]
    if not pictures:
        raise PictureError("there is no picture to look at; put one on the img2img canvas")
    return list({id(image): image for image in pictures}.values())


def _run_on_pictures(session: Session, parent: Any, pictures: list[Image.Image]) -> Any:
    made: list[tuple[Image.Image, str]] = []
    for number, seen in enumerate(_look_at_all(session, parent, pictures)):
        tell_model(parent)
        infotext = results.infotext_of(parent, number)
        image = seen.image.copy()
        image.info = {**seen.image.info, "parameters": infotext} if _writes_infotext() else dict(seen.image.info)
        if parent.save_samples():
            _save(session, parent, number, image, infotext)
        _keep_extras(session, parent, number, seen, infotext)
        made.append((image, infotext))
    write_params(made[0][1])
    processed = import_module("modules.processing").Processed(
        parent,
        [image for image, _ in made],
        seed=parent.all_seeds[0],
        info=made[0][1],
        subseed=parent.all_subseeds[0],
        infotexts=[infotext for _, infotext in made],
    )
    session.finish(processed)
    return processed


def _look_at_all(session: Session, parent: Any, pictures: list[Image.Image]) -> Iterator[Seen]:
    """Every picture with its variants; one that is skipped or fails has none. The finder runs once for all variants."""
    number = 0
    for picture in pictures:
        wrap = _around_finder(parent, picture)
        for _ in range(_variants(parent, pictures)):
            seen = session.look(picture, parent, number, wrap)
            yield seen
            number += 1
            if seen.outcome.status != "found":
                break


def _variants(parent: Any, pictures: list[Image.Image]) -> int:
    """How many results of each picture: batch count × batch size, but a batch of several pictures is used up by
    them."""
    return int(parent.n_iter * (parent.batch_size if len(pictures) == 1 else 1))


def _around_finder(parent: Any, picture: Image.Image) -> Callable[[Finder], Finder]:
    cache: CachedFindings = []
    region = drawn_region(parent, picture.size)

    def wrap(finder: Finder) -> Finder:
        inner = finder if region is None else restricted_to(region, finder)
        return cached_per_picture(inner, cache)

    return wrap


def _keep_extras(session: Session, parent: Any, number: int, seen: Seen, infotext: str) -> None:
    """Originals, masks and overlays: into the gallery, and on disk where the WebUI saves its pictures."""
    for extra in seen.extras:
        if parent.save_samples():
            _save(session, parent, number, extra.image, infotext, suffix=f"-prodshot-{extra.kind}")
        session.gallery.append((extra.image, infotext))


def _save(session: Session, parent: Any, number: int, image: Image.Image, infotext: str, suffix: str = "") -> None:
    """A picture that cannot be saved is told, and comes back all the same: it took long to make."""
    try:
        host().save(image, parent, number, infotext, suffix)
    except OutputError as error:
        session.note(parent, str(error))


def _writes_infotext() -> bool:
    return bool(host().option("enable_pnginfo", True))
