"""Mask R-CNN on a feature pyramid: boxes and instance masks.

He, Gkioxari, Dollár, Girshick: Mask R-CNN, ICCV 2017 (arXiv 1703.06870).

B images, R RoIs, D detections, M ground-truth slots, K classes.
"""

import keras
from keras import ops

from keras_fair import config_files, contract, losses
from keras_fair.config import MaskRCNNConfig
from keras_fair.layers.mask_head import MaskHead, MaskMLPHead
from keras_fair.models import choices, mask_losses, roi
from keras_fair.models.faster_rcnn import FasterRCNN
from keras_fair.ops import masks as mask_ops

# What a Mask R-CNN shares with a Faster R-CNN.
DETECTOR_PARTS = ("backbone", "pyramid", "rpn_head", "box_head")
# What a detector's weights were learned for, beside their shapes.
DETECTOR_SETTINGS = (
    "class_names",
    *("pixels.channel_order", "pixels.mean", "pixels.std"),
    *("backbone.name", "backbone.stride_in", "backbone.norm_epsilon"),
    *("pyramid.coarse", "pyramid.coarse_input"),
    *("proposals.anchor_sizes", "proposals.anchor_ratios"),
    *("proposals.anchor_offset", "proposals.anchor_rounding"),
    *("proposals.anchor_stride", "roi_max_level", "roi_sampling_ratio"),
    *("roi_aligned", "roi_trim", "box_weights"),
)


@keras.saving.register_keras_serializable(package="keras_fair")
class MaskRCNN(FasterRCNN):
    """Mask R-CNN: Faster R-CNN with a mask for each detection.

    Input, output and losses are FasterRCNN's; detections also have `masks`,
    float32 [B, D, 28, 28], probabilities in the box's frame, and the loss
    `mask_loss`: the binary cross-entropy of the true class's mask, averaged
    over pixels and over positive RoIs whose object has a mask (section 3).

    Masks are asked for in `y` where a data set has them; objects without one
    (`has_mask`) train boxes only, and a batch without any is no fault.

    Where it differs from the paper:
    * Targets are cut from masks of 112 x 112 in the object's box, as in TF
      Model Garden; the paper does not say from what.
    """

    config_class = MaskRCNNConfig
    loss_names = (*FasterRCNN.loss_names, "mask_loss")

    def make_heads(self) -> None:
        config = self.config
        choices.check(
            config,
            mask_head=("fcn", "mlp"),
            masks=("class", "agnostic", "softmax"),
            paste=("sampled", "integer"),
        )
        count = {"class": config.num_classes, "agnostic": 1}
        # Softmax masks have one more: the background of the pixel.
        count = count.get(config.masks, config.num_classes + 1)
        if config.mask_head == "mlp":
            self.mask_head = MaskMLPHead(
                count,
                depth=config.mask_depth,
                units=config.mask_filters,
                size=2 * config.mask_roi_size,
                dtype=self.dtype_policy,
                name="mask_head",
            )
        else:
            self.mask_head = MaskHead(
                count,
                depth=config.mask_depth,
                filters=config.mask_filters,
                norm=config.mask_norm,
                dtype=self.dtype_policy,
                name="mask_head",
            )

    def build(self, input_shape=None):
        self.mask_head.build(self.roi_shape(self.config.mask_roi_size))
        super().build(input_shape)
        if self.config.freeze_detector:
            for name in DETECTOR_PARTS:
                getattr(self, name).trainable = False

    def copy_detector(self, detector: FasterRCNN) -> None:
        """Take over everything but the mask branch; for `freeze_detector`.

        Args:
            detector: trained, of the same classes and sizes.

        Raises:
            ValueError: another kind of detector, or weights of other shapes,
                by name.
        """
        if not isinstance(detector, FasterRCNN):
            raise ValueError(
                "Expected a FasterRCNN, or one with masks, as the detector of "
                f"a {type(self).__name__}. Received: "
                f"{type(detector).__name__}. Give train.initial_weights the "
                "preset folder of such a model."
            )
        for name in DETECTOR_PARTS:
            own, given = getattr(self, name), getattr(detector, name)
            shapes = [_shapes(part) for part in (own, given)]
            if shapes[0] != shapes[1]:
                differ = sorted(set(shapes[1]) ^ set(shapes[0]))
                raise ValueError(
                    f"Expected a detector with the same {name}. Only one of "
                    f"the two has: {', '.join(differ[:6])}."
                )
            own.set_weights(given.get_weights())

    def check_frozen(self, config) -> None:
        """Refuse a detector that would be frozen and do something else here.

        One that learns on adapts itself to other settings.

        Args:
            config: the detector's.

        Raises:
            ValueError: other classes, pixels, anchors or RoIs, by name.
        """
        if not self.config.freeze_detector:
            return
        found = config_files.differences(config, self.config)
        differ = [
            f"{name} is {own!r} and was {given!r}"
            for name, (given, own) in found.items()
            if name in DETECTOR_SETTINGS
            and (name != "class_names" or (given and own))
        ]
        if differ:
            raise ValueError(
                "Expected a frozen detector's own settings, as it cannot "
                f"learn others. Received: {'; '.join(differ)[:400]}. Set "
                "them under model, or start from another detector."
            )

    def detect(self, features: dict, proposals, image_shape) -> dict:
        """Detect boxes, then their masks (section 3, "Inference")."""
        found = super().detect(features, proposals, image_shape)
        # The boxes in use come first; no mask of padding is computed where
        # shapes may be dynamic.
        used = roi.rows_in_use(
            found["num_detections"], self.config.max_detections
        )
        masks = self.mask_probabilities(
            features, found["boxes"][:, :used], found["labels"][:, :used]
        )
        missing = self.config.max_detections - used
        padding = [[0, 0], [0, missing], [0, 0], [0, 0]]
        valid = found["labels"] != contract.PADDING_LABEL
        masks = ops.pad(masks, padding)
        return {**found, "masks": ops.where(valid[..., None, None], masks, 0)}

    def mask_logits(self, features: dict, boxes, labels, training=False):
        """Return the logits of one mask per box: the class that labels name.

        Args:
            features: the pyramid.
            boxes: float32 [B, R, 4], xyxy pixels.
            labels: int32 [B, R]; any mask will do for -1.
            training: whether batch normalisation learns.

        Returns:
            float32 [B, R, 28, 28]; with softmax masks [B, R, 28, 28, K + 1].
        """
        pooled = self.pool(features, boxes, self.config.mask_roi_size)
        if self.config.masks == "softmax":
            return self.mask_head(pooled, training=training)
        return self.mask_head(pooled, labels, training=training)

    def mask_probabilities(self, features: dict, boxes, labels):
        """Return float32 [B, R, 28, 28], 0..1; see `mask_logits`."""
        logits = self.mask_logits(features, boxes, labels)
        if self.config.masks != "softmax":
            return ops.sigmoid(logits)
        index = ops.maximum(labels, 0)[..., None, None, None]
        index = ops.broadcast_to(index, (*ops.shape(logits)[:-1], 1))
        scores = ops.softmax(logits)
        return ops.take_along_axis(scores, index, axis=-1)[..., 0]

    def predict_masks(self, images, boxes, labels):
        """Segment objects whose boxes are known.

        Args:
            images: see `call`.
            boxes: float32 [B, N, 4], xyxy pixels of the images.
            labels: int32 [B, N], 0..K-1; -1 is padding.

        Returns:
            float32 [B, N, 28, 28], probabilities in the boxes' frames.
        """
        features, _ = self.features(images, training=False)
        labels = ops.convert_to_tensor(labels, "int32")
        boxes = ops.convert_to_tensor(boxes, "float32")
        masks = self.mask_probabilities(features, boxes, labels)
        valid = labels != contract.PADDING_LABEL
        return ops.where(valid[..., None, None], masks, 0.0)

    def roi_losses(self, features, rois: roi.Rois, y, training) -> dict:
        terms = super().roi_losses(features, rois, y, training)
        if "masks" not in y:
            return {**terms, "mask_loss": ops.zeros([])}
        if self.config.train_masks_on_ground_truth_boxes:
            rois = roi.ground_truth_rois(y)
        else:
            rois = roi.positive_rois(rois, self.config)
        mask_loss = self.mask_loss(features, rois, y, training)
        return {**terms, "mask_loss": mask_loss}

    def mask_loss(self, features: dict, rois: roi.Rois, y, training):
        """Cross-entropy of the true class's mask. Section 3.

        Args:
            features: the pyramid.
            rois: those that are not positive do not count.
            y: ground truth with masks, see contract.py.
            training: whether batch normalisation learns.
        """
        padding = contract.PADDING_LABEL
        labels = ops.where(rois.positive, rois.labels, padding)
        logits = self.mask_logits(features, rois.boxes, labels, training)
        targets = self.mask_targets(rois, y)
        if self.config.masks == "softmax":
            inside = ops.where(
                targets > 0.5,
                rois.labels[..., None, None],
                self.config.num_classes,
            )
            loss = losses.softmax_cross_entropy(inside, logits)
        else:
            loss = losses.sigmoid_cross_entropy(targets, logits)
        return mask_losses.mean_of_masks(loss, rois.positive, rois.gt_index, y)

    def mask_targets(self, rois: roi.Rois, y):
        """Return each RoI's part of its object's mask. Section 3.1.

        Args:
            rois: float32 boxes [B, R, 4] and the object of each.
            y: ground truth with masks, see contract.py.

        Returns:
            float32 [B, R, 28, 28], 0 or 1.
        """
        index = rois.gt_index
        return mask_ops.crop_masks(
            ops.take_along_axis(y["masks"], index[..., None, None], axis=1),
            ops.take_along_axis(y["boxes"], index[..., None], axis=1),
            rois.boxes,
            2 * self.config.mask_roi_size,
        )


def _shapes(part) -> list[str]:
    """Return name and shape of each weight, without the model's name."""
    return [
        f"{weight.path.split('/', 1)[-1]} {tuple(weight.shape)}"
        for weight in part.weights
    ]
