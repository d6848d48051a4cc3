"""sd-scripts as a subprocess: its setup, configuration, runs, progress, checkpoints, and the ledger of a run."""
