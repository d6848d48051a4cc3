"""The sd-scripts that PRODSHOT_SD_SCRIPTS names, as it is, but for three constants: the widths of its U-Net.

Where that variable is to name this folder itself (for a WebUI), PRODSHOT_WHOLE_SD_SCRIPTS names the real one.
"""

import os
import runpy
import sys

CHECKOUT = os.environ.get("PRODSHOT_WHOLE_SD_SCRIPTS") or os.environ["PRODSHOT_SD_SCRIPTS"]
sys.path.insert(0, CHECKOUT)

from library import original_unet  # noqa: E402

original_unet.BLOCK_OUT_CHANNELS = (32, 64, 128, 128)
original_unet.TIMESTEP_INPUT_DIM = 32
original_unet.TIME_EMBED_DIM = 128

globals().update(runpy.run_path(os.path.join(CHECKOUT, "train_network.py"), run_name=__name__))  # noqa: PTH118
