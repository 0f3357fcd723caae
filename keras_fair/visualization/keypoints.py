"""Draw the keypoints of one object, joined to a skeleton if they are COCO's.

P keypoints.
"""

import numpy as np
from PIL import ImageDraw

from keras_fair.visualization import colors

# A softmax over thousands of cells is small; Detectron2 starts here, too.
SCORE_THRESHOLD = 0.05
DOT_RADIUS = 2  # line widths
# Which of COCO's 17 keypoints are joined: legs, trunk, arms, head.
SKELETON = (
    *((15, 13), (13, 11), (16, 14), (14, 12)),
    *((11, 12), (5, 11), (6, 12), (5, 6)),
    *((5, 7), (7, 9), (6, 8), (8, 10)),
    *((0, 1), (0, 2), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6)),
)
SKELETON_SIZE = 17


def draw_keypoints(picture, keypoints, color: tuple, width: int) -> None:
    """Draw dots, each keypoint in a colour of its own, over the limbs.

    Args:
        picture: RGB Pillow image, drawn on.
        keypoints: float [P, 3], x, y in pixels and the visibility (0 is not
            labelled, and not drawn) or the score.
        color: RGB of the limbs. Only COCO's 17 keypoints have any.
        width: of the limbs, pixels.
    """
    draw = ImageDraw.Draw(picture)
    # Pillow's (0, 0) is the middle of the first pixel.
    places = np.asarray(keypoints, "float64")[:, :2] - 0.5
    is_drawn = np.asarray(keypoints)[:, 2] > SCORE_THRESHOLD
    if len(places) == SKELETON_SIZE:
        for limb in SKELETON:
            if is_drawn[list(limb)].all():
                ends = places[list(limb)].ravel().tolist()
                draw.line(ends, fill=color, width=width)
    radius = DOT_RADIUS * width
    for index in np.flatnonzero(is_drawn).tolist():
        corners = [*(places[index] - radius), *(places[index] + radius)]
        draw.ellipse(corners, fill=colors.class_color(index))
