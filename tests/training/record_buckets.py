"""Run by the trainer's Python: `record_buckets.py CHECKOUT` prints where sd-scripts' own code puts photographs.

What it printed for v0.10.1 stands in `recorded/buckets.json`. Imports no Prodshot.
"""

import json
import sys

import numpy as np

sys.path.insert(0, sys.argv[1])

from library.train_util import BucketManager

RULES = (
    {"resolution": 768, "shortest": 320, "longest": 1280, "steps": 64, "no_upscale": False},
    {"resolution": 512, "shortest": 256, "longest": 1024, "steps": 64, "no_upscale": False},
    {"resolution": 768, "shortest": 320, "longest": 1280, "steps": 64, "no_upscale": True},
    {"resolution": 640, "shortest": 256, "longest": 1024, "steps": 128, "no_upscale": False},
    {"resolution": 576, "shortest": 128, "longest": 2048, "steps": 64, "no_upscale": True},
)


def sizes() -> list[tuple[int, int]]:
    rng = np.random.default_rng(7)
    drawn = [tuple(int(side) for side in rng.integers(70, 5000, 2)) for _ in range(60)]
    # ties, squares, buckets' own sizes, and the formats that cameras have
    known = [(768, 768), (512, 512), (1024, 576), (640, 896), (896, 640), (1000, 1000), (4000, 3000), (3000, 4000)]
    return [*known, (6000, 4000), (1920, 1080), (1080, 1920), (100, 1000), (704, 832), (833, 705), (1, 1), *drawn]


def place(rules: dict, size: tuple[int, int]) -> list:
    manager = BucketManager(
        rules["no_upscale"], (rules["resolution"],) * 2, rules["shortest"], rules["longest"], rules["steps"]
    )
    if not rules["no_upscale"]:
        manager.make_buckets()
    try:
        bucket, resized, error = manager.select_bucket(*size)
    except (ZeroDivisionError, AssertionError):
        return []
    # a bucket without a side is found out only when the picture is cut to it
    return [[*bucket], [*resized], float(error)] if min(bucket) > 0 else []


if __name__ == "__main__":
    placed = [{"rules": rules, "places": [[[*size], *place(rules, size)] for size in sizes()]} for rules in RULES]
    print("buckets:" + json.dumps(placed))
