"""A file that is not the model is caught, and rounding is not."""

import json
import os
import pathlib
import shutil

import numpy as np
import pytest

from keras_fair.serving import comparison, litert, parity, saved_model
from tests.models import tiny

SIDE = 1000  # pixels: a box may differ by 0.1
SIZE = (64, 96)


def detections(*rows, size: int = 5) -> dict:
    """Return a batch of one: rows x1, score, label; boxes of 100 pixels."""
    count = len(rows)
    found = {
        "boxes": np.zeros([1, size, 4], "float32"),
        "scores": np.zeros([1, size], "float32"),
        "labels": np.full([1, size], -1, "int32"),
        "num_detections": np.int32([count]),
        "masks": np.zeros([1, size, 4, 4], "float32"),
        "keypoints": np.zeros([1, size, 3, 3], "float32"),
    }
    for row, (left, score, label) in enumerate(rows):
        found["boxes"][0, row] = left, 50, left + 100, 150
        found["scores"][0, row] = score
        found["labels"][0, row] = label
        found["masks"][0, row] = 0.5
        found["keypoints"][0, row] = left + 50, 100, 0.5
    return found


MODEL = detections((100, 0.9, 2), (400, 0.7, 0), (700, 0.4, 2))


def changed(name: str, difference: float) -> dict:
    """Return `MODEL` with all values of the first row further on."""
    found = {key: value.copy() for key, value in MODEL.items()}
    found[name][0, 0] += difference
    return found


def certify(
    found: dict,
    quantisation="float32",
    wanted=None,
    threshold=0.05,
):
    compared = comparison.compare(wanted or MODEL, found, SIDE, threshold)
    return parity.certificate([compared], quantisation)


def test_the_same_detections_differ_by_nothing():
    result = json.loads(json.dumps(certify(MODEL)))
    assert result["num_detections"] == [[3, 3]]
    assert result["num_rows"] == 3 and result["num_differing_rows"] == 0
    assert set(result["largest_differences"].values()) == {0.0}
    assert result["sure_objects"] == result["sure_objects_found"] == 2
    assert result["sure_objects_mean_iou"] == 1.0
    assert "tensorflow" in result["versions"]


@pytest.mark.parametrize(
    ("name", "small", "large"),
    [
        ("boxes", 0.05, 0.2),
        ("scores", 5e-4, 2e-3),
        ("masks", 5e-3, 2e-2),
        ("keypoints", 5, 20),
    ],
)
def test_each_output_has_its_tolerance(name, small, large):
    assert certify(changed(name, small))["largest_differences"][
        name
    ] == pytest.approx(small, rel=1e-2)
    with pytest.raises(
        RuntimeError, match=f"1 of 3 detections.*{name} {large}"
    ):
        certify(changed(name, large))


def test_a_row_of_another_label_is_missing_and_one_too_many():
    other = detections((100, 0.9, 1), (400, 0.7, 0), (700, 0.4, 2))
    with pytest.raises(RuntimeError, match="2 of 4 detections differ"):
        certify(other)


def test_nothing_found_is_no_parity():
    with pytest.raises(RuntimeError, match="3 of 3 detections differ"):
        certify(detections())
    with pytest.raises(RuntimeError, match="3 of 3 detections differ"):
        certify(MODEL, wanted=detections())


def test_rows_of_nearly_the_same_score_may_change_places():
    one = detections((100, 0.9, 2), (400, 0.9, 2))
    other = detections((400, 0.9001, 2), (100, 0.9, 2))
    assert certify(other, wanted=one)["num_differing_rows"] == 0


def test_boxes_upon_each_other_find_their_own_counterparts():
    one = detections((100, 0.9, 2), (101, 0.9, 2), (102, 0.9, 2))
    other = detections((102, 0.9, 2), (101, 0.9, 2), (100, 0.9, 2))
    result = certify(other, wanted=one)
    assert result["largest_differences"]["boxes"] == 0.0


def test_at_the_threshold_a_row_is_there_or_not():
    one = detections((100, 0.9, 2), (400, 0.0505, 2))
    other = detections((100, 0.9, 2))
    assert certify(other, wanted=one)["num_differing_rows"] == 0
    assert certify(one, wanted=other)["num_differing_rows"] == 0
    with pytest.raises(RuntimeError, match="1 of 2"):
        certify(other, wanted=one, threshold=0.01)


def test_at_the_end_of_a_full_list_a_row_is_there_or_not():
    one = detections((100, 0.9, 2), (400, 0.5002, 2), size=2)
    other = detections((100, 0.9, 2), (700, 0.5001, 2), size=2)
    assert certify(other, wanted=one)["num_differing_rows"] == 0
    sure = detections((700, 0.95, 2), (100, 0.9, 2), size=2)
    with pytest.raises(RuntimeError, match="1 of 3"):
        certify(sure, wanted=one)


def test_images_that_show_nothing_are_warned_of(caplog):
    assert certify(detections(), wanted=detections())["num_rows"] == 0
    assert "finds nothing in the images" in caplog.text
    unsure = detections((100, 0.4, 2))
    certify(unsure, wanted=unsure)
    assert len(caplog.messages) == 1
    certify(unsure, "int8", wanted=unsure)
    assert "finds nothing it is sure of" in caplog.text


def test_boxes_without_area_have_counterparts():
    flat = detections((100, 0.9, 2), (400, 0.7, 0))
    flat["boxes"][0, :2, 2] = flat["boxes"][0, :2, 0]
    result = certify(flat, wanted=flat)
    assert result["num_differing_rows"] == 0
    assert result["sure_objects_found"] == 2


def test_a_quantised_file_may_differ_but_not_lose_the_objects():
    moved = changed("boxes", 20.0)
    result = certify(moved, "int8")
    # 80 of 100 columns and rows in common.
    iou = 0.64 / (2 - 0.64)
    assert iou < comparison.SAME_IOU
    assert result["sure_objects_found"] == 1
    assert result["sure_objects_mean_iou"] == pytest.approx(0.5)
    assert result["num_differing_rows"] == 2
    with pytest.raises(RuntimeError, match="it finds 0 of 2 objects"):
        certify(detections((700, 0.4, 2)), "int8")


def test_what_is_no_detection_is_refused():
    with pytest.raises(ValueError, match="Expected finite boxes"):
        certify(changed("boxes", np.nan), "int8")
    without = {k: v for k, v in MODEL.items() if k != "masks"}
    with pytest.raises(ValueError, match="Expected the outputs.*'masks'"):
        certify(without)


def test_images_are_the_callers_or_drawn():
    (image,) = parity.chosen(())
    assert image.shape == (480, 640, 3) and image.std() > 30
    np.testing.assert_array_equal(image, parity.drawn_image())
    given = (np.full([1, 1, 3], n, np.uint8) for n in range(100))
    assert len(parity.chosen(given)) == parity.NUM_IMAGES


def images() -> list[np.ndarray]:
    return list(tiny.batch()[0]["images"])


def retinanet(seed: int = 0):
    """Return one whose untrained scores are not below its threshold."""
    return tiny.retinanet(seed, score_threshold=1e-3)


@pytest.fixture(scope="module")
def litert_file(tmp_path_factory) -> pathlib.Path:
    """The file of a RetinaNet, and its certificate beside it."""
    path = tmp_path_factory.mktemp("litert") / "a.tflite"
    litert.export_litert(retinanet(), str(path), SIZE, images=images())
    return path


def test_a_litert_file_has_its_certificate_beside_it(litert_file):
    path = litert_file.with_name("a.tflite.parity.json")
    result = json.loads(path.read_text())
    assert result["num_images"] == 2
    assert min(map(min, result["num_detections"])) > 3
    assert result["num_differing_rows"] == 0


def test_the_litert_file_of_other_weights_is_not_kept(
    litert_file, monkeypatch, tmp_path
):
    content = litert_file.read_bytes()
    monkeypatch.setattr(litert, "_convert", lambda *_: content)
    with pytest.raises(RuntimeError, match="detections differ.* was not kept"):
        litert.export_litert(
            retinanet(seed=1), str(tmp_path / "a"), SIZE, images=images()
        )
    assert not list(tmp_path.iterdir())


def test_a_saved_model_carries_its_certificate(exported):
    path = exported / "assets.extra" / saved_model.PARITY_NAME
    result = json.loads(path.read_text())
    assert result["num_rows"] > 0 and result["num_differing_rows"] == 0
    assert result["largest_differences"]["masks"] < 1e-3


def test_the_saved_model_of_other_weights_is_not_kept(
    exported, mask_rcnn, monkeypatch, tmp_path
):
    def write_other(model, signatures, folder):
        shutil.copytree(exported, folder, dirs_exist_ok=True)
        shutil.rmtree(os.path.join(folder, "assets.extra"))

    monkeypatch.setattr(saved_model, "write_graphs", write_other)
    folder, weights = tmp_path / "model", mask_rcnn.get_weights()
    mask_rcnn.set_weights([1.1 * values for values in weights])
    try:
        with pytest.raises(RuntimeError, match="detections differ.* not kept"):
            saved_model.export_saved_model(mask_rcnn, str(folder))
    finally:
        mask_rcnn.set_weights(weights)
    assert not list(folder.iterdir())
