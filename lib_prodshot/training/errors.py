"""Errors of training, in addition to those in `lib_prodshot.errors`."""

from __future__ import annotations

from lib_prodshot.errors import ProdshotError


class TrainerMissing(ProdshotError):
    """sd-scripts or its Python environment is not installed; the message says how to install it."""


class TrainerError(ProdshotError):
    """sd-scripts is installed and cannot be used, or its setup failed."""


class TrainingError(ProdshotError):
    """A training run was refused or failed; earlier checkpoints are unchanged."""


class InvalidDataset(TrainingError):
    """The dataset has errors that training must not start with."""


class PublishError(ProdshotError):
    """A LoRA was not published; the WebUI's folder is unchanged."""


class ComparisonError(ProdshotError):
    """The epochs of a run could not be compared; the run is unchanged."""
