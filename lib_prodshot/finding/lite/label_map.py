"""Label map of the lite finder: categories with their synonyms, and the classes of the three models that mean each.

Class names are the models' own: COCO (by position of its 90 ids), OpenImages v4 as packed with MediaPipe
Objectron, ImageNet-1k (by position in the order of WordNet ids). `COCO`, `OPENIMAGES` and `IMAGENET` map them to
output columns.
"""

from __future__ import annotations

from dataclasses import dataclass

COCO = {
    name: number - 1
    for number, name in {
        1: "person", 2: "bicycle", 3: "car", 4: "motorcycle", 5: "airplane", 6: "bus", 7: "train", 8: "truck",
        9: "boat", 10: "traffic light", 11: "fire hydrant", 13: "stop sign", 14: "parking meter", 15: "bench",
        16: "bird",
        17: "cat", 18: "dog", 19: "horse", 20: "sheep", 21: "cow", 22: "elephant", 23: "bear", 24: "zebra",
        25: "giraffe", 27: "backpack", 28: "umbrella", 31: "handbag", 32: "tie", 33: "suitcase", 34: "frisbee",
        35: "skis", 36: "snowboard", 37: "sports ball", 38: "kite", 39: "baseball bat", 40: "baseball glove",
        41: "skateboard", 42: "surfboard", 43: "tennis racket", 44: "bottle", 46: "wine glass", 47: "cup", 48: "fork",
        49: "knife", 50: "spoon", 51: "bowl", 52: "banana", 53: "apple", 54: "sandwich", 55: "orange", 56: "broccoli",
        57: "carrot", 58: "hot dog", 59: "pizza", 60: "donut", 61: "cake", 62: "chair", 63: "couch",
        64: "potted plant", 65: "bed", 67: "dining table", 70: "toilet", 72: "tv", 73: "laptop", 74: "mouse",
        75: "remote", 76: "keyboard", 77: "cell phone", 78: "microwave", 79: "oven", 80: "toaster", 81: "sink",
        82: "refrigerator", 84: "book", 85: "clock", 86: "vase", 87: "scissors", 88: "teddy bear", 89: "hair drier",
        90: "toothbrush",
    }.items()
}  # fmt: skip

OPENIMAGES = {
    name: number
    for number, name in enumerate(
        "Bicycle,Boot,Laptop,Person,Chair,Cattle,Desk,Cat,Computer mouse,Computer monitor,Box,Mug,Coffee cup,"
        "Stationary bicycle,Table,Bottle,High heels,Vehicle,Footwear,Dog,Book,Camera,Car".split(",")
    )
}

IMAGENET = {
    "acoustic guitar": 402, "analog clock": 409, "backpack": 414, "ballpoint": 418, "barber chair": 423,
    "basketball": 430, "beach wagon": 436, "beer bottle": 440, "beer glass": 441, "bookcase": 453, "book jacket": 921,
    "bow tie": 457, "bucket": 463, "cab": 468, "candle": 470, "car wheel": 479, "cellular telephone": 487,
    "clog": 502, "coffee mug": 504, "coffeepot": 505, "computer keyboard": 508, "convertible": 511,
    "cowboy boot": 514, "cowboy hat": 515, "cup": 968, "desk": 526, "digital clock": 530, "digital watch": 531,
    "dining table": 532, "drum": 541, "electric fan": 545, "electric guitar": 546, "espresso": 967,
    "face powder": 551, "folding chair": 559, "fountain pen": 563, "four-poster": 564, "frying pan": 567,
    "goblet": 572, "grille": 581, "hair spray": 585, "hand blower": 589, "hand-held computer": 590, "iPod": 605,
    "iron": 606, "jeep": 609, "lampshade": 619, "laptop": 620, "lens cap": 622, "limousine": 627, "lipstick": 629,
    "Loafer": 630, "lotion": 631, "loudspeaker": 632, "mailbag": 636, "microphone": 650, "microwave": 651,
    "minivan": 656, "mixing bowl": 659, "Model T": 661, "monitor": 664, "moped": 665, "motor scooter": 670,
    "mountain bike": 671, "mouse": 673, "moving van": 675, "necklace": 679, "notebook": 681, "park bench": 703,
    "perfume": 711, "pickup": 717, "pill bottle": 720, "pillow": 721, "pitcher": 725, "Polaroid camera": 732,
    "pop bottle": 737, "pot": 738, "purse": 748, "racer": 751, "racket": 752, "red wine": 966, "reflex camera": 759,
    "refrigerator": 760, "remote control": 761, "rocking chair": 765, "running shoe": 770, "sandal": 774, "sax": 776,
    "screen": 782, "shoe shop": 788, "soap dispenser": 804, "soccer ball": 805, "sombrero": 808, "soup bowl": 809,
    "sports car": 817, "stopwatch": 826, "studio couch": 831, "sunglass": 836, "sunglasses": 837, "sunscreen": 838,
    "table lamp": 846, "tandem": 444, "teapot": 849, "teddy": 850, "television": 851, "tennis ball": 852,
    "throne": 857, "toaster": 859, "tow truck": 864, "trailer truck": 867, "umbrella": 879, "vacuum": 882,
    "vase": 883, "violin": 889, "wall clock": 892, "wallet": 893, "washer": 897, "water bottle": 898,
    "water jug": 899, "whiskey jug": 901, "Windsor tie": 906, "wine bottle": 907, "grand piano": 579, "upright": 881,
    "garbage truck": 569, "airliner": 404, "minibus": 654, "school bus": 779, "trolleybus": 874,
}  # fmt: skip


@dataclass(frozen=True)
class Category:
    """One category: its name first, then its synonyms; the models' class names that mean it."""

    names: tuple[str, ...]
    coco: tuple[str, ...] = ()
    openimages: tuple[str, ...] = ()
    imagenet: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name it goes by."""
        return self.names[0]


def _category(names: str, coco: str = "", openimages: str = "", imagenet: str = "") -> Category:
    return Category(*(tuple(filter(None, text.split(", "))) for text in (names, coco, openimages, imagenet)))


_CARS = "sports car, convertible, minivan, beach wagon, cab, limousine, jeep, racer, grille, car wheel, Model T"
_SHOES = "running shoe, Loafer, sandal, clog, cowboy boot, shoe shop"
_BOTTLES = (
    "beer bottle, wine bottle, water bottle, pop bottle, pill bottle, lotion, perfume, sunscreen, hair spray, "
    "soap dispenser, whiskey jug, water jug"
)

CATEGORIES: tuple[Category, ...] = (
    _category(
        "handbag, hand bag, purse, ladies purse, bag, tote, tote bag, clutch, clutch bag, shoulder bag, crossbody bag, "
        "messenger bag, satchel, evening bag, leather bag, designer bag, pocketbook",
        "handbag", "", "purse, mailbag",
    ),
    _category("backpack, rucksack, knapsack, schoolbag, school bag, daypack", "backpack", "", "backpack"),
    _category("suitcase, luggage, trolley case, carry on, travel case, baggage", "suitcase"),
    _category("wallet, billfold, card holder, coin purse", "", "", "wallet"),
    _category("umbrella, parasol, brolly", "umbrella", "", "umbrella"),
    _category("tie, necktie, bow tie, bowtie", "tie", "", "Windsor tie, bow tie"),
    _category(
        "shoe, footwear, footgear, pair of shoes, leather shoe, dress shoe, oxford shoe, sport shoe, brogue",
        "", "Footwear, Boot, High heels", _SHOES,
    ),
    _category(
        "sneaker, trainer, running shoe, sports shoe, athletic shoe, gym shoe, tennis shoe",
        "", "Footwear", "running shoe",
    ),
    _category("boot, cowboy boot, ankle boot, chelsea boot, hiking boot, leather boot", "", "Boot", "cowboy boot"),
    _category("high heel, heel, pump, stiletto, high heeled shoe", "", "High heels"),
    _category("sandal, flip flop", "", "Footwear", "sandal"),
    _category("loafer, moccasin, slip on", "", "Footwear", "Loafer"),
    _category("clog", "", "Footwear", "clog"),
    _category(
        "watch, wristwatch, wrist watch, watch dial, watch face, timepiece, pocket watch, smartwatch, smart watch, "
        "digital watch, chronograph, stopwatch",
        "clock", "", "digital watch, stopwatch",
    ),
    _category("clock, wall clock, alarm clock, table clock, analog clock, digital clock", "clock", "",
             "analog clock, wall clock, digital clock"),
    _category("sunglasses, sun glasses, shades", "", "", "sunglass, sunglasses"),
    _category("necklace, pendant", "", "", "necklace"),
    _category("hat, cowboy hat, sombrero, sun hat", "", "", "cowboy hat, sombrero"),
    _category(
        "car, automobile, motor car, motorcar, sports car, sportscar, sedan, suv, hatchback, coupe, convertible, "
        "minivan, limousine, estate car, station wagon, taxi, jeep, auto",
        "car", "Car", _CARS,
    ),
    _category("truck, lorry, pickup, pickup truck", "truck", "",
             "pickup, moving van, trailer truck, tow truck, garbage truck"),
    _category("bus, coach, minibus", "bus", "", "minibus, school bus, trolleybus"),
    _category("motorcycle, motorbike, motor bike, motor cycle, scooter, moped", "motorcycle", "",
             "moped, motor scooter"),
    _category("bicycle, bike, cycle, mountain bike, road bike, push bike", "bicycle", "Bicycle",
             "mountain bike, tandem"),
    _category("boat", "boat"),
    _category("airplane, aeroplane, plane, aircraft", "airplane", "", "airliner"),
    _category("train", "train"),
    _category("bottle, flask, flacon", "bottle", "Bottle", _BOTTLES),
    _category("wine bottle, champagne bottle", "bottle", "Bottle", "wine bottle, red wine"),
    _category("beer bottle", "bottle", "Bottle", "beer bottle"),
    _category("water bottle, drinking bottle, drinks bottle", "bottle", "Bottle", "water bottle, pop bottle"),
    _category("perfume, perfume bottle, fragrance, cologne, eau de toilette", "", "", "perfume"),
    _category("lotion, lotion bottle, sunscreen, skincare, skin care, body lotion", "", "", "lotion, sunscreen"),
    _category("pill bottle, medicine bottle", "bottle", "Bottle", "pill bottle"),
    _category("hair spray, hairspray", "", "", "hair spray"),
    _category("lipstick, lip stick", "", "", "lipstick"),
    _category("face powder, compact powder, make up powder", "", "", "face powder"),
    _category(
        "cup, coffee cup, tea cup, teacup, mug, coffee mug, cup of coffee, cup of tea, espresso cup",
        "cup", "Mug, Coffee cup", "coffee mug, cup, espresso",
    ),
    _category("wine glass, wineglass, goblet, champagne glass", "wine glass", "", "goblet, red wine"),
    _category("beer glass, pint glass", "", "", "beer glass"),
    _category("teapot, tea pot", "", "", "teapot"),
    _category("coffee pot, coffeepot", "", "", "coffeepot"),
    _category("pitcher, jug, ewer", "", "", "pitcher, water jug"),
    _category("vase, flower vase", "vase", "", "vase"),
    _category("bowl, mixing bowl, soup bowl", "bowl", "", "mixing bowl, soup bowl"),
    _category("frying pan, skillet, pan", "", "", "frying pan"),
    _category("bucket, pail", "", "", "bucket"),
    _category("candle", "", "", "candle"),
    _category("fork", "fork"),
    _category("knife", "knife"),
    _category("spoon", "spoon"),
    _category("scissors", "scissors"),
    _category("toothbrush", "toothbrush"),
    _category("hair dryer, hair drier, hairdryer, blow dryer", "hair drier", "", "hand blower"),
    _category("chair, armchair, office chair, dining chair, rocking chair, folding chair", "chair", "Chair",
             "folding chair, rocking chair, barber chair, throne"),
    _category("couch, sofa, settee, studio couch", "couch", "", "studio couch"),
    _category("bench, park bench", "bench", "", "park bench"),
    _category("bed, four poster", "bed", "", "four-poster"),
    _category("table, dining table, kitchen table", "dining table", "Table", "dining table"),
    _category("desk, writing desk", "", "Desk", "desk"),
    _category("bookcase, bookshelf", "", "", "bookcase"),
    _category("lamp, table lamp, lampshade, lamp shade, desk lamp", "", "", "table lamp, lampshade"),
    _category("pillow, cushion", "", "", "pillow"),
    _category("potted plant, house plant, houseplant, plant pot, flower pot", "potted plant", "", "pot"),
    _category("toilet", "toilet"),
    _category("sink, wash basin", "sink"),
    _category("laptop, laptop computer, notebook computer, macbook", "laptop", "Laptop", "laptop, notebook"),
    _category("monitor, computer monitor, computer screen", "", "Computer monitor", "monitor, screen"),
    _category("television, tv, tv set, television set", "tv", "", "television, screen"),
    _category("computer mouse, mouse", "mouse", "Computer mouse", "mouse"),
    _category("keyboard, computer keyboard", "keyboard", "", "computer keyboard"),
    _category("remote control, remote", "remote", "", "remote control"),
    _category("cell phone, cellphone, mobile phone, smartphone, smart phone, phone, mobile, iphone, cellular telephone",
             "cell phone", "", "cellular telephone, iPod, hand-held computer"),
    _category("camera, digital camera, reflex camera, dslr, photo camera, polaroid camera", "", "Camera",
             "reflex camera, Polaroid camera, lens cap"),
    _category("loudspeaker, speaker", "", "", "loudspeaker"),
    _category("microphone, mic", "", "", "microphone"),
    _category("microwave, microwave oven", "microwave", "", "microwave"),
    _category("oven", "oven"),
    _category("toaster", "toaster", "", "toaster"),
    _category("refrigerator, fridge", "refrigerator", "", "refrigerator"),
    _category("washing machine, washer", "", "", "washer"),
    _category("vacuum cleaner, hoover, vacuum", "", "", "vacuum"),
    _category("iron, clothes iron, steam iron", "", "", "iron"),
    _category("fan, electric fan", "", "", "electric fan"),
    _category("pen, fountain pen, ballpoint pen, ballpoint", "", "", "fountain pen, ballpoint"),
    _category("book", "book", "Book", "book jacket"),
    _category("box, cardboard box, carton", "", "Box"),
    _category("guitar, acoustic guitar, electric guitar", "", "", "acoustic guitar, electric guitar"),
    _category("violin, fiddle", "", "", "violin"),
    _category("piano, grand piano", "", "", "grand piano, upright"),
    _category("drum", "", "", "drum"),
    _category("saxophone, sax", "", "", "sax"),
    _category("teddy bear, teddy, stuffed bear", "teddy bear", "", "teddy"),
    _category("ball, sports ball, soccer ball, football, basketball, tennis ball", "sports ball", "",
             "soccer ball, basketball, tennis ball"),
    _category("tennis racket, racket, racquet", "tennis racket", "", "racket"),
    _category("skateboard", "skateboard"),
    _category("surfboard", "surfboard"),
    _category("snowboard", "snowboard"),
    _category("ski, pair of skis", "skis"),
    _category("baseball bat", "baseball bat"),
    _category("baseball glove", "baseball glove"),
    _category("frisbee", "frisbee"),
    _category("kite", "kite"),
    _category("banana", "banana"),
    _category("apple", "apple"),
    _category("orange", "orange"),
    _category("sandwich", "sandwich"),
    _category("broccoli", "broccoli"),
    _category("carrot", "carrot"),
    _category("hot dog", "hot dog"),
    _category("pizza", "pizza"),
    _category("donut, doughnut", "donut"),
    _category("cake", "cake"),
)  # fmt: skip

_LIVING = frozenset({"person", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe"})
_LIVING_OPENIMAGES = frozenset({"Person", "Cattle", "Cat", "Dog"})

PRODUCT_COLUMNS = (
    tuple(column for name, column in COCO.items() if name not in _LIVING),
    tuple(column for name, column in OPENIMAGES.items() if name not in _LIVING_OPENIMAGES),
)
"""Output columns of the two detectors (COCO, OpenImages) whose boxes may hold a product."""
