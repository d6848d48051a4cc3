"""The sd-scripts that PRODSHOT_SD_SCRIPTS names, as it is, but for the sizes of its models (`shrink.py`): the program
of this file's name, or the one that `sdxl_train_network.py` and `flux_train_network.py` beside it say.

Where that variable is to name this folder itself (for a WebUI), PRODSHOT_WHOLE_SD_SCRIPTS names the real one.
"""

import os
import runpy
import sys
from pathlib import Path

CHECKOUT = os.environ.get("PRODSHOT_WHOLE_SD_SCRIPTS") or os.environ["PRODSHOT_SD_SCRIPTS"]
PROGRAM = globals().get("PROGRAM", Path(__file__).name)
sys.path[:0] = [CHECKOUT, str(Path(__file__).resolve().parent.parent)]

from shrink import shrink  # noqa: E402

shrink({"sdxl_train_network.py": "sdxl", "flux_train_network.py": "flux"}.get(PROGRAM, "sd15"))

globals().update(runpy.run_path(str(Path(CHECKOUT) / PROGRAM), run_name=__name__))
