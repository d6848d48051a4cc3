"""The schema: one definition for every setting, strict parsing, product lists."""

from __future__ import annotations

import pytest

from lib_prodshot.errors import RequestError
from lib_prodshot.request import WEBUI_BASE, ProductClass, Request, parse_products, setting_named, settings


def problem_fields(**values: object) -> list[str]:
    with pytest.raises(RequestError) as caught:
        Request(**values)
    return [problem.field for problem in caught.value.problems]


def test_product_list_with_synonyms() -> None:
    assert parse_products("handbag, shoe: sneaker | trainer | footwear, watch or watch dial") == (
        ProductClass("handbag", ("handbag",)),
        ProductClass("shoe", ("shoe", "sneaker", "trainer", "footwear")),
        ProductClass("watch", ("watch", "watch dial")),
    )


def test_label_stays_as_written_and_phrases_are_cleaned() -> None:
    (product,) = parse_products("  Hand   Bag?: PURSE. ")
    assert product.name == "Hand Bag?"
    assert product.phrases == ("hand bag", "purse")


@pytest.mark.parametrize("text", ["", " , ;\n", "?", "shoe: !!", ": sneaker", "x" * 81, "shoe: boot, boot"])
def test_product_lists_that_mean_nothing_are_refused_by_field(text: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_products(text)
    assert [problem.field for problem in caught.value.problems] == ["products"]


def test_a_product_named_twice_counts_once() -> None:
    assert parse_products("shoe, Shoe: boot") == (ProductClass("shoe", ("shoe", "boot")),)


def test_an_or_inside_a_word_does_not_split() -> None:
    assert parse_products("orange, motor oil")[1].phrases == ("motor oil",)


def test_every_wrong_field_is_named_at_once() -> None:
    assert problem_fields(productz="car", box_threshold=2, feather="4", invert=1, finder="best") == [
        "productz",
        "box_threshold",
        "feather",
        "invert",
        "finder",
    ]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, "0.5", None, [0.5]])
def test_numbers_must_be_numbers(value: object) -> None:
    assert problem_fields(box_threshold=value) == ["box_threshold"]


def test_whole_floats_count_as_whole_numbers() -> None:
    assert Request(grow=4.0).grow == 4
    assert problem_fields(grow=4.5) == ["grow"]


def test_products_as_a_list() -> None:
    assert Request(products=["car", "shoe"]).products == "car, shoe"


def test_positional_and_named_arguments_mix() -> None:
    request = Request.from_arguments(["car", "lite", {"box_threshold": 0.4}, 0.2, None], base={"feather": 2.0})
    assert (request.products, request.finder, request.box_threshold, request.feather) == ("car", "lite", 0.4, 2.0)
    assert (request.text_threshold, request.class_thresholds) == (0.2, "")
    beyond = [None] * len(settings()) + [{"products": "shoe"}]
    assert Request.from_arguments(beyond).products == "shoe"
    with pytest.raises(RequestError, match="script_args"):
        Request.from_arguments(["car"] * 99)


def test_thresholds_per_product() -> None:
    request = Request(products="watch or dial, shoe", class_thresholds="watch: 0.4", box_threshold=0.2)
    assert [product.threshold for product in request.classes] == [0.4, 0.2]
    assert problem_fields(products="shoe", class_thresholds="watch: 0.4") == ["class_thresholds"]
    assert problem_fields(products="shoe", class_thresholds="shoe: 2") == ["class_thresholds"]


def test_prompts_per_product() -> None:
    request = Request(products="watch or dial, shoe", class_prompts="Watch: [class], 10:10, on oak\n\n")
    assert request.prompts == {"watch": "[class], 10:10, on oak"}
    for text in ("shoe: red", "watch:", "a lonely prompt", "watch: one\nWATCH: two", ": red"):
        assert problem_fields(products="watch", class_prompts=text) == ["class_prompts"]


def test_control_cannot_end_before_it_begins() -> None:
    assert problem_fields(control_guidance_start=0.6, control_guidance_end=0.5) == ["control_guidance_start"]


def test_a_door_may_start_from_other_defaults() -> None:
    assert (Request().engine, setting_named("engine").default) == ("retouch", "retouch")
    assert setting_named("engine", WEBUI_BASE).default == "inpaint"
    request = Request.from_arguments(["car"], base=WEBUI_BASE)
    assert request.to_dict(only_changed=True, base=WEBUI_BASE) == {"products": "car"}
    assert request.to_dict(only_changed=True) == {"products": "car", "engine": "inpaint"}


def test_one_product_of_a_request() -> None:
    request = Request(
        products="Watch or dial: chrono, shoe", class_thresholds="watch: 0.4", class_prompts="watch: red\nshoe: blue"
    )
    watch, shoe = request.classes
    assert request.only(watch).classes == (watch,)
    assert request.only(watch).prompts == {"watch": "red"}
    assert (request.only(shoe).class_thresholds, request.only(shoe).prompts) == ("", {"shoe": "blue"})


def test_requests_are_frozen_and_replaceable() -> None:
    request = Request(products="car")
    with pytest.raises((TypeError, ValueError)):
        request.products = "shoe"
    assert request.replace(grow=3).to_dict(only_changed=True) == {"products": "car", "grow": 3}


def test_every_setting_can_be_drawn_by_a_door() -> None:
    for known in settings():
        assert known.label and known.help and known.section and known.infotext, known.name
        if known.kind in ("number", "integer"):
            assert known.minimum is not None and known.maximum is not None, known.name
            assert known.minimum <= known.default <= known.maximum, known.name
        if known.kind == "choice":
            assert known.default in known.choices, known.name
    assert len({known.infotext for known in settings()}) == len(settings())


@pytest.mark.parametrize("name", ["grow", "box_threshold"])
def test_numbers_beyond_every_float_are_out_of_range(name: str) -> None:
    assert problem_fields(**{name: 10**400}) == [name]
    assert problem_fields(**{name: -(10**400)}) == [name]
