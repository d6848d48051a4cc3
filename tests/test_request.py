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


def names(text: str) -> list[str]:
    return [product.name for product in parse_products(text)]


@pytest.mark.parametrize(
    "text",
    [
        *(
            "cup . handbag .",
            "cup . handbag",
            " . cup . . handbag . ",
            "cup. handbag.",
            "cup.handbag.",
            "cup? handbag?",
        ),
        *("cup ... handbag", "cup… handbag", "cup。handbag。", "cup।handbag", "cup\u06d4 handbag", "cup ．handbag．"),
        *("cup; handbag;", "cup;;handbag", ",cup,, handbag,", "cup,;\n handbag,\n", "cup，handbag", "cup、handbag"),
        *("cup；handbag", "cup﹐handbag", "cup､handbag", "cup، handbag", "cup؛ handbag", "cup՝ handbag", "cup፣handbag"),
        *("cup\nhandbag", "cup\r\nhandbag\r\n", "cup\rhandbag", "cup\thandbag", "cup\u2028handbag", "cup\x85handbag"),
        *("cup\\nhandbag", "1. cup\n2. handbag", "1. cup 2. handbag", "1.cup, 2.handbag", "1) cup 2) handbag"),
        *(
            "(1) cup\n(2) handbag",
            "（1）cup（2）handbag",
            "1、cup 2、handbag",
            "3: cup, 4: handbag",
            "a) cup b) handbag",
        ),
        *(
            "- cup\n- handbag",
            "* cup, * handbag",
            "+ cup\n+ handbag",
            "– cup\n– handbag",
            "・cup\n・handbag",
            "• cup • handbag",
        ),
        *(
            "• cup\n• handbag",
            "cup•handbag",
            "① cup ② handbag",
            "⒈cup ⒉handbag",
            "- [ ] cup\n- [x] handbag",
            "■cup■handbag",
        ),
        *("['cup', 'handbag']", '["cup", "handbag"]', '"cup","handbag"', "“cup”, “handbag”", "「cup」、「handbag」"),
        *("| cup |\n| handbag |", "cup, and handbag", "cup, or handbag", "cup\n& handbag", "cup,\u3000handbag"),
    ],
)
def test_whatever_separates_products_separates_them(text: str) -> None:
    assert [name.rstrip("?") for name in names(text)] == ["cup", "handbag"]
    assert [product.phrases for product in parse_products(text)] == [("cup",), ("handbag",)]
    assert [product.name for product in Request(products=[text]).classes] == names(text)


@pytest.mark.parametrize(
    ("text", "several"),
    [
        *(
            ("cup. handbag", "cup, handbag"),
            ("cup.handbag", "cup, handbag"),
            ("Cup. Hand Bag. Shoe", "Cup, Hand Bag, Shoe"),
        ),
        *(
            ("cup .handbag", "cup, handbag"),
            ("cup．handbag", "cup, handbag"),
            ("杯子.手提包", "杯子, 手提包"),
            ("cup? handbag", "cup, handbag"),
        ),
        *(
            ("cup | handbag", "cup, handbag"),
            ("cup|handbag|shoe", "cup, handbag, shoe"),
            ("cup｜handbag", "cup, handbag"),
        ),
        *(
            ("cup | handbag: bag", "cup, handbag"),
            ("watch, cup||handbag", "cup, handbag"),
            ("cup / handbag", "cup, handbag"),
        ),
        *(("cup/handbag", "cup, handbag"), ("cup - handbag", "cup, handbag"), ("cup – handbag", "cup, handbag")),
        *(("cup + handbag", "cup, handbag"), ("cup → handbag", "cup, handbag"), ("cup · handbag", "cup, handbag")),
        *(
            ('"cup" "handbag"', "cup, handbag"),
            ("“cup” “handbag”", "cup, handbag"),
            ("shoe: cup / handbag", "cup, handbag"),
        ),
    ],
)
def test_what_may_be_several_products_or_one_is_refused_with_both_ways_to_write_it(text: str, several: str) -> None:
    with pytest.raises(RequestError, match="may be several products or one") as caught:
        parse_products(text)
    (problem,) = caught.value.problems
    advice = problem.message.partition(": write ")[2]
    assert problem.field == "products" and advice.startswith(repr(several)), problem.message
    one = advice.partition(", or '")[2].partition("'")[0]
    assert len(parse_products(several)) > len(parse_products(one)) == 1, "both are accepted as they are written"
    assert Request(products=several)
    with pytest.raises(RequestError):
        Request(products=[text])


@pytest.mark.parametrize(
    "text",
    [
        *(
            "no. 5 perfume",
            "No. 5 Perfume",
            "d.i.y. kit",
            "kit d.i.y.",
            "dr. martens boot",
            "st. john's bag",
            "u.s. army jacket",
        ),
        *(
            "3.5 mm jack",
            ".5 l bottle",
            "iphone 14.2",
            "mr.coffee maker",
            "booking.com cap",
            "j. crew bag",
            "a.p.c. jeans",
        ),
        *(
            "vol. 2 book",
            "warner bros. mug",
            "Ph.D. gown",
            ".net mug",
            "16:9 monitor",
            "501",
            "7up can",
        ),
        *(
            "salt & pepper mill",
            "cup and saucer",
            "black and decker drill",
            "t-shirt",
            "AC/DC shirt",
            "men's shoe",
            "col·lecció",
        ),
        *(
            "コーヒー・カップ",
            "cup (red)",
            '27" monitor',
            "C++ mug",
            "Hand Bag?",
            "café cup",
            "-5 °C bag",
            "oreo cookie",
        ),
    ],
)
def test_signs_that_belong_to_a_name_stay(text: str) -> None:
    assert names(text) == [text]
    assert names(f"cup, {text}; shoe") == ["cup", text, "shoe"]
    assert names(f"cup . {text} . shoe .") == ["cup", text, "shoe"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("handbag:shoe:watch", "two colons"),
        ("(handbag:1.2), shoe", "synonyms stand after a colon"),
        ("shoe (sneaker, trainer)", "synonyms stand after a colon"),
        (" . ", "no product is named"),
        (" - , * ", "no product is named"),
    ],
)
def test_other_writings_are_refused_with_what_to_write(text: str, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        parse_products(text)


def test_a_number_alone_makes_no_numbered_list() -> None:
    assert names("1. FC Köln scarf, cup") == ["1. FC Köln scarf", "cup"]
    assert names("7. cup\n9. handbag") == ["7. cup", "9. handbag"]


def test_synonyms_in_other_writings() -> None:
    shoe = (ProductClass("shoe", ("shoe", "sneaker", "trainer")),)
    for text in (
        "shoe: sneaker | trainer",
        "shoe：sneaker｜trainer",
        "shoe: sneaker or trainer",
        "shoe or sneaker: trainer.",
        "shoe:\tsneaker\t|\ttrainer",
        '- "shoe": "sneaker" | trainer |',
    ):
        assert parse_products(text) == shoe, text


def test_the_texts_for_single_products_read_the_same_signs() -> None:
    for text in (
        "watch: 0.4；no. 5 perfume：0.25",
        "watch:\t0.4\nno. 5 perfume: 0.25",
        '- watch: 0.4、"no. 5 perfume": .25',
    ):
        request = Request(products="watch, no. 5 perfume", class_thresholds=text)
        assert [product.threshold for product in request.classes] == [0.4, 0.25], text
    request = Request(products="16:9 monitor, watch", class_prompts="16:9 monitor: at 10:10, on oak\nwatch：red")
    assert request.prompts == {"16:9 monitor": "at 10:10, on oak", "watch": "red"}


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
