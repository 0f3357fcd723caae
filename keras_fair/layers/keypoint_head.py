"""The keypoint head of Mask R-CNN (He et al., ICCV 2017), section 5.

B images, R RoIs, S the side of an RoI's features, C channels, K keypoints.
"""

import keras
from keras import ops

from keras_fair.layers import roi_convolutions


@keras.saving.register_keras_serializable(package="keras_fair")
class KeypointHead(keras.layers.Layer):
    """Predict a heat map per keypoint in each RoI's frame.

    3x3 convolutions with ReLU, a 4x4 transposed convolution of stride 2 to
    one map per keypoint, and bilinear upsampling by two. All convolutions
    start as in MSRAFill (Detectron).

    Args:
        num_keypoints: K; 17 in COCO.
        depth: 3x3 convolutions.
        filters: channels of each.
    """

    def __init__(
        self,
        num_keypoints: int = 17,
        *,
        depth: int = 8,
        filters: int = 512,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if num_keypoints < 1:
            raise ValueError(
                f"Expected at least one keypoint. Received: {num_keypoints}."
            )
        self.num_keypoints = num_keypoints
        self.depth = depth
        self.filters = filters
        self.tower = roi_convolutions.convolutions(
            depth, filters, norm="", dtype=self.dtype_policy
        )
        self.keypoint_logits = keras.layers.Conv2DTranspose(
            num_keypoints,
            4,
            strides=2,
            padding="same",  # one row and column on each side
            kernel_initializer=roi_convolutions.msra(),
            dtype=self.dtype_policy,
            name="keypoint_logits",
        )

    def build(self, input_shape):
        roi_convolutions.check_rois(input_shape)
        roi_convolutions.build(
            [*self.tower, self.keypoint_logits], (None, *input_shape[2:])
        )

    def call(self, inputs):
        """Compute heat maps in the frames of the RoIs, 56 x 56 for S = 14.

        Args:
            inputs: float [B, R, S, S, C], from `roi_align`.

        Returns:
            Logits over the positions: float32 [B, R, 4 * S, 4 * S, K].
        """
        features = roi_convolutions.merge_rois(inputs)
        for layer in [*self.tower, self.keypoint_logits]:
            features = layer(features)
        # Between cell centres, as torch does with align_corners=False.
        logits = ops.image.resize(
            ops.cast(features, "float32"),
            [2 * side for side in features.shape[1:3]],
            interpolation="bilinear",
            data_format="channels_last",
        )
        return roi_convolutions.split_rois(logits, inputs)

    def compute_output_shape(self, input_shape):
        batch, rois, height, width, _ = input_shape
        return (batch, rois, 4 * height, 4 * width, self.num_keypoints)

    def compute_output_spec(self, inputs):
        shape = self.compute_output_shape(inputs.shape)
        return keras.KerasTensor(shape, dtype="float32")

    def get_config(self):
        return {
            **super().get_config(),
            "num_keypoints": self.num_keypoints,
            "depth": self.depth,
            "filters": self.filters,
        }
