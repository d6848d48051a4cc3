"""What can go wrong in training, beside the errors that all rooms share."""

from __future__ import annotations

from lib_prodshot.errors import ProdshotError


class TrainerMissing(ProdshotError):
    """sd-scripts or its Python is not here. Says how to get it."""


class TrainerError(ProdshotError):
    """sd-scripts is here and cannot be used, or could not be set up."""


class TrainingError(ProdshotError):
    """A training run that must not start, or that failed; what it saved before stays."""


class FolderRefused(TrainingError):
    """A folder of photographs that training must not start with."""


class PublishError(ProdshotError):
    """A LoRA that was not put among the WebUI's; nothing there was changed."""
