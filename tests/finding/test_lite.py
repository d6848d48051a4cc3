"""The lite finder: its words, its score fusion on hand-made features, and the real models on odd pictures.

Real photographs are in `test_snapshots.py`, the command line's self-test and the demo.
"""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from lib_prodshot.errors import FinderError, UnknownProducts, WeightsError, tells_of_unknown
from lib_prodshot.finding.finder import Finder
from lib_prodshot.finding.interface import Box
from lib_prodshot.finding.lite import detector, instance_selection, score_fusion, segmenter
from lib_prodshot.finding.lite.augmentation import Detections
from lib_prodshot.finding.lite.boxes import Corners, FusedDetection, area, containment, intersection, iou
from lib_prodshot.finding.lite.features import Features, Kind, Region, supports
from lib_prodshot.finding.lite.label_map import CATEGORIES, COCO, IMAGENET, OPENIMAGES
from lib_prodshot.finding.lite.networks import classifier
from lib_prodshot.finding.lite.networks.onnx_model import OnnxModel
from lib_prodshot.finding.lite.vocabulary import categories_of, categories_of_all, category_of
from lib_prodshot.request import parse_products

WHOLE = (10.0, 10.0, 90.0, 90.0)


def region(kind: Kind = "salient", corners: tuple[float, float, float, float] = WHOLE, **scores: float) -> Region:
    """A region with the given scores: `imagenet_…`, `coco_…`, `openimages_…` by class name with underscores."""
    tables = {"imagenet": (IMAGENET, 1000), "coco": (COCO, 90), "openimages": (OPENIMAGES, 23)}
    arrays = {model: np.zeros(count, np.float32) for model, (_, count) in tables.items()}
    for key, score in scores.items():
        model, _, name = key.partition("_")
        arrays[model][tables[model][0][name.replace("_", " ")]] = score
    return Region(corners, kind, arrays["imagenet"], arrays["coco"], arrays["openimages"])


def category(name: str):  # type: ignore[no-untyped-def]
    return next(known for known in CATEGORIES if known.name == name)


@pytest.mark.parametrize(
    ("phrase", "name"),
    [
        ("Hand bags", "handbag"),
        ("purse", "handbag"),
        ("tote", "handbag"),
        ("sneakers", "sneaker"),
        ("a pair of red leather shoes", "shoe"),
        ("wrist-watch", "watch"),
        ("watch dial", "watch"),
        ("coffee cup", "cup"),
        ("motorcycle", "motorcycle"),
        ("knives", "knife"),
    ],
)
def test_words_that_are_known(phrase: str, name: str) -> None:
    found = category_of(phrase)
    assert found is not None and found.name == name


@pytest.mark.parametrize("phrase", ["scarf", "toy car", "carpet", "cart", "shoelace", "watchtower", "black", "q"])
def test_words_that_resemble_but_mean_something_else(phrase: str) -> None:
    assert category_of(phrase) is None


def test_no_word_stands_for_two_products() -> None:
    names = [name for known in CATEGORIES for name in {name.replace(" ", "") for name in known.names}]
    assert len(names) == len(set(names))
    assert all(category_of(one.name) == one for one in CATEGORIES)  # type: ignore[union-attr]


def test_a_confident_guess_at_something_else_speaks_against_a_thing_imagenet_has_no_name_for() -> None:
    flat = region(coco_suitcase=0.95, imagenet_vacuum=0.05)
    bag = region(coco_suitcase=0.95, imagenet_mailbag=0.6)
    score, doubted = score_fusion.calibrated_scores([flat, bag], [category("suitcase")])[:, 0]
    assert score >= 0.3 > doubted


def test_an_unknown_product_is_named_with_its_neighbours_and_the_finder_to_use() -> None:
    (product,) = parse_products("handbagg")
    with pytest.raises(UnknownProducts, match="'handbagg'.*handbag.*langsam") as caught:
        categories_of_all([product])
    assert caught.value.problems[0].field == "products"


def test_all_unknown_products_are_named_at_once() -> None:
    with pytest.raises(UnknownProducts) as caught:
        categories_of_all(parse_products("handbagg, shoe, qxz: zxq"))
    assert list(caught.value.unknown) == ["handbagg", "qxz"]
    assert "'handbagg' (nearest known names: handbag" in str(caught.value) and "'qxz'; name other" in str(caught.value)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.unknown, str(again)) == (caught.value.unknown, str(caught.value))


def test_an_unknown_synonym_is_said_and_the_others_are_used() -> None:
    (product,) = parse_products("shoe: brogan")
    categories, notes = categories_of(product)
    assert [found.name for found in categories] == ["shoe"]
    assert "brogan" in notes[0]


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("blue car", ["the lite finder has no word for 'blue' and looked for any 'car'"]),
        ("a pair of red suede shoes", ["the lite finder has no word for 'red suede' and looked for any 'shoe'"]),
        ("car: blue car, red car, car", ["'blue' and looked for any 'car'", "'red' and looked for any 'car'"]),
        # a name of its own, and words that say nothing of the thing
        ("wine glass, the car, a pair of shoes", []),
    ],
)
def test_words_that_change_nothing_are_named(typed: str, told: list[str]) -> None:
    notes = [note for product in parse_products(typed) for note in categories_of(product)[1]]
    assert len(notes) == len(told) and all(text in note for note, text in zip(notes, told, strict=True))
    assert all(tells_of_unknown(note) for note in notes)


def test_agreeing_models_score_higher_than_one_alone() -> None:
    both = region(imagenet_purse=0.5, coco_handbag=0.6)
    one = region(imagenet_purse=0.5)
    nothing = region()
    scores = score_fusion.calibrated_scores([both, one, nothing], [category("handbag")])[:, 0]
    assert scores[0] > scores[1] > 0.3 > scores[2]


def test_a_clear_rival_marks_a_region_down() -> None:
    alone = region(imagenet_purse=0.2)
    rivalled = region(imagenet_purse=0.2, imagenet_teapot=0.79)
    scores = score_fusion.calibrated_scores([alone, rivalled], [category("handbag")])[:, 0]
    assert scores[1] < scores[0]


def test_what_resembles_a_phone_and_a_little_a_digital_watch_is_a_watch() -> None:
    smartwatch = region(imagenet_iPod=0.35, imagenet_cellular_telephone=0.15, imagenet_digital_watch=0.12)
    smartwatch.coco[COCO["cell phone"]] = 0.6
    phone = region(imagenet_cellular_telephone=0.7, imagenet_iPod=0.15, imagenet_digital_watch=0.02)
    phone.coco[COCO["cell phone"]] = 0.6
    scores = score_fusion.calibrated_scores([smartwatch, phone], [category("watch"), category("cell phone")])
    assert scores[0, 0] >= 0.3 and scores[0, 0] > scores[0, 1]
    assert scores[1, 1] > 0.5 and scores[1, 0] < 0.3


def test_a_ring_vase_is_no_cup_and_a_cup_is() -> None:
    vase = region(imagenet_cup=0.09, imagenet_vase=0.05, imagenet_coffee_mug=0.06, coco_cup=0.3)
    cup = region(imagenet_cup=0.5, imagenet_coffee_mug=0.3, imagenet_vase=0.05, coco_cup=0.6)
    scores = score_fusion.calibrated_scores([vase, cup], [category("cup"), category("vase")])
    assert scores[0, 0] < 0.3 and scores[0, 1] > scores[0, 0]
    assert scores[1, 0] > 0.7 and scores[1, 1] < 0.3


def test_scores_grow_with_the_odds_and_stay_within_0_and_1() -> None:
    regions = [region(imagenet_purse=odds) for odds in np.linspace(0, 1, 30)]
    scores = score_fusion.calibrated_scores(regions, [category("handbag")])[:, 0]
    assert (np.diff(scores) >= 0).all() and scores.min() >= 0 and scores.max() <= 1


def choose(*regions: Region, products: str = "shoe", saliency: float = 1.0, **boxed: list[FusedDetection]) -> list[Box]:
    """The chosen boxes; `boxed` are detections of OpenImages' classes by name."""
    detections = Detections({}, {OPENIMAGES[name]: found for name, found in boxed.items()})
    features = Features(regions, detections, np.full((100, 200), saliency, np.float32), 1.0)
    return choose_in(features, products)


def choose_in(features: Features, products: str) -> list[Box]:
    classes = parse_products(products)
    categories = [categories_of(item)[0] for item in classes]
    scores = np.stack([detector.class_scores(features, found) for found in categories], axis=1)
    detections = [score_fusion.detections_of(features.detections, found) for found in categories]
    return instance_selection.select_instances(features, scores, detections, [item.threshold for item in classes])


def test_a_region_inside_another_of_its_class_is_part_of_it() -> None:
    dial = region("detected", (30, 30, 60, 60), imagenet_digital_watch=0.9)
    watch = region("salient", WHOLE, imagenet_digital_watch=0.8)
    assert [box.corners for box in choose(dial, watch, products="watch")] == [WHOLE]


def test_two_separate_instances_are_not_their_sum() -> None:
    both = region("salient", (0, 0, 200, 100), openimages_Footwear=0.9, imagenet_Loafer=0.9)
    left = region("component", (0, 0, 90, 100), openimages_Footwear=0.9, imagenet_Loafer=0.8)
    right = region("component", (110, 0, 200, 100), openimages_Footwear=0.9, imagenet_Loafer=0.8)
    assert {box.corners for box in choose(both, left, right)} == {left.corners, right.corners}


SHADOW = (90.0, 60.0, 180.0, 95.0)


@pytest.mark.parametrize(
    ("saliency", "support", "kept"), [(0.0, 0.0, False), (0.9, 0.0, True), (0.0, 0.6, True), (0.2, 0.1, False)]
)
def test_a_further_instance_needs_detector_support_or_salience_of_its_own(
    saliency: float, support: float, kept: bool
) -> None:
    ball = region("salient", (10, 10, 80, 80), coco_sports_ball=0.9, imagenet_tennis_ball=0.9)
    second = region("detected", SHADOW, imagenet_tennis_ball=0.8)
    table = {COCO["sports ball"]: [FusedDetection(ball.corners, 0.9), FusedDetection(SHADOW, support)]}
    shown = np.zeros((100, 200), np.float32)
    shown[60:95, 90:180] = saliency
    boxes = choose_in(Features((ball, second), Detections(table, {}), shown, 1.0), "ball")
    assert (SHADOW in {box.corners for box in boxes}) == kept
    assert ball.corners in {box.corners for box in boxes}


def test_the_support_and_salience_of_a_better_box_are_not_a_further_one_s_own() -> None:
    chair = (10.0, 10.0, 80.0, 80.0)
    beside = (10.0, 45.0, 80.0, 120.0)
    shown = np.zeros((150, 200), np.float32)
    shown[10:80, 10:80] = 1
    assert instance_selection._exclusive_detector_score(beside, [chair], [FusedDetection(chair, 0.9)]) == 0
    assert instance_selection._exclusive_saliency(beside, [chair], shown) == 0
    assert instance_selection._exclusive_saliency(beside, [], shown) > 0.4


def test_pieces_that_a_detector_sees_as_one_thing_are_one() -> None:
    whole, lid, keys = (0.0, 0.0, 100.0, 100.0), (0.0, 0.0, 100.0, 48.0), (0.0, 52.0, 100.0, 100.0)
    scores = {"imagenet_laptop": 0.9, "coco_laptop": 0.9}
    regions = (
        region("salient", whole, **scores),
        region("component", lid, **scores),
        region("component", keys, **scores),
    )
    table = {COCO["laptop"]: [FusedDetection((2, 1, 99, 98), 0.95), FusedDetection(keys, 0.4)]}
    features = Features(regions, Detections(table, {}), np.ones((100, 200), np.float32), 1.0)
    assert [box.corners for box in choose_in(features, "laptop")] == [whole]


@pytest.mark.parametrize("support", [0.0, 0.6])
def test_a_box_around_a_part_grows_to_the_whole_unless_a_detector_knows_the_part(support: float) -> None:
    bag, clasp = (20.0, 10.0, 180.0, 90.0), (80.0, 40.0, 110.0, 60.0)
    regions = (region("salient", bag), region("detected", clasp, imagenet_purse=0.8))
    shown = np.zeros((100, 200), np.float32)
    shown[10:90, 20:180] = 1
    table = {COCO["handbag"]: [FusedDetection(clasp, support)]}
    features = Features(regions, Detections(table, {}), shown, 1.0)
    assert [box.corners for box in choose_in(features, "handbag")] == [clasp if support else bag]


def test_an_arm_ends_near_the_box_and_a_strap_does_not() -> None:
    frame = (40.0, 40.0, 80.0, 80.0)
    watch = np.zeros((120, 120), np.float32)
    watch[40:80, 40:80] = 1
    watch[55:65, 80:120] = 1  # the arm
    watch[37:40, 55:65] = 1  # the strap
    limited = segmenter._clipped_to_object(watch, frame)
    assert not limited[:, 84:].any()
    assert np.array_equal(limited[:, :80], watch[:, :80])


def test_a_thing_beside_the_box_is_not_in_its_mask() -> None:
    shoe_and_fruit = np.zeros((100, 140), np.float32)
    shoe_and_fruit[20:80, 20:80] = 1
    shoe_and_fruit[50:70, 78:81] = 0
    shoe_and_fruit[40:60, 84:88] = 1
    limited = segmenter._clipped_to_object(shoe_and_fruit, (20, 20, 80, 80))
    assert limited[20:45, 20:78].all() and not limited[:, 82:].any()


def test_a_box_in_which_nothing_is_salient_is_masked_within_the_box(lite_finder: Finder) -> None:
    rng = np.random.default_rng(5)
    picture = rng.normal(128, 3, (200, 300, 3)).clip(0, 255).astype(np.uint8)
    box = (100.0, 60.0, 180.0, 140.0)
    (mask,) = lite_finder.segmenter.segment(picture, [Box(0, 1.0, box)])
    outside = mask.copy()
    outside[54:146, 94:186] = 0
    assert (mask > 127).any() and not (outside > 127).any()


def test_a_box_goes_to_the_class_that_fits_best() -> None:
    boot = region(openimages_Boot=0.9, imagenet_cowboy_boot=0.9)
    assert [box.class_index for box in choose(boot, products="watch, boot")] == [1]


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (33, 2), (17, 301)])
def test_any_size_gives_an_answer(lite_finder: Finder, size: tuple[int, int]) -> None:
    picture = np.random.default_rng(3).integers(0, 255, (*size, 3), np.uint8)
    classes = parse_products("car")
    assert len(lite_finder.detector.detect(picture, classes, 0.25).best_scores) == 1
    boxes = [Box(0, 1.0, (0.0, 0.0, float(size[1]), float(size[0])))]
    (mask,) = lite_finder.segmenter.segment(picture, boxes)
    assert mask.shape == size and mask.dtype == np.uint8


def test_masks_come_back_after_unloading(lite_finder: Finder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segmenter, "_PASSES", segmenter._PASSES[:1])  # either pass runs the same network
    picture = np.full((40, 60, 3), 90, np.uint8)
    boxes = [Box(0, 1.0, (5.0, 5.0, 30.0, 30.0)), Box(0, 1.0, (35.0, 5.0, 55.0, 30.0))]
    before = lite_finder.segmenter.segment(picture, boxes)
    lite_finder.unload()
    after = lite_finder.segmenter.segment(picture, boxes)
    assert len(before) == 2 and all(np.array_equal(one, other) for one, other in zip(before, after))


def _any_box(chance: np.random.Generator) -> Corners:
    x0, y0, x1, y1 = chance.integers((0, 0, -1, -1), (4, 4, 6, 6)).tolist()
    return float(x0), float(y0), float(x0 + x1), float(y0 + y1)


def test_boxes_are_compared_as_their_definitions_say() -> None:
    """Also boxes that touch, are empty or upside down, or lie in one another."""
    chance = np.random.default_rng(2)

    def shared_of(one: Corners, other: Corners) -> float:
        width, height = (min(one[side + 2], other[side + 2]) - max(one[side], other[side]) for side in (0, 1))
        return max(width, 0.0) * max(height, 0.0)

    found = 0
    for _ in range(2000):
        one, other = _any_box(chance), _any_box(chance)
        shared, own, whole = shared_of(one, other), shared_of(one, one), shared_of(other, other)
        together = shared / (whole + own - shared) if shared else 0.0
        assert (intersection(one, other), area(one), iou(other, one)) == (shared, own, together)
        assert containment(one, other) == (shared / own if own else 0.0)
        is_part = own > 0 and shared / own > 0.9 and own > 0.25 * whole
        assert supports(one, other) == (together > 0.4 or is_part)
        found += supports(one, other)
    assert found > 20


def test_a_network_takes_no_more_memory_when_it_runs_again(models_dir: Path) -> None:
    """ONNX Runtime would plan a second run in one block, beside all that the first one has taken: 190 MiB."""
    psutil = pytest.importorskip("psutil")
    model = OnnxModel(models_dir / "u2netp.onnx")
    batch = np.zeros((1, 3, 320, 320), np.float32)
    model(batch)
    before = psutil.Process().memory_info().rss
    model(batch)
    assert psutil.Process().memory_info().rss - before < 60 * 2**20


def test_what_the_classifier_says_of_a_crop_does_not_hang_on_the_others(models_dir: Path) -> None:
    model = OnnxModel(models_dir / "efficientnet_lite2.onnx")
    crops = list(np.random.default_rng(6).integers(0, 256, (5, classifier.SIDE, classifier.SIDE, 3), np.uint8))
    batch = (np.stack(crops).astype(np.float32).transpose(0, 3, 1, 2) - 127) / 128
    together = model(np.ascontiguousarray(batch))[0]
    exponentials = np.exp(together - together.max(axis=1, keepdims=True))
    expected = exponentials / exponentials.sum(axis=1, keepdims=True)
    assert np.array_equal(classifier.classify(model, crops), expected)


def test_a_damaged_model_file_is_a_plain_failure(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model")
    with pytest.raises(FinderError, match="weights verify"):
        OnnxModel(broken)(np.zeros((1, 3, 8, 8), np.float32))


def test_numbers_that_are_not_finite_are_a_failure_never_absent(models_dir: Path) -> None:
    model = OnnxModel(models_dir / "u2netp.onnx")
    with pytest.raises(FinderError, match="not finite"):
        model(np.full((1, 3, 320, 320), np.nan, np.float32))


def test_missing_weights_say_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lib_prodshot.finding import lite

    monkeypatch.setenv("PRODSHOT_MODELS", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "cache"))
    assert any("prodshot weights fetch" in sentence for sentence in lite.BACKEND.missing_requirements(tmp_path))
    with pytest.raises(WeightsError, match="prodshot weights fetch"):
        lite.BACKEND.load(tmp_path)
