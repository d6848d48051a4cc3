"""Stands in for sd-scripts' flux_train_network.py, as `train_network.py` beside it does for its own."""

from __future__ import annotations

import train_network

PROGRAM = "flux_train_network.py"


def setup_parser() -> train_network.argparse.ArgumentParser:
    """The options of the real program."""
    return train_network.setup_parser(PROGRAM)


if __name__ == "__main__":
    train_network.train(train_network.read_options(PROGRAM))
