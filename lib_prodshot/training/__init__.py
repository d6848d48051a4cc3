"""From a folder of photographs to a LoRA that the WebUI can use: check, caption, recipe, run, publish.

The training itself is kohya's sd-scripts, run as a subprocess in a virtual environment of its own. Importing these
modules loads no torch; the WebUI, the command line and the HTTP jobs drive the same objects.
"""
