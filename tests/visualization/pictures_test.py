import numpy as np
import pytest
from PIL import Image

from keras_fair import visualization
from keras_fair.visualization import pictures
from tests.visualization.drawn import grey, pixels


def test_a_grid_centres_images_in_cells_row_by_row():
    images = [np.full((20, 30, 3), 10, "uint8"), grey(10, 10), grey(20, 30)]
    gap = pictures.GAP
    sheet = visualization.draw_grid(images, columns=2)
    assert sheet.size == (2 * 30 + 3 * gap, 2 * 20 + 3 * gap)
    picture = pixels(sheet)
    assert (picture[gap : gap + 20, gap : gap + 30] == 10).all()
    left, top = 2 * gap + 30 + 10, gap + 5
    assert (picture[top : top + 10, left : left + 10] == 128).all()
    assert (picture[top, left - 1] == 255).all()
    assert (picture[2 * gap + 20, gap : gap + 30] == 128).all()


def test_a_grid_is_no_wider_than_its_images():
    sheet = visualization.draw_grid([grey(10, 10)], columns=5)
    assert sheet.size == (10 + 2 * pictures.GAP,) * 2


@pytest.mark.parametrize("images, columns", [([], 2), ([grey()], 0)])
def test_a_grid_of_nothing_is_refused(images, columns):
    with pytest.raises(ValueError, match="at least one image and one column"):
        visualization.draw_grid(images, columns)


@pytest.mark.parametrize("name", ["picture.png", "picture.JPG"])
def test_save_writes_one_readable_file(name, tmp_path):
    visualization.save_image(grey(), tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with Image.open(tmp_path / name) as picture:
        # JPEG keeps a constant grey to within a step.
        np.testing.assert_allclose(pixels(picture), 128, atol=1)


@pytest.mark.parametrize("name", ["picture", "picture.txt"])
def test_save_refuses_an_unknown_suffix(name, tmp_path):
    with pytest.raises(ValueError, match="ends in .png, .jpg"):
        visualization.save_image(grey(), tmp_path / name)


def test_a_failed_save_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "picture.png"
    visualization.save_image(grey(), path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="Expected one RGB"):
        visualization.save_image(np.zeros((4, 4), "uint8"), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["picture.png"]
