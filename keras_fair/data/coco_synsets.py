"""The WordNet synset of each of COCO's 80 classes in Visual Genome.

Visual Genome's files were not at hand. Where its annotators use another word
than COCO, the synset is the one that seg_every_thing found in them; where it
is the same word, the most frequent of its senses in the files is taken.
Reading them logs the synsets that no object has.
"""

from collections.abc import Mapping

# In COCO's order; of the same word, the sense where the files have none.
SYNSETS = {
    "person": "person.n.01",
    "bicycle": "bicycle.n.01",
    "car": "car.n.01",
    "motorcycle": "motorcycle.n.01",
    "airplane": "airplane.n.01",
    "bus": "bus.n.01",
    "train": "train.n.01",
    "truck": "truck.n.01",
    "boat": "boat.n.01",
    "traffic light": "traffic_light.n.01",
    "fire hydrant": "water_faucet.n.01",
    "stop sign": "sign.n.02",
    "parking meter": "parking_meter.n.01",
    "bench": "bench.n.01",
    "bird": "bird.n.01",
    "cat": "cat.n.01",
    "dog": "dog.n.01",
    "horse": "horse.n.01",
    "sheep": "sheep.n.01",
    "cow": "cow.n.01",
    "elephant": "elephant.n.01",
    "bear": "bear.n.01",
    "zebra": "zebra.n.01",
    "giraffe": "giraffe.n.01",
    "backpack": "backpack.n.01",
    "umbrella": "umbrella.n.01",
    "handbag": "bag.n.04",
    "tie": "necktie.n.01",
    "suitcase": "bag.n.06",
    "frisbee": "frisbee.n.01",
    "skis": "ski.n.01",
    "snowboard": "snowboard.n.01",
    "sports ball": "ball.n.01",
    "kite": "kite.n.03",
    "baseball bat": "baseball_bat.n.01",
    "baseball glove": "baseball_glove.n.01",
    "skateboard": "skateboard.n.01",
    "surfboard": "surfboard.n.01",
    "tennis racket": "tennis_racket.n.01",
    "bottle": "bottle.n.01",
    "wine glass": "wineglass.n.01",
    "cup": "cup.n.01",
    "fork": "fork.n.01",
    "knife": "knife.n.01",
    "spoon": "spoon.n.01",
    "bowl": "bowl.n.01",
    "banana": "banana.n.02",  # n.01 is the plant
    "apple": "apple.n.01",
    "sandwich": "sandwich.n.01",
    "orange": "orange.n.01",
    "broccoli": "broccoli.n.02",  # n.01 is the plant
    "carrot": "carrot.n.01",
    "hot dog": "hotdog.n.01",
    "pizza": "pizza.n.01",
    "donut": "doughnut.n.02",
    "cake": "cake.n.03",
    "chair": "chair.n.01",
    "couch": "sofa.n.01",
    "potted plant": "plant.n.01",
    "bed": "bed.n.01",
    "dining table": "dinner_table.n.01",
    "toilet": "toilet.n.02",  # n.01 is the room
    "tv": "television.n.01",
    "laptop": "laptop.n.01",
    "mouse": "mouse.n.04",
    "remote": "remote_control.n.01",
    "keyboard": "computer_keyboard.n.01",
    "cell phone": "cellular_telephone.n.01",
    "microwave": "microwave.n.02",  # n.01 is the wave
    "oven": "oven.n.01",
    "toaster": "toaster.n.02",  # n.01 is a person
    "sink": "sink.n.01",
    "refrigerator": "refrigerator.n.01",
    "book": "book.n.01",
    "clock": "clock.n.01",
    "vase": "vase.n.01",
    "scissors": "scissors.n.01",
    "teddy bear": "teddy.n.01",
    "hair drier": "hand_blower.n.01",
    "toothbrush": "toothbrush.n.01",
}
SURE = ("orange",)  # the fruit, however often the colour is annotated


def choose(counts: Mapping[str, int]) -> dict[str, str]:
    """Return the name of COCO's class by synset, in COCO's order.

    Args:
        counts: the objects of each synset.
    """
    most = {}  # of each word, the most frequent synset
    for synset in sorted(counts, key=lambda each: (-counts[each], each)):
        most.setdefault(_word(synset), synset)
    return {
        synset
        if name in SURE or _word(synset) != name
        else most.get(name, synset): name
        for name, synset in SYNSETS.items()
    }


def _word(synset: str) -> str:
    return synset.rsplit(".", 2)[0].replace("_", " ")
