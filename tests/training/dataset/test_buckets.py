"""Buckets and steps, held against what sd-scripts' own code answered (and answers, where it is)."""

from __future__ import annotations

import json
import math
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_prodshot.training.dataset import buckets
from lib_prodshot.training.dataset.buckets import BucketRules, assign_bucket, balanced_repeats, bucket_table
from lib_prodshot.training.recipe.recipe import Recipe
from tests.training.trainers import real_trainer

RECORDED = Path(__file__).parent.parent / "recorded" / "buckets.json"
SIDES = st.tuples(st.integers(64, 6000), st.integers(64, 6000))


def rules_of(told: dict[str, Any]) -> BucketRules:
    return BucketRules(told["resolution"], True, told["steps"], told["no_upscale"], told["shortest"], told["longest"])


def ours(size: list[int], rules: BucketRules) -> list[Any]:
    try:
        placed = assign_bucket((size[0], size[1]), rules)
    except ValueError:
        return []
    return [[*placed.bucket], [*placed.resized], placed.aspect_error]


def test_every_recorded_photograph_falls_where_sd_scripts_put_it() -> None:
    tables = json.loads(RECORDED.read_text(encoding="utf-8"))
    assert sum(len(table["places"]) for table in tables) == 375
    for table in tables:
        for size, *placed in table["places"]:
            assert ours(size, rules_of(table["rules"])) == placed, (table["rules"], size)


def test_the_real_sd_scripts_still_answers_what_is_recorded() -> None:
    trainer = real_trainer()
    script = Path(__file__).parent.parent / "record_buckets.py"
    command = [str(trainer.python), str(script), str(trainer.checkout)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    (line,) = (line for line in said.splitlines() if line.startswith("buckets:"))
    assert json.loads(line.removeprefix("buckets:")) == json.loads(RECORDED.read_text(encoding="utf-8"))


def test_the_seeds_training_has_195_steps_an_epoch_and_1950_in_all() -> None:
    recipe = Recipe()
    shapes = [(1024, 768), (768, 1024), (900, 900), (1280, 720), (640, 960)]
    sizes = [(shapes[number % 5], recipe.num_repeats) for number in range(65)]
    table = bucket_table(sizes, BucketRules.of(recipe), recipe.train_batch_size)
    assert buckets.steps_per_epoch(table.batches, recipe) == 195
    assert buckets.steps_per_epoch(table.batches, recipe) * recipe.max_train_epochs == 1950


def test_each_bucket_is_rounded_up_alone() -> None:
    rules = BucketRules.of(Recipe())
    table = bucket_table([((768, 768), 1), ((768, 768), 1), ((768, 768), 1), ((1024, 576), 1)], rules, 2)
    assert [(bucket.size, bucket.photographs, bucket.batches) for bucket in table.buckets] == [
        ((768, 768), 3, 2),
        ((1024, 576), 1, 1),
    ]
    assert table.batches == 3 > math.ceil(4 / 2)


@pytest.mark.parametrize(("processes", "gathered", "steps"), [(1, 1, 7), (2, 1, 4), (1, 2, 4), (2, 2, 2), (4, 3, 1)])
def test_gpus_and_gathered_batches_share_the_steps(processes: int, gathered: int, steps: int) -> None:
    recipe = Recipe.of({"processes": processes, "gradient_accumulation_steps": gathered}, complete=False)
    assert buckets.steps_per_epoch(7, recipe) == steps


def test_without_buckets_all_are_squares() -> None:
    rules = BucketRules.of(Recipe.of({"enable_bucket": False, "resolution": 512}, complete=False))
    placed = assign_bucket((4000, 1000), rules)
    assert placed.bucket == (512, 512) and placed.resized == (2048, 512) and placed.cropped == 0.75


def test_limits_that_are_no_multiples_are_widened() -> None:
    recipe = Recipe.of({"min_bucket_reso": 320, "max_bucket_reso": 1344, "bucket_reso_steps": 128}, complete=False)
    rules = BucketRules.of(recipe)
    assert (rules.shortest, rules.longest) == (256, 1408)


@pytest.mark.parametrize(
    ("photographs", "regularisation", "expected"),
    [
        ([6] * 4, [1] * 5, [5, 5, 5, 5, 4]),
        ([2, 2], [1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]),
        ([10], [3, 3], [5, 5]),
        ([3], [], []),
    ],
)
def test_regularisation_pictures_are_repeated_until_they_balance(
    photographs: list[int], regularisation: list[int], expected: list[int]
) -> None:
    assert balanced_repeats(photographs, regularisation) == expected


@given(SIDES, st.booleans())
def test_a_bucket_is_made_of_steps_and_holds_no_more_than_the_area(size: tuple[int, int], no_upscale: bool) -> None:
    rules = BucketRules(768, True, 64, no_upscale, 320, 1280)
    placed = assign_bucket(size, rules)
    assert placed.bucket[0] % 64 == placed.bucket[1] % 64 == 0
    assert placed.bucket[0] * placed.bucket[1] <= 768 * 768 * (1.1 if no_upscale else 1)
    assert 0 <= placed.cropped < 1
    if no_upscale:
        assert placed.scale <= 1.0 and placed.bucket[0] <= size[0] and placed.bucket[1] <= size[1]
    else:
        assert min(placed.resized[0] - placed.bucket[0], placed.resized[1] - placed.bucket[1]) == 0
