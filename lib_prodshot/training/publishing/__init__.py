"""Trained LoRAs into the folder of a WebUI, and the prompts that call them."""
