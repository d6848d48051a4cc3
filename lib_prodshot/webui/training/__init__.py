"""LoRA training: its tab, its form, and its kinds of jobs."""
