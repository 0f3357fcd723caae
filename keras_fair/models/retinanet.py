"""RetinaNet: one stage, dense, focal loss.

Lin, Goyal, Girshick, He, Dollár: Focal Loss for Dense Object Detection,
ICCV 2017 (arXiv 1708.02002).

B images, M ground-truth slots, A anchors of a level, K classes.
"""

import keras
import numpy as np
from keras import ops

from keras_fair import contract, losses
from keras_fair.config import RetinaNetConfig
from keras_fair.layers.retinanet_head import RetinaNetHead
from keras_fair.models import choices, detector, pyramid_anchors
from keras_fair.ops import boxes, matching, nms, replicas


@keras.saving.register_keras_serializable(package="keras_fair")
class RetinaNet(detector.Detector):
    """RetinaNet on a feature pyramid.

    Input: the dict `x` of contract.py, or uint8 images [B, H, W, 3].
    Output: by pyramid level "P3" to "P7" `class_logits` float32 [B, A, K],
    `box_deltas` float32 [B, A, 4] and `anchors` float32 [A, 4]; unless
    training also the detections of contract.py.
    Losses: `class_loss` (focal) and `box_loss`, each a sum over anchors
    divided by the number of positive anchors in the batch, at least one (or
    another `normalizer`); and `l2_loss`.

    Where it differs from the paper:
    * Low-quality matches: a ground truth's best anchors are positive even
      below 0.5 IoU (`force_best_match`), as the paper's reference to RPN
      implies and Detectron2 does.
    * Positives are counted over the batch of all devices, not per image
      (Detectron: over that of a device).
    * At most `candidates_per_level` pairs of anchor and class are decoded,
      as in Detectron; the paper speaks of 1000 "top-scoring predictions".
    """

    config_class = RetinaNetConfig
    loss_names = ("class_loss", "box_loss")

    def __init__(self, config, backbone=None, **kwargs):
        super().__init__(config, backbone, **kwargs)
        choices.check(
            config,
            box_loss=("smooth_l1", "giou"),
            normalizer=("batch", "ema", "image"),
        )
        pyramid_anchors.check_levels(config.pyramid, config)
        self.head = RetinaNetHead(
            num_classes=config.num_classes,
            num_anchors=len(config.anchor_sizes[0]) * len(config.anchor_ratios),
            filters=config.head_filters,
            depth=config.head_depth,
            prior=config.prior,
            norm=config.head_norm,
            dtype=self.dtype_policy,
            name="head",
        )
        if config.normalizer == "ema":
            self.average_positives = self.add_weight(
                name="average_positives",
                shape=(),
                dtype="float32",
                initializer=keras.initializers.Constant(
                    config.normalizer_start
                ),
                trainable=False,
                aggregation="mean",
            )
        self.build()

    def build(self, input_shape=None):
        """Make every weight; the image size does not matter."""
        self.head.build(self.build_features())
        self.built = True

    def call(self, x, training=False):
        features, image_shape = self.features(x, training)
        class_logits, box_deltas = self.head(features)
        outputs = {
            "class_logits": class_logits,
            "box_deltas": box_deltas,
            "anchors": pyramid_anchors.anchor_boxes(features, self.config),
        }
        if not training:
            outputs.update(self.detect(outputs, image_shape))
        return outputs

    def compute_losses(self, x, y, outputs, training) -> dict:
        grid = ops.concatenate(list(outputs["anchors"].values()), axis=0)
        index, match = matching.match_boxes(
            grid,
            y["boxes"],
            y["labels"] != contract.PADDING_LABEL,
            positive_iou=self.config.positive_iou,
            negative_iou=self.config.negative_iou,
            force_best=self.config.force_best_match,
        )  # [B, A of all levels]
        labels = ops.take_along_axis(y["labels"], index, axis=1)
        positive = match == matching.POSITIVE
        labels = ops.where(positive, labels, contract.PADDING_LABEL)
        targets = ops.take_along_axis(y["boxes"], index[..., None], axis=1)
        num_positives = ops.sum(ops.cast(positive, "float32"), axis=1)
        normalizer = self._normalizer(num_positives, training)  # [] or [B]
        class_loss, box_loss, start = 0.0, 0.0, 0
        # Level by level: the logits of all levels are never copied into one.
        for name, logits in outputs["class_logits"].items():
            stop = start + ops.shape(logits)[1]
            rows = slice(start, stop)
            class_loss += self.class_loss(
                labels[:, rows], match[:, rows], logits
            )
            box_loss += self.box_loss(
                targets[:, rows],
                positive[:, rows],
                outputs["box_deltas"][name],
                outputs["anchors"][name],
            )
            start = stop
        return {
            "class_loss": ops.sum(class_loss / normalizer),
            "box_loss": ops.sum(box_loss / normalizer),
        }

    def class_loss(self, labels, match, logits):
        """Focal loss [B], summed over the anchors that count. Section 3.

        Args:
            labels: int32 [B, A], -1 where the anchor is not positive.
            match: int32 [B, A], of ops.matching; IGNORE does not count.
            logits: float32 [B, A, K].
        """
        classes = ops.arange(self.config.num_classes, dtype="int32")
        loss = losses.sigmoid_focal_loss(
            ops.equal(labels[..., None], classes),
            logits,
            alpha=self.config.focal_alpha,
            gamma=self.config.focal_gamma,
        )
        counts = ops.not_equal(match, matching.IGNORE)[..., None]
        return ops.sum(ops.where(counts, loss, 0.0), axis=(1, 2))

    def box_loss(self, targets, positive, deltas, anchor_boxes):
        """Box regression loss [B], summed over the positive anchors.

        Args:
            targets: float32 [B, A, 4], the matched ground truth, xyxy.
            positive: bool [B, A].
            deltas: float32 [B, A, 4], predicted.
            anchor_boxes: float32 [A, 4], xyxy.
        """
        # Whatever stands where nothing is positive must stay finite.
        targets = ops.where(positive[..., None], targets, anchor_boxes)
        if self.config.box_loss == "giou":
            predicted = boxes.decode_boxes(deltas, anchor_boxes)
            loss = losses.giou_loss(targets, predicted)
        else:
            wanted = boxes.encode_boxes(targets, anchor_boxes)
            beta = self.config.box_loss_beta
            loss = losses.smooth_l1_loss(wanted, deltas, beta=beta)
            loss = ops.sum(loss, axis=-1)
        return ops.sum(ops.where(positive, loss, 0.0), axis=1)

    def _normalizer(self, num_positives, training):
        """What each image's loss is divided by, [] or [B].

        Args:
            num_positives: float32 [B].
            training: False: the running average stays.
        """
        if self.config.normalizer == "image":
            images = ops.cast(ops.shape(num_positives)[0], "float32")
            return ops.maximum(num_positives, 1.0) * images
        total, num_devices = replicas.summed(ops.sum(num_positives))
        total = ops.maximum(total, 1.0)
        if self.config.normalizer == "batch":
            return total / num_devices
        if training:
            momentum = self.config.normalizer_momentum
            average = (
                momentum * self.average_positives + (1.0 - momentum) * total
            )
            self.average_positives.assign(average)
        return ops.convert_to_tensor(self.average_positives) / num_devices

    def detect(self, outputs, image_shape) -> dict:
        """Decode the best candidates of each level, then NMS. Section 4.1.

        Args:
            outputs: of `call`: class_logits, box_deltas and anchors.
            image_shape: int32 [B, 2]; boxes are clipped to it.

        Returns:
            detections, see contract.py, D = `max_detections`.
        """
        levels = [
            self._candidates(
                outputs["class_logits"][name],
                outputs["box_deltas"][name],
                outputs["anchors"][name],
            )
            for name in outputs["class_logits"]
        ]
        candidates, scores, labels = (
            ops.concatenate(parts, axis=1)
            for parts in zip(*levels, strict=True)
        )
        clipped = boxes.clip_boxes(candidates, image_shape)
        if self.config.clip_before_nms:
            candidates = clipped
        index, valid = nms.class_nms(
            candidates,
            scores,
            labels,
            self.config.nms_iou,
            self.config.max_detections,
        )
        if not self.config.clip_before_nms:
            index, valid = _without_empty(clipped, index, valid)
        return nms.detections(clipped, scores, labels, index, valid)

    def _candidates(self, logits, deltas, anchor_boxes):
        """One level's best boxes, scores (-inf: too low) and labels."""
        values, rows, labels = nms.top_pairs(
            logits, self.config.candidates_per_level
        )
        scores = ops.sigmoid(values)
        scores = ops.where(
            scores > self.config.score_threshold, scores, -np.inf
        )
        decoded = boxes.decode_boxes(
            ops.take_along_axis(deltas, rows[..., None], axis=1),
            ops.take(anchor_boxes, rows, axis=0),
        )
        return decoded, scores, labels


def _without_empty(candidates, index, valid):
    """Drop detections of which clipping left nothing; keep the order."""
    chosen = ops.take_along_axis(candidates, index[..., None], axis=1)
    valid = ops.logical_and(valid, boxes.is_large_enough(chosen, 0.0))
    place = ops.arange(valid.shape[1], dtype="float32")
    key = ops.where(valid, -place, -np.inf)
    key, order = ops.top_k(key, valid.shape[1])
    return ops.take_along_axis(index, order, axis=1), key > -np.inf
