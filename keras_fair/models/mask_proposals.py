"""Segmentation proposals: class-agnostic masks from a feature pyramid.

Lin et al.: Feature Pyramid Networks, CVPR 2017, section 6 and appendix A,
after Pinheiro et al.: DeepMask, NIPS 2015.

B images, M ground-truth slots, A places of a head and level, P places of all
heads and levels, N chosen ones, D detections, S the side of a mask.
"""

import keras
import numpy as np
from keras import ops

from keras_fair import losses
from keras_fair.config import MaskProposalsConfig
from keras_fair.layers.mask_proposal_head import MaskProposalHead
from keras_fair.models import detector, mask_losses, mask_places
from keras_fair.ops import boxes, matching, nms, sampling
from keras_fair.ops import mask_proposals as place_ops
from keras_fair.ops import masks as mask_ops

SAMPLES = 8  # points per pixel of a target and side, to tell its share


@keras.saving.register_keras_serializable(package="keras_fair")
class MaskProposalNetwork(detector.Detector):
    """Segmentation proposals on a feature pyramid. FPN, section 6.

    Input: the dict `x` of contract.py, or uint8 images [B, H, W, 3].
    Output: by head and level "5x5_P2" ... `objectness` float32 [B, A],
    `hidden` [B, A, filters], `regions` float32 [A, 4] and `inside` bool
    [B, A], whether the cell begins in the image; unless training also
    detections, all with label 0, of the places of best score; masks are
    predicted nowhere else. There is no suppression.
    Losses: `score_loss`, the cross-entropy over sampled places;
    `mask_loss`, that of their masks' pixels, averaged over the sampled
    positives whose object has a mask, times `mask_loss_weight`; `l2_loss`.

    A detection's box is tight around its mask, not the mask's region: so its
    boxes can be compared with others', and none leaves the image. `masks` are
    float32 [B, D, 2 * S, 2 * S] in its frame; a finer grid than the region's,
    so that little is lost. A mask without a pixel is no detection.

    An object without a mask (`has_mask`) makes places positive as every
    other, since size and centre are known from its box, and trains the score;
    its mask is not trained.

    What the paper leaves open, and where this differs:
    * A target's pixel is the share of it that the object covers, not 0 or 1:
      boundaries then have a place between pixels.
    * A place that several centres are near predicts the nearest one.
    * Sampled are at most a quarter positives, and negatives fill the rest of
      the 128 places; cells outside of the image take no part.
    * Objects below and above all canonical scales belong to the outermost.
    """

    config_class = MaskProposalsConfig
    loss_names = ("score_loss", "mask_loss")

    def __init__(self, config, backbone=None, **kwargs):
        super().__init__(config, backbone, **kwargs)
        self.groups = mask_places.groups(config)
        self.heads = [
            MaskProposalHead(
                window,
                filters=config.head_filters,
                mask_size=config.mask_size,
                dtype=self.dtype_policy,
                name=f"head_{window}x{window}",
            )
            for window in config.windows
        ]
        self.seed_generator = keras.random.SeedGenerator()
        self.build()

    def build(self, input_shape=None):
        """Make every weight; the image size does not matter."""
        shapes = self.build_features()
        for head in self.heads:
            head.build(shapes)
        self.built = True

    def call(self, x, training=False):
        features, image_shape = self.features(x, training)
        found = [head(features) for head in self.heads]
        outputs = {"objectness": {}, "hidden": {}, "regions": {}, "inside": {}}
        for group in self.groups:
            objectness, hidden = found[group.head]
            regions = mask_places.region_boxes(
                features, group, self.config.padding
            )
            inside = mask_places.is_inside(regions, group, image_shape)
            outputs["objectness"][group.name] = objectness[group.level]
            outputs["hidden"][group.name] = hidden[group.level]
            outputs["regions"][group.name] = regions
            outputs["inside"][group.name] = inside
        if not training:
            outputs.update(self.detect(outputs, image_shape))
        return outputs

    def detect(self, outputs: dict, image_shape) -> dict:
        """Predict the masks of the best places and their boxes.

        Args:
            outputs: of `call`.
            image_shape: int32 [B, 2]; boxes are clipped to it.

        Returns:
            detections with masks, see contract.py.
        """
        count = self.config.max_detections
        logits = ops.where(
            self._all(outputs["inside"]),
            self._all(outputs["objectness"]),
            -np.inf,
        )  # [B, P]
        logits, rows, _ = nms.top_pairs(logits[..., None], count)
        regions = self._regions_of(outputs, rows)
        masks = ops.sigmoid(self.mask_logits(outputs, rows))
        found = place_ops.mask_boxes(masks, regions)
        found = boxes.clip_boxes(found, image_shape)
        # Nothing is shown by an empty mask, or by one outside the image.
        shown = boxes.is_large_enough(found, 0.0)
        shown = ops.logical_and(shown, logits > -np.inf)
        scores = ops.where(shown, ops.sigmoid(logits), -np.inf)
        best, index = ops.top_k(scores, count)
        valid = best > -np.inf
        labels = ops.zeros_like(rows)
        found = nms.detections(found, scores, labels, index, valid)
        masks = mask_ops.crop_shares(
            ops.take_along_axis(masks, index[..., None, None], axis=1),
            ops.take_along_axis(regions, index[..., None], axis=1),
            found["boxes"],
            2 * self.config.mask_size,
            samples=1,
        )
        masks = ops.where(valid[..., None, None], masks, 0.0)
        return {**found, "masks": masks}

    def mask_logits(self, outputs: dict, rows):
        """Return the logits of chosen places' masks, float32 [B, N, S, S].

        Args:
            outputs: of `call`.
            rows: int32 [B, N] into the places of all groups.
        """
        masks, start = 0.0, 0
        for number, head in enumerate(self.heads):
            hidden, first = 0.0, start
            for group in self.groups:
                if group.head != number:
                    continue
                # Chosen rows are few: copying them of each level is less
                # than copying all levels into one tensor.
                values = outputs["hidden"][group.name]
                size = ops.shape(values)[1]
                mine = ops.logical_and(rows >= start, rows < start + size)
                row = ops.clip(rows - start, 0, size - 1)
                chosen = ops.take_along_axis(values, row[..., None], axis=1)
                hidden += ops.where(mine[..., None], chosen, 0.0)
                start += size
            mine = ops.logical_and(rows >= first, rows < start)
            masks += ops.where(mine[..., None, None], head.masks(hidden), 0.0)
        return masks

    def compute_losses(self, x, y, outputs, training) -> dict:
        gt_index, label = self._labels(outputs, y)
        label = sampling.subsample(
            label,
            self.config.num_samples,
            self.config.positive_fraction,
            self.seed_generator,
        )  # [B, P]
        score_loss = losses.sigmoid_cross_entropy(
            label == matching.POSITIVE, self._all(outputs["objectness"])
        )
        score_loss = ops.where(label == matching.IGNORE, 0.0, score_loss)
        images = ops.cast(ops.shape(label)[0], "float32")
        score_loss = ops.sum(score_loss) / (self.config.num_samples * images)
        mask_loss = ops.zeros([])
        if "masks" in y:
            mask_loss = self.mask_loss(outputs, gt_index, label, y)
        return {"score_loss": score_loss, "mask_loss": mask_loss}

    def _labels(self, outputs: dict, y):
        """Return object and label of all places, int32 [B, P] each."""
        parts = [
            mask_places.label_group(
                group,
                outputs["regions"][group.name],
                outputs["inside"][group.name],
                y,
            )
            for group in self.groups
        ]
        return [ops.concatenate(each, axis=1) for each in zip(*parts)]

    def mask_loss(self, outputs: dict, gt_index, label, y):
        """Cross-entropy of the sampled positives' masks, weighted.

        Args:
            outputs: of `call`.
            gt_index: int32 [B, P], the object of each place.
            label: int32 [B, P], POSITIVE where the place is sampled.
            y: ground truth with masks, see contract.py.
        """
        count = int(self.config.num_samples * self.config.positive_fraction)
        # Padding lets top_k ask for more than there are.
        padding = [[0, 0], [0, count]]
        label = ops.pad(label, padding, constant_values=matching.IGNORE)
        label, rows = ops.top_k(label, count)  # [B, N]
        rows = ops.minimum(rows, ops.shape(gt_index)[1] - 1)
        index = ops.take_along_axis(gt_index, rows, axis=1)
        targets = self._targets(outputs, rows, index, y)
        loss = losses.sigmoid_cross_entropy(
            targets, self.mask_logits(outputs, rows)
        )
        mean = mask_losses.mean_of_masks(
            loss, label == matching.POSITIVE, index, y
        )
        return self.config.mask_loss_weight * mean

    def _targets(self, outputs: dict, rows, index, y):
        """Return each place's part of its object: float32 [B, N, S, S]."""
        return mask_ops.crop_shares(
            ops.take_along_axis(y["masks"], index[..., None, None], axis=1),
            ops.take_along_axis(y["boxes"], index[..., None], axis=1),
            self._regions_of(outputs, rows),
            self.config.mask_size,
            samples=SAMPLES,
        )

    def _regions_of(self, outputs: dict, rows):
        regions = [outputs["regions"][group.name] for group in self.groups]
        return ops.take(ops.concatenate(regions, axis=0), rows, axis=0)

    def _all(self, values: dict):
        """Join [B, A] of all heads and levels into [B, P]."""
        parts = [values[group.name] for group in self.groups]
        return ops.concatenate(parts, axis=1)
