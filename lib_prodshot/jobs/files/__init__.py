"""Input files as they are read, output files as they are written: whole or not at all, one writer a folder."""
