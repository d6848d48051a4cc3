"""How a picture was made, in the files that the WebUI writes: it hands on a PNG's texts and nothing else, so XMP is put
into each file when it stands, and into the picture's own texts for what the WebUI sends (API, unsaved gallery)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import count, takewhile
from pathlib import Path
from typing import Any

from PIL import Image

from lib_prodshot.hosts.active import host
from lib_prodshot.hosts.generation.attributes import XMP_TEXT
from lib_prodshot.hosts.pil import image_from
from lib_prodshot.pictures import RestoredPicture
from lib_prodshot.pictures.embedding import file_with_xmp, xmp_of
from lib_prodshot.pictures.xmp import XmpError


class OurPacket(str):
    """An XMP packet that we made: those of pictures that came with one are left as they are."""


def shown(result: RestoredPicture, info: Mapping[Any, Any], digital_source_type: str) -> Image.Image:
    """A result as the WebUI takes it, with these texts, and with its XMP where that says how it was made."""
    image = image_from(result)
    packet = xmp_of(result.source) if digital_source_type else None
    image.info = dict(info) if packet is None else with_packet(info, packet)
    return image


def with_packet(info: Mapping[Any, Any], packet: bytes) -> dict[Any, Any]:
    """A picture's texts with this packet instead of its own."""
    text = packet.decode("utf-8", "replace")
    # by this sign, which may stand before any packet, Pillow writes iTXt, in which alone XMP may stand
    kept = {key: value for key, value in info.items() if key not in ("xmp", XMP_TEXT)}
    return {**kept, XMP_TEXT: OurPacket(text if "\ufeff" in text else f"\ufeff{text}")}


def after_saving(saved: Any) -> None:
    """The WebUI's `image_saved`: put the picture's packet into the file; what goes wrong is printed, and the file stays
    as the WebUI wrote it."""
    packet = (getattr(saved.image, "info", None) or {}).get(XMP_TEXT)
    if not isinstance(packet, OurPacket):
        return
    path = _written_file(Path(saved.filename))
    try:
        data = file_with_xmp(path.read_bytes(), packet.removeprefix("\ufeff").encode())
        if data is None:
            print(f"Prodshot: {path.suffix[1:]} files are written without XMP: {path} does not say how it was made")
            return
        _replace(path, data)
    except (OSError, XmpError) as error:
        print(f"Prodshot: XMP could not be written into {path}: {error}")


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".prodshot-{os.getpid()}-{path.name}")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _written_file(path: Path) -> Path:
    """The file of a save: where names that are taken get a number, the WebUI tells the name without it."""
    if host().option("save_images_replace_action", "Replace") == "Replace":
        return path
    names = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in count(1))
    return ([path, *takewhile(Path.exists, names)])[-1]
