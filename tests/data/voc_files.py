"""A small folder of Pascal VOC's shape, to be spoilt."""

import numpy as np
from PIL import Image

from keras_fair.data import voc

HEIGHT, WIDTH = 40, 60
OBJECT = """
  <object><name>{name}</name><difficult>{difficult}</difficult>
    <part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin>
      <xmax>2</xmax><ymax>2</ymax></bndbox></part>
    <bndbox><xmax>{xmax}</xmax><xmin>{xmin}</xmin><ymax>{ymax}</ymax>
      <ymin>{ymin}</ymin></bndbox>
  </object>"""


def voc_object(name, box, difficult=0):
    values = dict(zip(("xmin", "ymin", "xmax", "ymax"), box))
    return OBJECT.format(name=name, difficult=difficult, **values)


class Folder:
    """A VOC folder of three images, to be spoilt."""

    def __init__(self, folder):
        self.folder = folder
        for name in (
            "Annotations",
            "ImageSets/Main",
            "ImageSets/Segmentation",
            "JPEGImages",
            "SegmentationObject",
        ):
            (folder / name).mkdir(parents=True)
        self.add_image(
            "2007_000032",
            voc_object("sofa", (11, 6, 30, 15)),
            voc_object("dog", (1, 1, 60, 40), difficult=1),
            voc_object("tvmonitor", (20.5, 20, 60, 40)),
        )
        numbers = np.zeros((HEIGHT, WIDTH), "uint8")
        numbers[4:16, 9:31] = 255
        numbers[5:15, 10:30] = 1
        numbers[30:, 40:] = 2
        self.add_png("2007_000032", numbers)
        self.add_image("2007_000039", voc_object("aeroplane", (1, 1, 10, 10)))
        self.add_image("2007_000063")
        self.write_list("Main/train", "2007_000032", "2007_000039")
        self.write_list("Segmentation/val", "2007_000063  1")

    def add_image(self, name, *objects, head=""):
        text = (
            f"{head}<annotation><filename>{name}.jpg</filename>"
            f"<size><width>{WIDTH}</width><height>{HEIGHT}</height></size>"
            f"{''.join(objects)}</annotation>"
        )
        (self.folder / f"Annotations/{name}.xml").write_text(text)
        rng = np.random.default_rng(list(name.encode()))
        pixels = rng.integers(0, 256, (HEIGHT, WIDTH, 3), "uint8")
        path = self.folder / f"JPEGImages/{name}.jpg"
        Image.fromarray(pixels).save(path)

    def add_png(self, name, numbers):
        image = Image.fromarray(numbers, "P")
        # As VOC's: neighbouring indices have colours far apart.
        image.putpalette(np.arange(768) * 89 % 256)
        image.save(self.folder / f"SegmentationObject/{name}.png")

    def write_list(self, split, *lines):
        path = self.folder / f"ImageSets/{split}.txt"
        path.write_text("\n".join(lines) + "\n")

    def read(self, split="Main/train", **options):
        return voc.VocDataset(str(self.folder), split, **options)
