"""`python -m tests.panel.page_server PORT FOLDER`: the panel alone on a page, with our script and style sheet.

A pretended img2img tab holds a picture, so that Find has one to take.
"""

from __future__ import annotations

import hashlib
import html
import json
import sys
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr

from lib_prodshot.bootstrap import ROOT
from lib_prodshot.finding import registry
from lib_prodshot.hosts import active
from lib_prodshot.hosts.generation import recent
from lib_prodshot.hosts.generation.session import Session
from lib_prodshot.hosts.pil import loaded_from
from lib_prodshot.request import Request
from lib_prodshot.webui import service
from lib_prodshot.webui.gradio_compat import GRADIO_4
from lib_prodshot.webui.panel.panel import draw_panel
from tests.api.local_host import LocalHost
from tests.api.tools import BACKENDS
from tests.finders import fixed_finder
from tests.panel.drawing import elem_id

FURTHER = ((0.6, (0.8, 0.1, 1.0, 0.4)), (0.2, (0.0, 0.8, 0.2, 1.0)))
"""What is found beside the handbag in the middle: another one, and one below the usual threshold."""


def build() -> gr.Blocks:
    """The page."""
    style = (ROOT / "style.css").read_text(encoding="utf-8")
    head = our_scripts()
    if not GRADIO_4:
        put_into_head(head)
    with gr.Blocks(css=style, **({"head": head} if GRADIO_4 else {})) as page:
        with gr.Tabs(elem_id="mode_img2img"), gr.Tab("img2img"):
            picture = gr.Image(type="pil", elem_id="img2img_image", elem_classes=["image-container"], height=100)
        with gr.Column(elem_id="tab_img2img"):
            gr.Slider(1, 50, 33, step=1, label="Steps", interactive=True, elem_id="img2img_steps")
            gr.Slider(0, 1, 0.75, label="Denoising strength", interactive=True, elem_id="img2img_denoising_strength")
            draw_panel(True, elem_id("img2img"), with_enabled=True)
            gr.Textbox("Prodshot", label="Script", interactive=True, elem_id="script_list", max_lines=1)
            panel = draw_panel(True, elem_id("img2img"), with_enabled=False)
        with gr.Column():
            generate = gr.Button("Generate", elem_id="img2img_generate")
            generated = gr.Textbox("", label="Generated", elem_id="generated")
            generate.click(find_and_mask, [picture, *panel.components], [generated])
            info = gr.HTML("", elem_id="html_info_img2img")
            work = gr.Button("Work", elem_id="work")
            work.click(retouch, [picture, *panel.components], [info])
            for part in ("img_inpaint_base", "img_inpaint_mask"):
                gr.Image(type="pil", elem_id=part, height=100)
            # what a generation has to say: the test writes it
            told = gr.Textbox("", label="Told", elem_id="told", interactive=True)
            log = gr.HTML("", elem_id="html_log_img2img")
            told.change(lambda text: f"<p>{text}</p>", [told], [log])
    return page


def find_and_mask(picture: Any, *values: Any) -> str:
    """What a generation would work on: the verdict, the notes, and the mask's SHA-256."""
    outcome = service.detect(loaded_from(picture), Request.from_arguments(values)).outcome
    mask = "" if outcome.mask is None else hashlib.sha256(outcome.mask.tobytes()).hexdigest()
    return json.dumps([outcome.to_infotext(), list(outcome.notes), mask, next(_GENERATIONS)])


_GENERATIONS = count()


def retouch(picture: Any, *values: Any) -> str:
    """A generation's infotext, as the page shows it; its result is kept for the card."""
    session = Session(active.host(), "script", Request.from_arguments(values).replace(engine="retouch"))
    seen = session.process(picture, SimpleNamespace(), 0)
    infotext = f"a photo\nSteps: 20, Seed: 77, Prodshot: {seen.outcome.to_infotext()}, No: {next(_GENERATIONS)}"
    seen.image.save(Path(sys.argv[2]) / "result.png")
    shown = seen.image.copy()
    shown.already_saved_as = str(Path(sys.argv[2]) / "result.png")  # type: ignore[attr-defined]
    extra = {"extra_generation_params": {}, "comments": "", "info": infotext}
    session.finish(SimpleNamespace(images=[shown], infotexts=[infotext], index_of_first_image=0, **extra))
    return f"<p>{html.escape(infotext)}</p>".replace("\n", "<br>\n")


def our_scripts() -> str:
    """All our scripts, as the WebUI puts them into the page's head."""
    files = sorted((ROOT / "javascript").glob("*.js"))
    return "".join(f"<script>{file.read_text(encoding='utf-8')}</script>" for file in files)


def put_into_head(text: str) -> None:
    """Put `text` into every page's head: gradio 3 has no parameter for it, and the WebUI does the same."""
    original = gr.routes.templates.TemplateResponse

    def respond(*args: Any, **kwargs: Any) -> Any:
        response = original(*args, **kwargs)
        response.body = response.body.replace(b"</head>", f"{text}</head>".encode())
        response.init_headers()
        return response

    gr.routes.templates.TemplateResponse = respond


def main() -> None:
    """Serve until killed."""
    port, folder = int(sys.argv[1]), Path(sys.argv[2])
    # where a WebUI writes a picture with its infotext
    images = SimpleNamespace(save_image_with_geninfo=lambda image, _infotext, path: image.save(path))
    recent.import_module = lambda _name: images
    active._HOST.append(LocalHost(folder, fixed_finder(darkest=25, further=FURTHER)))
    registry.backends = lambda: BACKENDS
    build().launch(server_name="127.0.0.1", server_port=port, quiet=True, show_error=True)


if __name__ == "__main__":
    main()
