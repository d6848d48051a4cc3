"""What Prodshot's probe asks of the trainer's PyTorch: here there is none, and no GPU."""


class cuda:  # noqa: N801 - torch's own name
    """No GPU."""

    @staticmethod
    def is_available() -> bool:
        return False


__version__ = "0+stand-in"
