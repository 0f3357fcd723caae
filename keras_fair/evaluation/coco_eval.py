"""COCO's average precision and recall, computed by pycocotools itself.

This module gathers detections, brings them to original-image pixels and
hands them to `pycocotools.cocoeval.COCOeval`; no number is computed here.
So its rules hold: crowd regions and objects outside the size range are
ignored, images without objects or without detections count, and of each
class in each image the 100 best-scored detections are looked at.

B images of a batch.
"""

import os
from collections.abc import Mapping, Sequence

from pycocotools import coco

from keras_fair import files
from keras_fair.evaluation import annotations, convert, pasting, scoring


class CocoEvaluator:
    """Gathers detections and scores them with pycocotools.

    Example:
        >>> evaluator = CocoEvaluator("instances_val2017.json")
        >>> for x, y in dataset:
        ...     evaluator.update(
        ...         model.predict_on_batch(x),
        ...         y["image_id"],
        ...         x["image_shape"],
        ...         y["original_shape"],
        ...     )
        >>> print(format_report(evaluator.summarize()))

    Attributes:
        category_ids: the category id of label 0, label 1 and so on.

    Args:
        ground_truth: a COCO-format dict with `images`, `annotations` and
            `categories`, or the path of a JSON file of it. Left unchanged.
        category_ids: the category id of each label. By default the file's
            ids in ascending order.
        keypoint_sigmas: how far each keypoint may be off, as a share of the
            object's size; none is COCO's 17 of a person.
        subsets: class names under a name of your choice, each reported as if
            the data set had no other classes.
        paste: how box-frame masks become pixels, one of pasting.RULES; a
            model's config says which.

    Raises:
        ValueError: ground truth, category ids or an unknown class, that
            cannot be evaluated, or an unknown rule.
    """

    def __init__(
        self,
        ground_truth: dict | str | os.PathLike,
        category_ids: Sequence[int] | None = None,
        keypoint_sigmas: Sequence[float] = (),
        subsets: Mapping[str, Sequence[str]] | None = None,
        paste: str = "sampled",
    ):
        pasting.check(paste)
        self._truth = annotations.load(ground_truth)
        known = sorted(self._truth.cats)
        ids = known if category_ids is None else [int(c) for c in category_ids]
        if len(set(ids)) < len(ids) or not set(ids) <= set(known):
            raise ValueError(
                "Expected category_ids to name categories of the ground "
                f"truth once each. Received: {ids}. The categories are: "
                f"{known}."
            )
        self.category_ids = tuple(ids)
        self.keypoint_sigmas = tuple(keypoint_sigmas) or scoring.COCO_SIGMAS
        self._class_ids = {c["name"]: i for i, c in self._truth.cats.items()}
        self._subsets = {  # name -> category ids
            name: _chosen(name, classes, self._class_ids)
            for name, classes in (subsets or {}).items()
        }
        self._paste = paste
        self._images = {}  # image id -> convert.ImageDetections

    @property
    def image_ids(self) -> tuple[int, ...]:
        """Ids of the images evaluated so far, ascending."""
        return tuple(sorted(self._images))

    @property
    def iou_types(self) -> tuple[str, ...]:
        """What can be summarized: "bbox"; "segm" and "keypoints" if given."""
        found = next(iter(self._images.values()), None)
        has_masks = found is not None and found.rles is not None
        has_keypoints = found is not None and found.keypoints is not None
        given = {"bbox": True, "segm": has_masks, "keypoints": has_keypoints}
        return tuple(name for name in convert.RESULT_KEYS if given[name])

    def update(
        self, detections, image_id, image_shape, original_shape, rles=None
    ) -> None:
        """Add the detections of one batch; all of it or, on error, none.

        Args:
            detections: NumPy-convertible dict in network-input pixels, see
                contract.py.
            image_id: int [B], ids of the ground truth, each only once.
            image_shape: int [B, 2], height and width of the valid part of
                the network input.
            original_shape: int [B, 2], height and width in the ground truth.
            rles: B lists of `num_detections` masks, each a compressed RLE
                dict of pycocotools in original-image size. None pastes the
                detections' own `masks`, if they have any.

        Raises:
            ValueError: a batch that breaks the contract, an image id that is
                unknown or was added before, or unfit masks.
        """
        batch = convert.check_batch(
            detections, image_id, image_shape, original_shape
        )
        self._check_sizes(batch)
        found = convert.split(batch, self.category_ids, rles, self._paste)
        self._add(list(zip(batch.image_ids, found, strict=True)))

    def merge(self, other: "CocoEvaluator") -> None:
        """Add what another evaluator gathered on other images.

        An evaluator can be pickled, so shards may come from other processes.

        Raises:
            ValueError: an image that both hold or that is unknown here, other
                category ids, or masks in only one of the two.
        """
        if self.category_ids != other.category_ids:
            raise ValueError(
                "Expected evaluators with the same category_ids. Received: "
                f"{other.category_ids}. Here: {self.category_ids}."
            )
        self._add(list(other._images.items()))

    def results(self, iou_type: str = "bbox") -> list[dict]:
        """Return the detections as COCO's result records, by image id.

        Args:
            iou_type: "bbox" for records with `bbox` (x, y, width, height),
                "segm" for records with `segmentation`, "keypoints" for those
                with `keypoints` (x, y, score of each). The latter two have no
                `bbox`: pycocotools would take the object's size from it.
        """
        self._check_type(iou_type)
        return [
            record
            for image_id in self.image_ids
            for record in convert.records(
                self._images[image_id], image_id, iou_type
            )
        ]

    def save(self, path: str | os.PathLike, iou_type: str = "bbox") -> None:
        """Write `results` as JSON, atomically."""
        files.write_json(path, self.results(iou_type))

    def summarize(self, iou_type: str = "bbox", partial: bool = False) -> dict:
        """Score everything gathered so far.

        Args:
            iou_type: "bbox"; "segm" or "keypoints" where those were given.
                An object of the ground truth without a mask is ignored in
                "segm": what is found in its box counts neither way.
            partial: score only the images added so far. By default an image
                of the ground truth that was not added is an error.

        Returns:
            `scoring.METRICS` (or KEYPOINT_METRICS) as floats from 0 to 1,
            NaN where the ground truth has no such object (pycocotools says
            -1), and
            `per_class`: {class name: AP}; NaN is no part of the mean.
            `subsets`: {name: these metrics}.
            `iou_type` and `num_images`: what was scored.
            `num_without_mask`: objects that "segm" ignored.

        Raises:
            ValueError: missing images, or nothing of that type.
        """
        truth, num_without_mask = self._truth_of(iou_type, partial)
        ids = self._class_ids
        scored = scoring.score(
            truth,
            self.results(iou_type),
            self.image_ids,
            iou_type,
            self.keypoint_sigmas,
        )
        per_class = {k: scoring.metrics(scored, [ids[k]])["AP"] for k in ids}
        return {
            **scoring.metrics(scored, list(ids.values())),
            "per_class": per_class,
            "subsets": {
                name: scoring.metrics(scored, classes)
                for name, classes in self._subsets.items()
            },
            "iou_type": iou_type,
            "num_images": len(self._images),
            "num_without_mask": num_without_mask,
        }

    def _truth_of(self, iou_type: str, partial: bool) -> tuple[coco.COCO, int]:
        """Check that this can be scored; return what to score against.

        Returns:
            The ground truth, and how many of its objects "segm" ignores.
        """
        self._check_type(iou_type)
        self._check_complete(partial)
        if iou_type == "segm":
            return annotations.ignore_without_mask(self._truth, self.image_ids)
        if iou_type == "keypoints":
            annotations.check_keypoints(
                self._truth, self.image_ids, len(self.keypoint_sigmas)
            )
        return self._truth, 0

    def _add(self, added: list) -> None:
        seen = set(self._images)
        for image_id, _ in added:
            if image_id not in self._truth.imgs:
                raise ValueError(
                    f"Image id {image_id} is not in the ground truth, which "
                    f"has {len(self._truth.imgs)} images."
                )
            if image_id in seen:
                raise ValueError(
                    f"Image id {image_id} was added twice. Add every image "
                    "once; start a new evaluator for a new evaluation."
                )
            seen.add(image_id)
        together = {**self._images, **dict(added)}
        given = {
            (d.rles is None, d.keypoints is None) for d in together.values()
        }
        if len(given) > 1:
            raise ValueError(
                "Expected rles for every image or for none, and so keypoints, "
                'to know whether to score "segm" or "keypoints". Give empty '
                "lists where nothing was found."
            )
        self._images = together

    def _check_sizes(self, batch: convert.Batch) -> None:
        shapes = batch.original_shape.tolist()
        for image_id, shape in zip(batch.image_ids, shapes, strict=True):
            image = self._truth.imgs.get(image_id, {})
            recorded = [image.get("height"), image.get("width")]
            if None not in recorded and recorded != shape:
                raise ValueError(
                    f"Expected original_shape {recorded} (height, width) of "
                    f"image id {image_id}, as the ground truth has it. "
                    f"Received: {shape}."
                )

    def _check_type(self, iou_type: str) -> None:
        if iou_type not in self.iou_types:
            raise ValueError(
                f"Expected iou_type one of {self.iou_types}. Received: "
                f'{iou_type!r}. ("segm" needs masks in every update, '
                '"keypoints" keypoints.)'
            )

    def _check_complete(self, partial: bool) -> None:
        missing = sorted(set(self._truth.imgs) - set(self._images))
        if not self._images or (missing and not partial):
            raise ValueError(
                f"{len(missing)} of {len(self._truth.imgs)} images were not "
                f"added, among them {missing[:5]}. Add them, with zero "
                "detections where nothing was found, or pass partial=True "
                "to score the images added so far (at least one)."
            )


def _chosen(name: str, classes: Sequence[str], ids: dict) -> list[int]:
    unknown = [each for each in classes if each not in ids]
    if unknown or not classes:
        raise ValueError(
            f"Expected subset {name!r} to be a list of classes of the ground "
            f"truth. Received: {classes!r}. The classes are: "
            f"{', '.join(ids)}."
        )
    return [ids[each] for each in set(classes)]
