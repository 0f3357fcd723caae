"""Mask R-CNN for human pose: boxes and keypoints.

He, Gkioxari, Dollár, Girshick: Mask R-CNN, ICCV 2017 (arXiv 1703.06870),
section 5.

B images, R RoIs, D detections, M ground-truth slots, P keypoints.
"""

import keras
from keras import ops

from keras_fair import contract
from keras_fair.config import KeypointRCNNConfig
from keras_fair.layers.keypoint_head import KeypointHead
from keras_fair.models import choices, roi
from keras_fair.models.faster_rcnn import FasterRCNN
from keras_fair.ops import keypoints as keypoint_ops


@keras.saving.register_keras_serializable(package="keras_fair")
class KeypointRCNN(FasterRCNN):
    """Faster R-CNN with the keypoints of each detection.

    Input, output and losses are FasterRCNN's; detections also have
    `keypoints`, float32 [B, D, P, 3]: x, y in pixels of the input and a
    score; and there is the loss `keypoint_loss`: each keypoint's softmax
    cross-entropy over the 56 x 56 cells of its RoI, averaged over the
    keypoints that are labelled and in a positive RoI.

    Keypoints are asked for in `y` where a data set has them; people without
    any train boxes only, and a batch without any is no fault.

    Where it differs from the paper:
    * The two stages and the keypoints learn together.
    * A keypoint is decoded as in ops/keypoints.py; the paper leaves it open.
    * The average is Detectron's, which the paper leaves open, too; Detectron
      also drops batches of fewer than 20 keypoints.
    """

    config_class = KeypointRCNNConfig
    loss_names = (*FasterRCNN.loss_names, "keypoint_loss")

    def make_heads(self) -> None:
        config = self.config
        _check(config)
        self.keypoint_head = KeypointHead(
            config.num_keypoints,
            depth=config.keypoint_depth,
            filters=config.keypoint_filters,
            dtype=self.dtype_policy,
            name="keypoint_head",
        )

    def build(self, input_shape=None):
        self.keypoint_head.build(self.roi_shape(self.config.keypoint_roi_size))
        super().build(input_shape)

    def detect(self, features: dict, proposals, image_shape) -> dict:
        """Detect boxes, then the keypoints in them."""
        found = super().detect(features, proposals, image_shape)
        # The boxes in use come first; no heat map of padding is computed
        # where shapes may be dynamic.
        used = roi.rows_in_use(
            found["num_detections"], self.config.max_detections
        )
        boxes = found["boxes"][:, :used]
        logits = self.keypoint_logits(features, boxes)
        keypoints = keypoint_ops.decode_heatmaps(logits, boxes)
        missing = self.config.max_detections - used
        keypoints = ops.pad(keypoints, [[0, 0], [0, missing], [0, 0], [0, 0]])
        valid = found["labels"] != contract.PADDING_LABEL
        keypoints = ops.where(valid[..., None, None], keypoints, 0.0)
        return {**found, "keypoints": keypoints}

    def keypoint_logits(self, features: dict, boxes):
        """Return the heat maps of boxes.

        Args:
            features: the pyramid.
            boxes: float32 [B, R, 4], xyxy pixels.

        Returns:
            float32 [B, R, 56, 56, P].
        """
        size = self.config.keypoint_roi_size
        return self.keypoint_head(self.pool(features, boxes, size))

    def predict_keypoints(self, images, boxes):
        """Find the keypoints of people whose boxes are known.

        Args:
            images: see `call`.
            boxes: float32 [B, N, 4], xyxy pixels of the images.

        Returns:
            float32 [B, N, P, 3]: x, y in pixels, and the score.
        """
        features, _ = self.features(images, training=False)
        boxes = ops.convert_to_tensor(boxes, "float32")
        logits = self.keypoint_logits(features, boxes)
        return keypoint_ops.decode_heatmaps(logits, boxes)

    def roi_losses(self, features, rois: roi.Rois, y, training) -> dict:
        terms = super().roi_losses(features, rois, y, training)
        if "keypoints" not in y:
            return {**terms, "keypoint_loss": ops.zeros([])}
        rois = roi.positive_rois(rois, self.config)
        loss = self.keypoint_loss(features, rois, y)
        return {**terms, "keypoint_loss": loss}

    def keypoint_loss(self, features: dict, rois: roi.Rois, y):
        """Cross-entropy of the true cell among those of the heat map.

        Args:
            features: the pyramid.
            rois: those that are not positive do not count.
            y: ground truth with keypoints, see contract.py.
        """
        config = self.config
        cell = self.keypoint_targets(rois, y)  # [B, R, P]
        logits = self.keypoint_logits(features, rois.boxes)
        cells = logits.shape[2] * logits.shape[3]
        shape = (*ops.shape(logits)[:2], cells, config.num_keypoints)
        logits = ops.reshape(logits, shape)
        counts = cell >= 0
        own = ops.take_along_axis(
            logits, ops.maximum(cell, 0)[:, :, None], axis=2
        )
        loss = ops.logsumexp(logits, axis=2) - own[:, :, 0]
        total = ops.sum(ops.where(counts, loss, 0.0))
        if config.keypoint_normalizer == "visible":
            number = ops.sum(ops.cast(counts, "float32"))
        else:
            number = ops.cast(ops.shape(cell)[0], "float32") * (
                int(config.num_samples * config.positive_fraction)
                * config.num_keypoints
            )
        return config.keypoint_loss_weight * total / ops.maximum(number, 1.0)

    def keypoint_targets(self, rois: roi.Rois, y):
        """Return the true cell of each keypoint in the RoIs' heat maps.

        Args:
            rois: float32 boxes [B, R, 4] and the object of each.
            y: ground truth with keypoints, see contract.py.

        Returns:
            int32 [B, R, P]; -1 does not count.

        Raises:
            ValueError: another number of keypoints than the config's.
        """
        count, expected = y["keypoints"].shape[2], self.config.num_keypoints
        if count != expected:
            raise ValueError(
                f"Expected {expected} keypoints an object, the config's "
                f"num_keypoints. Received: {count}."
            )
        index = rois.gt_index[..., None, None]
        truth = ops.take_along_axis(y["keypoints"], index, axis=1)
        size = 4 * self.config.keypoint_roi_size
        cell = keypoint_ops.encode_keypoints(truth, rois.boxes, size)
        return ops.where(rois.positive[..., None], cell, -1)


def _check(config: KeypointRCNNConfig) -> None:
    choices.check(config, keypoint_normalizer=("visible", "all"))
    names = config.keypoint_names
    if names and len(names) != config.num_keypoints:
        raise ValueError(
            f"Expected {config.num_keypoints} keypoint_names, the config's "
            f"num_keypoints. Received: {names}."
        )
