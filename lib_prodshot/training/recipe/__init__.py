"""The training recipe: its settings, presets, and TOML files."""
