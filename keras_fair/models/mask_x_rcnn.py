"""Mask^X R-CNN: masks for classes of which only boxes are known.

Hu, Dollar, He, Darrell, Girshick: Learning to Segment Every Thing, CVPR 2018.
B images, R RoIs, K classes, D the size of what is known of a class, C the
channels of the mask head.
"""

import keras
from keras import ops

from keras_fair.config import MaskXRCNNConfig
from keras_fair.layers.mask_head import MaskHead, MaskMLPHead
from keras_fair.layers.weight_transfer import WeightTransfer
from keras_fair.models import choices
from keras_fair.models.mask_rcnn import MaskRCNN
from keras_fair.ops import masks as mask_ops

# With more classes than this, the transfer runs for the classes of the RoIs
# only; with fewer, once for all of them is less work.
MOST_CLASSES_AT_ONCE = 256
# The pooled branch sees means over so many pixels in each direction.
POOLING = 4


@keras.saving.register_keras_serializable(package="keras_fair")
class MaskXRCNN(MaskRCNN):
    """Mask R-CNN whose mask weights are predicted from its box weights.

    The last layer of the mask head has no weights of its own: `transfer`, a
    `WeightTransfer`, makes each class's out of its weights in the box head.
    The transfer learns on the classes that have masks (`has_mask` of
    contract.py) and works for all. Everything else is MaskRCNN's.

    With `config.agnostic_branch` a class-agnostic mask is added to the
    logits (section 3.4): "mlp" is the paper's single fully connected layer on
    the mask head's features, of 157 million weights for 256 channels and 28 x
    28 pixels, three times the rest of the model; "pooled_mlp" the same on
    means of 4 x 4 pixels, 10 million; "fcn" one 1x1 convolution.

    Input, output and losses are MaskRCNN's, and so is `freeze_detector` for
    the paper's stage-wise training.

    Attributes:
        class_embeddings: with `transfer_input="embeddings"`, float32 [K, D],
            not trained: assign GloVe's, say. They start as the random ones
            of the paper's table 1a, of length about 1.
    """

    config_class = MaskXRCNNConfig

    def make_heads(self) -> None:
        config = self.config
        _check(config)
        dtype = self.dtype_policy
        self.mask_head = MaskHead(
            0,
            depth=config.mask_depth,
            filters=config.mask_filters,
            norm=config.mask_norm,
            dtype=dtype,
            name="mask_head",
        )
        self.transfer = WeightTransfer(
            config.mask_filters,
            config.mask_filters,
            depth=config.transfer_depth,
            slope=config.transfer_slope,
            dtype=dtype,
            name="transfer",
        )
        self.agnostic_branch = None
        if config.agnostic_branch == "fcn":
            normal = keras.initializers.RandomNormal(stddev=0.001)
            self.agnostic_branch = keras.layers.Dense(
                1, kernel_initializer=normal, dtype=dtype, name="agnostic"
            )
        elif config.agnostic_branch:
            self.agnostic_branch = MaskMLPHead(
                1,
                depth=0,
                size=2 * config.mask_roi_size,
                dtype=dtype,
                name="agnostic",
            )

    def build(self, input_shape=None):
        config = self.config
        if config.transfer_input == "embeddings":
            size = config.embedding_dim
            self.class_embeddings = self.add_weight(
                name="class_embeddings",
                shape=(config.num_classes, size),
                initializer=keras.initializers.RandomNormal(stddev=size**-0.5),
                trainable=False,
            )
        else:
            size = self.box_head.row_size(config.transfer_input)
        self.transfer.build((None, size))
        if self.agnostic_branch:
            side = 2 * config.mask_roi_size
            if config.agnostic_branch == "pooled_mlp":
                side //= POOLING
            self.agnostic_branch.build(
                (None, None, side, side, config.mask_filters)
            )
        super().build(input_shape)

    def mask_logits(self, features: dict, boxes, labels, training=False):
        """Return the logits of one mask per box; see MaskRCNN."""
        pooled = self.pool(features, boxes, self.config.mask_roi_size)
        pixels = self.mask_head.features(pooled, training=training)
        logits = mask_ops.weighted_sum(pixels, self.mask_weights(labels))
        if self.agnostic_branch:
            logits = logits + self._agnostic_logits(pixels)
        return ops.cast(logits, "float32")

    def mask_weights(self, labels):
        """Return w_seg of the classes that labels name. Section 3.1.

        Args:
            labels: int32 [B, R]; those of -1 get class 0's.

        Returns:
            float32 [B, R, C].
        """
        labels = ops.maximum(labels, 0)
        if self.config.num_classes <= MOST_CLASSES_AT_ONCE:
            every = ops.arange(self.config.num_classes, dtype="int32")
            weights = self.transfer(self.class_rows(every))
            return ops.take(weights, labels, axis=0)
        rows = self.class_rows(ops.reshape(labels, [-1]))
        weights = self.transfer(rows)
        return ops.reshape(
            weights, (*ops.shape(labels), self.config.mask_filters)
        )

    def class_rows(self, labels):
        """Return what the transfer is given, float32 [N, D] for int [N]."""
        if self.config.transfer_input == "embeddings":
            return ops.take(self.class_embeddings, labels, axis=0)
        rows = self.box_head.rows(self.config.transfer_input, labels)
        return ops.stop_gradient(rows) if self.config.stop_gradient else rows

    def _agnostic_logits(self, pixels):
        """Return [B, R, 28, 28], the same for every class."""
        if self.config.agnostic_branch == "fcn":
            return self.agnostic_branch(pixels)[..., 0]
        if self.config.agnostic_branch == "pooled_mlp":
            batch, rois, side, _, channels = ops.shape(pixels)
            blocks = (side // POOLING, POOLING) * 2
            pixels = ops.reshape(pixels, (batch, rois, *blocks, channels))
            pixels = ops.mean(pixels, axis=(3, 5))
        return self.agnostic_branch(pixels)[..., 0]


def _check(config: MaskXRCNNConfig) -> None:
    choices.check(
        config,
        transfer_input=("class", "box", "class+box", "embeddings"),
        agnostic_branch=("", "mlp", "pooled_mlp", "fcn"),
        # The transfer takes the place of what these choose.
        masks=("class",),
        mask_head=("fcn",),
        paste=("sampled", "integer"),
    )
    if config.agnostic_branch == "pooled_mlp":
        if 2 * config.mask_roi_size % POOLING:
            raise ValueError(
                'Expected an even mask_roi_size for "pooled_mlp". Received: '
                f"{config.mask_roi_size}."
            )
