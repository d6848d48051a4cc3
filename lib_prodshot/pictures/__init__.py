"""Pictures in and out: read once, hand out RGB, put new colours back into the picture's own samples, write whole files.

Everything between `read` and `write` is in *display* orientation (after EXIF rotation); the stored orientation comes
back when the file is written.
"""

from lib_prodshot.pictures import quiet
from lib_prodshot.pictures.loaded import LoadedPicture, Metadata, RestoredPicture
from lib_prodshot.pictures.reading import MAX_PIXELS, read
from lib_prodshot.pictures.samples import restore
from lib_prodshot.pictures.writing import output_suffix, write, write_grey

__all__ = [
    "MAX_PIXELS",
    "LoadedPicture",
    "Metadata",
    "RestoredPicture",
    "output_suffix",
    "quiet",
    "read",
    "restore",
    "write",
    "write_grey",
]
