"""Everything drawn with gradio or served by FastAPI; the only room beside `hosts` that meets the WebUI."""
