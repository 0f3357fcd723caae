"""Every fault that the doctor knows: its code, its weight, what to do.

An error is what training refuses or skips, or what surely spoils it. A
warning is probably a mistake. A note is worth knowing.
"""

ERROR, WARNING, NOTE = "error", "warning", "note"
SEVERITIES = (ERROR, WARNING, NOTE)

# By code; the order is that of a report.
FAULTS = {
    # The file.
    "json-missing": (ERROR, "There is no such annotation file."),
    "json-empty": (ERROR, "The annotation file is empty. Write it again."),
    "json-encoding": (
        ERROR,
        "The annotation file is not plain UTF-8, which JSON has to be. Save "
        "it so, without a byte order mark.",
    ),
    "json-truncated": (
        ERROR,
        "The annotation file ends too early. Download or write it again.",
    ),
    "json-syntax": (ERROR, "The annotation file is not JSON."),
    "json-depth": (ERROR, "The annotation file nests too deeply to be read."),
    "json-key-twice": (
        WARNING,
        "A record has a key twice; the last one counts.",
    ),
    "not-coco": (
        ERROR,
        "The file is not of COCO's instances format: a dict with the lists "
        '"images", "annotations" and "categories".',
    ),
    "record-type": (ERROR, "An entry of a list is no dict."),
    "empty-data": (ERROR, "A list that training needs is empty."),
    "id-text": (
        NOTE,
        "Ids that are strings: training numbers them, and so do its results.",
    ),
    "source-refused": (ERROR, "Training cannot read this data set at all."),
    # Pascal VOC's files.
    "list-broken": (ERROR, "A list of images is missing, or no UTF-8 text."),
    "xml-missing": (ERROR, "An image of a list has no XML in Annotations."),
    "xml-broken": (ERROR, "A file in Annotations is not plain XML."),
    "xml-box": (
        ERROR,
        "An object needs a bndbox with numbers as xmin, ymin, xmax and ymax.",
    ),
    "png-broken": (
        ERROR,
        "A PNG in SegmentationObject is no readable image of object numbers.",
    ),
    "png-size": (ERROR, "The PNG has another size than the XML says."),
    "png-unknown-object": (
        ERROR,
        "The PNG shows an object of a number that the XML does not have.",
    ),
    "png-without-object": (
        WARNING,
        "The PNG shows fewer objects than the XML has: are its numbers those "
        "of the XML's order?",
    ),
    # Categories.
    "category-id": (ERROR, "A category needs an integer id."),
    "category-twice": (ERROR, "Two categories have the same id."),
    "category-name": (ERROR, "A category needs a name."),
    "category-name-twice": (
        WARNING,
        "Two categories have the same name: they become two classes.",
    ),
    "category-keypoints": (
        ERROR,
        'The "keypoints" of a category are not a list of names.',
    ),
    "category-ids-dense": (
        WARNING,
        "These are COCO's classes, but not with COCO's ids, which have gaps "
        "(1 to 90): results will not fit COCO's own annotations.",
    ),
    "category-shift": (
        ERROR,
        "The annotations count categories from another number than the list "
        "of categories does: every label may be that of the next class.",
    ),
    "category-unused": (NOTE, "No object is of these categories."),
    # Images.
    "image-id": (ERROR, "An image needs an integer id of at most 63 bits."),
    "image-twice": (ERROR, "Two images have the same id."),
    "image-name": (ERROR, "An image needs a file_name."),
    "image-file-twice": (
        WARNING,
        "Two images name the same file: their objects should be united.",
    ),
    "image-path": (
        WARNING,
        "The file_name is a path of another place or system; on another "
        "machine the file may not be found.",
    ),
    "image-size": (
        ERROR,
        "The height and width of an image must be integers above 0, of fewer "
        "than 2^31 pixels in all.",
    ),
    "image-folder": (ERROR, "There is no such folder of images."),
    "image-missing": (ERROR, "The file of an image does not exist."),
    "image-corrupt": (
        ERROR,
        "The file of an image is empty, cut off, no image, or cannot be read.",
    ),
    "image-format": (
        ERROR,
        "Training reads JPEG, PNG, BMP, GIF and WebP alone. Convert the file.",
    ),
    "image-size-wrong": (
        ERROR,
        "The file has another size than its annotations say.",
    ),
    "image-size-turned": (
        ERROR,
        "Height and width are those after the EXIF rotation, which training "
        "does not apply. Rotate the files, or annotate what is stored.",
    ),
    "image-exif": (
        WARNING,
        "The file has an EXIF rotation, which training does not apply; was "
        "it applied in the tool that annotated it?",
    ),
    "image-16-bit": (
        WARNING,
        "Of 16 bits training sees the upper 8. Stretch the values first.",
    ),
    "image-same": (
        WARNING,
        "Two files have the same content. Are they in two splits, too?",
    ),
    "image-unlisted": (NOTE, "Image files of the folder are in no record."),
    "image-without-objects": (
        NOTE,
        "Images without objects: training leaves them out unless "
        "data.keep_empty is set.",
    ),
    # Annotations.
    "annotation-id": (ERROR, "An annotation needs an integer id."),
    "annotation-twice": (ERROR, "Two annotations have the same id."),
    "annotation-image": (ERROR, "The image of an annotation does not exist."),
    "annotation-category": (
        ERROR,
        "The category of an annotation does not exist.",
    ),
    "annotation-copy": (
        WARNING,
        "Two annotations have the same image, category and box.",
    ),
    "box-two-classes": (
        WARNING,
        "Two annotations have the same box and different categories.",
    ),
    "area-value": (
        WARNING,
        "The area of an annotation is no number above 0: that of the box "
        "takes its place.",
    ),
    "area-missing": (
        NOTE,
        "Annotations without area: that of the box takes its place.",
    ),
    "crowd-value": (ERROR, "The iscrowd of an annotation must be 0 or 1."),
    "crowd-missing": (NOTE, "Annotations without iscrowd count as 0."),
    "crowd-polygon": (
        WARNING,
        "A crowd region with polygons; COCO's have run-length masks. Crowds "
        "are not trained on.",
    ),
    # Boxes.
    "box-type": (ERROR, "A bbox must be 4 numbers: x, y, width, height."),
    "box-not-finite": (ERROR, "A bbox has NaN or infinity."),
    "box-inverted": (ERROR, "The width or height of a bbox is negative."),
    "box-empty": (ERROR, "A bbox has no area inside its image."),
    "box-outside": (
        ERROR,
        "A bbox reaches more than 2 pixels out of its image.",
    ),
    "box-clipped": (
        NOTE,
        "Boxes up to 2 pixels out of their images; training clips them.",
    ),
    "box-thin": (WARNING, "A box is thinner than a pixel."),
    "boxes-corners": (
        ERROR,
        "The boxes look like (x1, y1, x2, y2). COCO's are (x, y, width, "
        "height): subtract.",
    ),
    "boxes-centred": (
        ERROR,
        "The boxes look like (centre x, centre y, width, height), YOLO's "
        "order. COCO's begin with the left top corner.",
    ),
    "boxes-transposed": (
        ERROR,
        "The boxes look like (y, x, height, width). COCO's are (x, y, width, "
        "height).",
    ),
    "boxes-normalised": (
        ERROR,
        "The boxes look like fractions of the image. COCO's are pixels: "
        "multiply.",
    ),
    # Masks.
    "mask-type": (ERROR, "A segmentation is neither polygons nor run-lengths."),
    "mask-flat": (
        ERROR,
        "A segmentation is one flat list of numbers; it must be a list of "
        "polygons: [[x, y, x, y, ...]].",
    ),
    "polygon-type": (ERROR, "A polygon must be a flat list of numbers."),
    "polygon-odd": (ERROR, "A polygon has an odd number of coordinates."),
    "polygon-short": (ERROR, "A polygon has fewer than three points."),
    "polygon-not-finite": (ERROR, "A polygon has NaN or infinity."),
    "polygon-far": (
        ERROR,
        "A polygon has coordinates beyond a million pixels.",
    ),
    "polygon-outside": (
        WARNING,
        "A polygon reaches more than 2 pixels out of its image; what is "
        "outside is cut off.",
    ),
    "rle-size": (
        ERROR,
        "The size of a run-length mask is not the image's (height, width).",
    ),
    "rle-counts": (
        ERROR,
        "The counts of a run-length mask are neither a list of integers from "
        "0 on nor a string of COCO's compression.",
    ),
    "rle-sum": (
        ERROR,
        "The counts of a run-length mask do not sum to height x width.",
    ),
    "mask-empty": (
        WARNING,
        "A mask covers no pixel; its object trains the box alone.",
    ),
    "box-off-mask": (
        WARNING,
        "A box is not the one around its mask (IoU below 0.8).",
    ),
    "mask-missing": (
        NOTE,
        "Some objects have masks and these have none: they train the box "
        "alone.",
    ),
    # Keypoints.
    "keypoints-type": (ERROR, "Keypoints must be a list of finite numbers."),
    "keypoints-length": (
        ERROR,
        "Keypoints must be 3 numbers (x, y, visibility) for each name that "
        "the categories give.",
    ),
    "keypoints-unnamed": (
        ERROR,
        "Annotations have keypoints, but no category gives their names.",
    ),
    "keypoints-visibility": (ERROR, "A visibility must be 0, 1 or 2."),
    "keypoints-outside": (
        ERROR,
        "A labelled keypoint is more than 2 pixels out of its image.",
    ),
    "keypoints-count": (
        WARNING,
        "The num_keypoints of an annotation is not how many have a label.",
    ),
    # A config.
    "config-classes": (
        ERROR,
        "The config has another number of classes than the data set.",
    ),
    "config-canvas": (ERROR, "An image fits none of the config's canvases."),
    "config-objects": (
        ERROR,
        "An image has more objects than data.max_objects.",
    ),
    "config-masks": (
        ERROR,
        "The config trains masks (data.with_masks), and there are none.",
    ),
    "anchor-missed": (
        NOTE,
        "No anchor has half of a box in common with these (IoU below 0.5). "
        "Such an object trains its best anchor alone: see data.short_sides "
        "and the anchor_sizes.",
    ),
    # Whatever else training refuses; the detail says what.
    "refused": (ERROR, "Training refuses this record."),
}
