"""The WebUI's own HTTP API on top of the double: what it does with script arguments, and how it fails (HOSTS: recorded
on AUTOMATIC1111 1.10.1, `modules/api/api.py`)."""

from __future__ import annotations

import base64
import io
import secrets
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.exceptions import HTTPException
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBasic, HTTPBasicCredentials
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from starlette.requests import Request as HttpRequest

_NOT_FOR_P = (
    "script_name",
    "script_args",
    "alwayson_scripts",
    "send_images",
    "save_images",
    "infotext",
    "include_init_images",
    "sampler_index",
    "force_task_id",
)


def add_api(app: FastAPI, credentials: Mapping[str, str] | None = None) -> None:
    """Add /sdapi/v1 and /controlnet as far as clients of image generation use them."""
    guard = [Depends(_auth(credentials))] if credentials else []

    @app.exception_handler(Exception)
    async def unhandled(_request: HttpRequest, error: Exception) -> JSONResponse:
        return JSONResponse({"error": type(error).__name__, "errors": str(error)}, status_code=500)

    @app.exception_handler(HTTPException)
    async def refused(_request: HttpRequest, error: HTTPException) -> JSONResponse:
        told = {"error": "HTTPException", "detail": error.detail, "body": "", "errors": str(error)}
        return JSONResponse(told, status_code=error.status_code)

    for tab in ("txt2img", "img2img"):
        app.add_api_route(f"/sdapi/v1/{tab}", _generate_route(tab), methods=["POST"], dependencies=guard)
    for path, answer in _LISTS.items():
        app.add_api_route(path, answer, methods=["GET"], dependencies=guard)
    app.add_api_route("/sdapi/v1/interrupt", _interrupt, methods=["POST"], dependencies=guard)


def _auth(credentials: Mapping[str, str]) -> Any:
    def check(given: HTTPBasicCredentials = Depends(HTTPBasic())) -> None:  # noqa: B008 - FastAPI's way
        right = credentials.get(given.username)
        if right is None or not secrets.compare_digest(given.password, right):
            raise HTTPException(401, "Incorrect username or password", {"WWW-Authenticate": "Basic"})

    return check


def _generate_route(tab: str) -> Any:
    def route(body: dict) -> dict:  # type: ignore[type-arg]
        return _generate(tab, body)

    return route


def _generate(tab: str, body: dict[str, Any]) -> dict[str, Any]:
    from modules import call_queue, processing, scripts, shared

    runner = scripts.scripts_img2img if tab == "img2img" else scripts.scripts_txt2img
    script, index = _selected(runner, body.get("script_name"))
    arguments = _arguments(runner, body, script, index)
    kind = (
        processing.StableDiffusionProcessingImg2Img if tab == "img2img" else processing.StableDiffusionProcessingTxt2Img
    )
    known = set(kind.__dataclass_fields__) | {"mask_blur"}
    values = {key: value for key, value in body.items() if key in known and key not in _NOT_FOR_P and value is not None}
    values |= {"do_not_save_samples": not body.get("save_images"), "do_not_save_grid": not body.get("save_images")}
    images = values.pop("init_images", None)
    if tab == "img2img" and not images:
        raise HTTPException(404, "Init image not found")
    if "mask" in values:
        values["mask"] = _decode(values["mask"])
    values.setdefault("sampler_name", "Euler")
    with call_queue.queue_lock, closing(kind(sd_model=shared.sd_model, **values)) as p:
        if images:
            p.init_images = [_decode(image) for image in images]
        p.is_api, p.scripts = True, runner
        shared.state.begin(job="api")
        p.script_args = arguments
        processed = runner.run(p, *arguments) if script is not None else processing.process_images(p)
        shared.state.end()
    return {"images": [_encode(image) for image in processed.images], "parameters": {}, "info": processed.js()}


def _selected(runner: Any, name: str | None) -> tuple[Any, int]:
    if not name:
        return None, 0
    titles = [script.title().lower() for script in runner.selectable_scripts]
    if name.lower() not in titles:
        raise HTTPException(422, f"Script '{name}' not found")
    index = titles.index(name.lower())
    return runner.selectable_scripts[index], index


def _arguments(runner: Any, body: Mapping[str, Any], script: Any, index: int) -> list[Any]:
    """Defaults of every script, the selectable one's in their place unfilled, always-on ones by position."""
    arguments: list[Any] = [0] + [None] * (max(one.args_to for one in runner.scripts) - 1)
    for one in runner.scripts:
        defaults = getattr(one, "defaults", ())
        arguments[one.args_from : one.args_from + len(defaults)] = defaults
    if script is not None:
        given = body.get("script_args", [])
        if not isinstance(given, list):
            raise HTTPException(422, "script_args is not a list")
        arguments[script.args_from : script.args_to] = given
        arguments[0] = index + 1
    for name, settings in (body.get("alwayson_scripts") or {}).items():
        titles = [one.title().lower() for one in runner.scripts]
        if name.lower() not in titles:
            raise HTTPException(422, f"Script '{name}' not found")
        one = runner.scripts[titles.index(name.lower())]
        if not one.alwayson:
            raise HTTPException(422, "Cannot have a selectable script in the always on scripts params")
        given = settings.get("args", [])
        for place in range(min(one.args_to - one.args_from, len(given))):
            arguments[one.args_from + place] = given[place]
    return arguments


def _decode(code: str) -> Image.Image:
    image = Image.open(io.BytesIO(base64.b64decode(code.rpartition(",")[2])))
    image.load()
    return image


def _encode(image: Image.Image) -> str:
    file, texts = io.BytesIO(), PngInfo()
    for key, value in image.info.items():
        if isinstance(key, str) and isinstance(value, str):
            texts.add_text(key, value)
    image.save(file, "PNG", pnginfo=texts)
    return base64.b64encode(file.getvalue()).decode()


def _samplers() -> list[dict[str, str]]:
    from modules import sd_samplers

    return [{"name": sampler.name} for sampler in sd_samplers.all_samplers]


def _schedulers() -> list[dict[str, str]]:
    from modules import sd_schedulers

    return [{"name": one.label.lower(), "label": one.label} for one in sd_schedulers.schedulers]


def _models() -> list[dict[str, str]]:
    from modules import sd_models

    return [
        {"title": info.title, "model_name": info.title.split(".")[0], "hash": ""}
        for info in sd_models.checkpoints_list.values()
    ]


def _options() -> dict[str, Any]:
    from modules import shared

    return dict(shared.opts.data)


def _loras() -> list[dict[str, str]]:
    return [{"name": "ppzocketv2-10", "alias": "ppzocketv2", "path": ""}]


def _script_infos() -> list[dict[str, Any]]:
    """Names and kinds only; a script that drew nothing is not among them."""
    from modules import scripts

    return [
        {"name": one.title().lower(), "is_alwayson": one.alwayson, "is_img2img": one.is_img2img, "args": []}
        for runner in (scripts.scripts_txt2img, scripts.scripts_img2img)
        for one in runner.scripts
        if one.args_to > one.args_from
    ]


def _progress() -> dict[str, float]:
    return {"progress": 0.5, "eta_relative": 0.0}


def _control_models() -> dict[str, Sequence[str]]:
    from tests.double.controlnet import MODELS

    return {"model_list": list(MODELS)}


def _control_modules(alias_names: bool = False) -> dict[str, Sequence[str]]:
    """As Mikubill's ControlNet: names as people know them only when asked for."""
    from tests.double.controlnet import PREPROCESSORS

    inner = {"depth_midas": "depth"}
    return {"module_list": [name if alias_names else inner.get(name, name) for name in PREPROCESSORS]}


def _control_version() -> dict[str, int]:
    return {"version": 2}


def _interrupt() -> dict[str, Any]:
    from modules import shared

    shared.state.interrupt()
    return {}


_LISTS = {
    "/sdapi/v1/samplers": _samplers,
    "/sdapi/v1/schedulers": _schedulers,
    "/sdapi/v1/sd-models": _models,
    "/sdapi/v1/options": _options,
    "/sdapi/v1/loras": _loras,
    "/sdapi/v1/progress": _progress,
    "/sdapi/v1/script-info": _script_infos,
    "/controlnet/model_list": _control_models,
    "/controlnet/module_list": _control_modules,
    "/controlnet/version": _control_version,
}
