"""The panel on txt2img and img2img: drawn from the settings, read back, pasted from infotext, previewed by Find."""
