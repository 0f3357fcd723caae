"""Draws boxes, labels, scores, masks and keypoints on images, with Pillow."""

from keras_fair.visualization.colors import class_color
from keras_fair.visualization.detections import draw_detections
from keras_fair.visualization.pictures import draw_grid, save_image

__all__ = ["class_color", "draw_detections", "draw_grid", "save_image"]
