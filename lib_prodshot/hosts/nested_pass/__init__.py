"""Inpaint passes run inside this WebUI, nested in a generation."""
