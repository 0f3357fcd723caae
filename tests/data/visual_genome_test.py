import json

import numpy as np
import pytest
from PIL import Image

from keras_fair.data import coco_synsets, visual_genome
from tests import shared

HEIGHT, WIDTH = 40, 60


def thing(number, synsets, box=(10, 5, 20, 10)):
    x, y, width, height = box
    return {
        "object_id": number,
        "synsets": synsets,
        "names": ["anything"],
        "x": x,
        "y": y,
        "w": width,
        "h": height,
    }


class Folder:
    """Five images; COCO has those of 3, 4 and 5, its val that of 4."""

    def __init__(self, folder):
        self.folder = folder
        for name in ("VG_100K", "VG_100K_2"):
            (folder / "images" / name).mkdir(parents=True)
        self.images = []
        for number, coco_id in enumerate((None, None, 30, 40, 50), start=1):
            part = "VG_100K" if number % 2 else "VG_100K_2"
            image = Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), "uint8"))
            image.save(folder / "images" / part / f"{number}.jpg")
            self.images.append(
                {
                    "image_id": number,
                    "coco_id": coco_id,
                    "url": f"https://example.org/rak248/{part}/{number}.jpg",
                    "height": HEIGHT,
                    "width": WIDTH,
                }
            )
        self.objects = [
            {
                "image_id": 1,
                "objects": [
                    thing(101, ["tree.n.01"]),
                    thing(102, ["sofa.n.01"]),
                    thing(103, None),
                    thing(104, ["man.n.01", "wall.n.01"]),
                ],
            },
            {
                "image_id": 4,
                "objects": [
                    thing(105, ["window.n.01"]),
                    thing(106, ["tree.n.01"]),
                    thing(107, ["wall.n.01"]),
                    thing(108, ["person.n.01"]),
                ],
            },
        ]

    def read(self, **options):
        for name, content in (
            ("objects", self.objects),
            ("image_data", self.images),
            ("val", self.val()),
        ):
            path = self.folder / f"{name}.json"
            path.write_text(json.dumps(content))
        return visual_genome.VisualGenomeDataset(
            str(self.folder), str(self.folder / "images"), **options
        )

    def read_split(self, split, **options):
        path = str(self.folder / "val.json")
        return self.read(split=split, coco_val=path, **options)

    def val(self):
        return {"images": [{"id": 40}], "annotations": [], "categories": []}


@pytest.fixture
def files(tmp_path):
    return Folder(tmp_path)


def test_coco_s_classes_come_first_and_then_the_most_frequent(files):
    dataset = files.read(num_classes=81)
    # Tree is in the picture twice, the others once: the alphabet decides,
    # and person and sofa are COCO's.
    assert dataset.class_names[80:] == ("tree.n.01",)
    assert dataset.class_names[:3] == ("person", "bicycle", "car")
    assert dataset.category_ids == tuple(range(1, 82))
    assert (dataset.num_without_synset, dataset.num_infrequent) == (2, 2)
    more = files.read()
    assert more.class_names[80:] == ("tree.n.01", "wall.n.01", "window.n.01")
    assert (more.num_without_synset, more.num_infrequent) == (2, 0)


def test_remote_files_give_the_same_records(files, to_memory):
    local = files.read(num_classes=81)
    local_annotations = local.to_coco().anns
    folder = to_memory(files.folder)
    remote = visual_genome.VisualGenomeDataset(
        folder, f"{folder}/images", num_classes=81
    )
    assert remote.to_coco().anns == local_annotations
    assert [record.path for record in remote.records] == [
        f"ram://{record.path}" for record in local.records
    ]


def test_the_map_has_a_synset_for_each_of_coco_s_classes():
    path = shared.coco_tiny() / "annotations/instances_val2017.json"
    categories = json.loads(path.read_text())["categories"]
    names = list(coco_synsets.SYNSETS)
    assert names == [category["name"] for category in categories]
    assert list(coco_synsets.choose({}).values()) == names  # none twice


def test_of_a_word_s_senses_the_most_frequent_is_coco_s():
    counts = {
        "cow.n.01": 3,
        "cow.n.02": 7,
        "orange.n.02": 9,  # the colour
        "hydrant.n.01": 5,
        "tv.n.01": 5,
    }
    names = coco_synsets.choose(counts)
    synsets = {name: synset for synset, name in names.items()}
    assert synsets["cow"] == "cow.n.02"
    assert synsets["orange"] == "orange.n.01"
    # As seg_every_thing found them in the files.
    assert synsets["fire hydrant"] == "water_faucet.n.01"
    assert synsets["tv"] == "television.n.01"
    assert synsets["banana"] == "banana.n.02"  # of no object here


def test_synsets_of_coco_that_never_occur_are_logged(files, caplog):
    with caplog.at_level("WARNING", logger="absl"):
        files.read()
    (message,) = caplog.messages
    assert "no object of COCO's bicycle.n.01, car.n.01" in message
    assert "sofa" not in message and "person" not in message


def test_record_holds_what_the_files_say(files):
    record = files.read(with_masks=True).records[0]
    assert record.path.endswith("images/VG_100K/1.jpg")
    assert (record.image_id, record.height, record.width) == (1, 40, 60)
    np.testing.assert_array_equal(record.boxes, [[10, 5, 30, 15]] * 2)
    np.testing.assert_array_equal(record.labels, [80, 57])  # tree, couch
    assert record.masks == (None, None)


def test_images_may_lie_in_one_folder(files):
    folder = files.folder / "images"
    for path in folder.glob("*/*.jpg"):
        path.rename(folder / path.name)
    assert files.read().records[1].path == str(folder / "2.jpg")


@pytest.mark.parametrize(
    "split, expected", [("val", [4]), ("test", [2]), ("train", [1, 3, 5])]
)
def test_split_keeps_coco_s_validation_apart(
    files, monkeypatch, split, expected
):
    monkeypatch.setattr(visual_genome, "NUM_TEST_IMAGES", 1)
    dataset = files.read_split(split)
    assert [record.image_id for record in dataset.records] == expected
    # Classes are those of all images.
    assert dataset.class_names == files.read().class_names


def test_evaluator_gets_the_split_s_objects(files):
    truth = files.read_split("val").to_coco()
    assert sorted(truth.anns) == [105, 106, 107, 108]


@pytest.mark.parametrize(
    "box, expected",
    [
        ((-9, -9, 20, 20), [0, 0, 11, 11]),
        ((50, 30, 900, 900), [50, 30, 60, 40]),
    ],
)
def test_box_that_sticks_out_is_clipped(files, box, expected):
    files.objects[0]["objects"] = [thing(1, ["tree.n.01"], box)]
    np.testing.assert_array_equal(files.read().records[0].boxes, [expected])


@pytest.mark.parametrize(
    "box, message",
    [
        ((70, 5, 9, 9), "no area"),
        ((10, 5, 0, 9), "no area"),
        ((10, 5, -3, 9), "above 0"),
        ((10, 5, None, 9), "4 numbers"),
    ],
)
def test_box_without_area_in_the_image_is_a_bad_record(files, box, message):
    files.objects[0]["objects"] = [thing(77, ["tree.n.01"], box)]
    with pytest.raises(ValueError, match=f"annotation 77: .*{message}"):
        files.read()
    dataset = files.read(on_bad_record="skip")
    assert dict(dataset.skipped) == {"annotation": 1}


def test_objects_of_an_unknown_image_are_a_bad_record(files):
    files.objects.append({"image_id": 9, "objects": []})
    with pytest.raises(ValueError, match="image 9: not in .*image_data.json"):
        files.read()


def test_as_many_classes_as_asked_for_whatever_is_frequent(files):
    # All of COCO's but person and sofa never occur.
    assert [len(files.read(num_classes=n).class_names) for n in (80, 82)] == [
        80,
        82,
    ]
    with pytest.raises(ValueError, match="at least 80.* Received: 79"):
        files.read(num_classes=79)


def test_a_split_needs_coco_s_images(files):
    with pytest.raises(FileNotFoundError, match="coco_val .*Received: ''"):
        files.read(split="train")


def test_an_unknown_split_is_refused(files):
    with pytest.raises(ValueError, match="Received: 'minival'"):
        files.read(split="minival")


@pytest.mark.parametrize("name", ["objects", "image_data"])
@pytest.mark.parametrize(
    "text, message",
    [
        ("[{", "not complete JSON"),
        ("{}", "Visual Genome.s list"),
        ('[{"id": 1}]', "Visual Genome.s list"),
    ],
)
def test_a_damaged_file_is_named(files, name, text, message):
    files.read()
    path = files.folder / f"{name}.json"
    path.write_text(text)
    folder = str(files.folder)
    with pytest.raises(ValueError, match=message) as caught:
        visual_genome.VisualGenomeDataset(folder, folder)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="image_data.json"):
        visual_genome.VisualGenomeDataset(str(tmp_path), str(tmp_path))
