"""As `train_network.py` beside it, for the program of this file's name."""

import runpy
from pathlib import Path

globals().update(
    runpy.run_path(str(Path(__file__).with_name("train_network.py")), {"PROGRAM": Path(__file__).name}, __name__)
)
