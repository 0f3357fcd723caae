"""Average recall of proposals, whose classes do not count. FPN, table 1 and 6.

Matching is pycocotools' with `useCats` off: a proposal may find an object of
any class. What counts is which of an image's objects its best 10, 100 or 1000
proposals find, averaged over IoU thresholds from 0.5 to 0.95.
"""

import math
import os

from pycocotools import cocoeval

from keras_fair.evaluation import coco_eval, scoring

LIMITS = (10, 100, 1000)  # proposals of an image
SIZES = ("all", "small", "medium", "large")  # COCOeval's, in its order


class ProposalEvaluator(coco_eval.CocoEvaluator):
    """Gathers proposals, all of label 0, and tells how many objects they find.

    Use it as a `CocoEvaluator`.

    Args:
        ground_truth: see `CocoEvaluator`; its categories do not matter.
    """

    def __init__(self, ground_truth: dict | str | os.PathLike):
        super().__init__(ground_truth)
        # pycocotools wants a known category of what it then ignores.
        self.category_ids = self.category_ids[:1]

    def summarize(self, iou_type: str = "bbox", partial: bool = False) -> dict:
        """Score everything gathered so far.

        Args:
            iou_type, partial: see `CocoEvaluator.summarize`.

        Returns:
            `scoring.PROPOSAL_METRICS` as floats from 0 to 1, NaN where the
            ground truth has no such object; `iou_type`, `num_images` and
            `num_without_mask`; `per_class` and `subsets`, empty.

        Raises:
            ValueError: missing images, or nothing of that type.
        """
        truth, num_without_mask = self._truth_of(iou_type, partial)
        scored = scoring.prepare(
            truth, self.results(iou_type), self.image_ids, iou_type
        )
        scored.params.useCats = 0
        scored.params.maxDets = list(LIMITS)
        scoring.run(scored)
        return {
            **average_recalls(scored),
            "per_class": {},
            "subsets": {},
            "iou_type": iou_type,
            "num_images": len(self.image_ids),
            "num_without_mask": num_without_mask,
        }


def average_recalls(scored: cocoeval.COCOeval) -> dict:
    """Return `scoring.PROPOSAL_METRICS` of what was scored with `LIMITS`."""
    # [IoU thresholds, one category, sizes, limits]; -1 without objects.
    recall = scored.eval["recall"][:, 0].mean(axis=0)
    found = {}
    for name, (_, size, limit) in scoring.PROPOSAL_METRICS.items():
        value = float(recall[SIZES.index(size), LIMITS.index(limit)])
        found[name] = math.nan if value < 0 else value
    return found
