"""The panel's drop-down of LoRAs that Prodshot has trained and published; its button fills in their prompts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from lib_prodshot.errors import ProdshotError
from lib_prodshot.hosts.active import host
from lib_prodshot.products import parse_products, parse_prompts
from lib_prodshot.training.publishing.prompts import published_prompts
from lib_prodshot.webui.gradio_compat import small_button, unsaved
from lib_prodshot.webui.messages import said


@dataclass(frozen=True)
class LoraBox:
    """A drop-down of published LoRAs, a button that takes the chosen one's prompt, and one that reloads the list."""

    lora: Any
    use: Any
    refresh: Any
    message: Any

    def connect(self, products: Any, class_prompts: Any) -> None:
        """Let the button fill the setting 'class_prompts' for what the setting 'products' names."""
        quiet = {"show_progress": False, "queue": False}
        self.use.click(use, [self.lora, products, class_prompts], [self.message, class_prompts], **quiet)
        self.refresh.click(lambda: gr.update(choices=_names()), [], [self.lora], **quiet)


def draw(elem_id: Callable[[str], str]) -> LoraBox:
    """Draw the offer into the current gradio context."""
    with gr.Row(elem_classes=["prodshot-row"]):
        lora = gr.Dropdown(
            _names(),
            value="",
            label="Trained LoRA",
            info="A LoRA that the tab Prodshot training has published: its prompt becomes every product's own.",
            elem_id=elem_id("lora"),
            elem_classes=["prodshot-field"],
            interactive=True,
            # one that was published after the page was drawn is none of the choices drawn here
            allow_custom_value=True,
        )
        take = small_button("Use", elem_id("lora_use"))
        refresh = small_button("Look again", elem_id("lora_refresh"))
    message = unsaved(gr.HTML("", elem_id=elem_id("lora_message"), elem_classes=["prodshot-message"]))
    return LoraBox(unsaved(lora), take, refresh, message)


def use(name: str, products: str, class_prompts: str) -> tuple[Any, Any]:
    """What is said, and the class prompts with the LoRA's prompt for every product; those of others stay."""
    prompt = published_prompts(host().training().lora_folder()).get(name or "")
    if prompt is None:
        return said("Choose a LoRA that Prodshot has published.", is_error=True), gr.update()
    try:
        named = {product.phrases[0]: product.name for product in parse_products(products)}
        kept = {phrase: text for phrase, text in parse_prompts(class_prompts).items() if phrase not in named}
    except ProdshotError as error:
        return said(str(error), is_error=True), gr.update()
    told = {**kept, **dict.fromkeys(named.values(), prompt)}
    lines = "\n".join(f"{product}: {text}" for product, text in told.items())
    return said(f"{name} is in the prompts of {', '.join(named.values())}."), gr.update(value=lines)


def _names() -> list[str]:
    return ["", *published_prompts(host().training().lora_folder())]
