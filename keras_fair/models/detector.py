"""What every detector shares: training, prediction, saving, export.

A detector implements three methods, and Keras's `fit`, `evaluate`, `predict`
and `save` work:

    build()             make the weights, on `build_features`' shapes
    call(x, training)   from `features` to outputs; unless training, the
                        detections of contract.py are among them
    compute_losses(x, y, outputs, training)    the paper's loss terms
"""

import os

import keras
from keras import ops

from keras_fair import config_files, contract, files, optimizers, presets
from keras_fair.layers.feature_pyramid import FeaturePyramid
from keras_fair.models import backbones, inputs, recompute
from keras_fair.ops import compiled

# The papers' rate is for 16 images; this is for 2, by the linear rule.
DEFAULT_LEARNING_RATE = 0.00125
DEFAULT_CLIP_NORM = 10.0  # far above a healthy step, as the rate is untuned


@keras.saving.register_keras_serializable(package="keras_fair")
class _Total(keras.losses.Loss):
    """Pass a total through Keras's reduction, which knows the replicas.

    Under tf.distribute Keras expects a loss divided by the number of
    replicas, and its reductions divide for everything but scalars.
    """

    def call(self, y_true, y_pred):
        return y_pred


class Detector(keras.Model):
    """The base of all models: `Detector(config)`, see the subclasses.

    Args:
        config: the model's config dataclass.
        backbone: any keras.Model that backbones.as_backbone accepts, in the
            place of the one that `config.backbone` names.
    """

    config_class = None  # of the subclass
    loss_names = ()  # the terms of compute_losses

    def __init__(self, config, backbone=None, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(config, self.config_class):
            raise TypeError(
                f"Expected {self.config_class.__name__}. Received: "
                f"{type(config).__name__}."
            )
        self.config = config
        self.given_backbone = backbone
        dtype = self.dtype_policy
        if backbone is None:
            self.backbone = backbones.build_backbone(config.backbone, dtype)
        else:
            self.backbone = backbones.as_backbone(backbone)
        pyramid = config.pyramid
        self.pyramid = FeaturePyramid(
            filters=pyramid.filters,
            min_level=pyramid.min_level,
            max_level=pyramid.max_level,
            coarse=pyramid.coarse,
            coarse_input=pyramid.coarse_input,
            norm=pyramid.norm,
            dtype=dtype,
            name="pyramid",
        )
        self.run_backbone = None  # a function; see recompute_backbone
        self.total_loss = _Total(name="total", dtype="float32")
        self.loss_trackers = {
            name: keras.metrics.Mean(name=name, dtype="float32")
            for name in (*self.loss_names, "l2_loss")
        }

    def build_features(self) -> dict:
        """Make the pyramid's weights; return its shapes, size unknown."""
        shapes = {
            name: tuple(tensor.shape)
            for name, tensor in self.backbone.output.items()
        }
        self.pyramid.build(shapes)
        return self.pyramid.compute_output_shape(shapes)

    def features(self, x, training: bool):
        """Return the pyramid's levels "P2" ... and image_shape int32 [B, 2].

        Args:
            x: inputs, see contract.py, or images alone.
            training: whether batch normalisation learns.
        """
        images, image_shape = inputs.unpack(x)
        pixels = inputs.normalize(
            images, image_shape, self.config.pixels, self.compute_dtype
        )
        run = self.run_backbone or self.backbone
        features = self.pyramid(run(pixels, training=training))
        return features, image_shape

    def recompute_backbone(self) -> None:
        """Train with less memory and more time; see recompute.py.

        Call it before `compile`. Nothing is saved of it.
        """
        self.run_backbone = recompute.in_blocks(self.backbone)

    def compute_losses(self, x, y, outputs, training) -> dict:
        """Return the paper's loss terms, float32 scalars by name.

        Args:
            x: inputs, see contract.py, or images alone.
            y: ground truth, see contract.py.
            outputs: what `call` returned.
            training: False while evaluating: no state may change.
        """
        raise NotImplementedError

    def detections(self, outputs) -> dict:
        """Pick the detections of contract.py out of what `call` returned."""
        keys = (*contract.DETECTION_KEYS, "masks", "keypoints")
        return {key: outputs[key] for key in keys if key in outputs}

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Sum the loss terms and the L2 of the kernels, and track each."""
        if sample_weight is not None:
            raise ValueError(
                f"{type(self).__name__} takes no sample_weight; leave out the "
                "objects that must not count."
            )
        y = _with_a_slot(y)
        terms = self.compute_losses(x, y, y_pred, training)
        terms["l2_loss"] = self._l2_loss()
        for name, value in terms.items():
            self.loss_trackers[name].update_state(value)
        total = ops.sum(ops.stack(list(terms.values())))
        return self.total_loss(ops.zeros([1]), ops.reshape(total, [1]))

    def _l2_loss(self):
        """The papers' weight decay: decay * w in the gradient of w."""
        kernels = [
            ops.sum(ops.square(ops.cast(variable, "float32")))
            for variable in self.trainable_variables
            if variable.name == "kernel"
        ]
        if not self.config.weight_decay or not kernels:
            return ops.zeros([])
        return 0.5 * self.config.weight_decay * ops.sum(ops.stack(kernels))

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Do nothing: all weights are made.

        Under tf.distribute Keras would average a batch here, and fail on the
        booleans of `has_mask`.
        """

    def predict_step(self, *args):
        outputs = super().predict_step(*args)
        # TensorFlow's trainer returns the outputs, JAX's a pair with state.
        if keras.backend.backend() == "jax":
            return self.detections(outputs[0]), outputs[1]
        return self.detections(outputs)

    def compile(self, optimizer=None, **kwargs):
        """Set the optimiser; the losses are the paper's.

        Args:
            optimizer: any Keras optimiser. The default is SGD with momentum
                0.9 and the papers' learning rate for a batch of two images;
                for N images multiply by N / 2. It scales the loss where the
                model computes in float16.
            **kwargs: of keras.Model.compile, but neither losses nor weights.
        """
        given = {"loss", "loss_weights"} & {k for k, v in kwargs.items() if v}
        if given:
            raise ValueError(
                f"{type(self).__name__} computes the losses of its paper; "
                f"compile it without {', '.join(sorted(given))}."
            )
        if optimizer is None:
            optimizer = optimizers.sgd_class(self.dtype_policy)(
                DEFAULT_LEARNING_RATE,
                momentum=0.9,
                global_clipnorm=DEFAULT_CLIP_NORM,
            )
        if isinstance(optimizer, optimizers.LossScaledSGD):
            kwargs["auto_scale_loss"] = False  # it does so itself
        super().compile(optimizer=optimizer, **kwargs)
        # Slots made now, not in the first step: TensorFlow would have to
        # trace that step twice.
        self.optimizer.build(self.trainable_variables)

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))

    def get_config(self):
        backbone = self.given_backbone
        if backbone is not None:
            backbone = keras.saving.serialize_keras_object(backbone)
        return {
            "name": self.name,
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
            "config": config_files.to_dict(self.config),
            "backbone": backbone,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        backbone = config["backbone"]
        if backbone is not None:
            backbone = keras.saving.deserialize_keras_object(
                backbone, custom_objects
            )
        return cls(
            config_files.from_dict(config["config"]),
            backbone,
            name=config["name"],
            dtype=keras.dtype_policies.deserialize(config["dtype"]),
        )

    @classmethod
    def from_preset(
        cls,
        name_or_folder: str,
        *,
        weights: str = "",
        num_classes: int | None = None,
        **kwargs,
    ):
        """Read a model and its weights; see presets.load_model."""
        return presets.load_model(
            cls, name_or_folder, weights, num_classes, **kwargs
        )

    def save_to_preset(self, folder: str) -> None:
        """Write config and weights to a folder; both atomically."""
        files.system(folder).makedirs(folder)
        config_path = os.path.join(folder, presets.CONFIG_NAME)
        config_files.save(self.config, config_path)
        optimizer = [self.optimizer] if self.compiled else []
        weights_path = os.path.join(folder, presets.WEIGHTS_NAME)
        with files.replacing(weights_path) as part:
            keras.saving.save_weights(self, part, objects_to_skip=optimizer)

    def export(self, filepath, format="tf_saved_model", **kwargs):
        """Write a SavedModel: uint8 images [B, H, W, 3] to detections.

        Batch, height and width are free; boxes are in pixels of the images.

        Args:
            filepath: the folder to write.
            format: "tf_saved_model".
            **kwargs: of keras.export.ExportArchive.write_out.

        Raises:
            ValueError: another format.
        """
        if format != "tf_saved_model":
            raise ValueError(
                f'Expected format="tf_saved_model". Received: {format!r}.'
            )

        def serve(images):
            return self.detections(self(images, training=False))

        images = keras.InputSpec("uint8", (None, None, None, 3), name="images")
        archive = keras.export.ExportArchive()
        # XLA inside a SavedModel compiles anew for every image size, and
        # some servers refuse it.
        with compiled.plain_graph():
            archive.add_endpoint("serve", serve, input_signature=[images])
            archive.write_out(filepath, **kwargs)


def _with_a_slot(y: dict) -> dict:
    """Add a slot of padding where there may be none: M is open, or 0.

    What is gathered for an anchor of no object must exist.
    """
    if y["labels"].shape[1]:
        return y
    result = dict(y)
    for key in {"boxes", "labels", "masks", "has_mask", "keypoints"} & set(y):
        rows = [[0, 0], [0, 1], *[[0, 0]] * (len(y[key].shape) - 2)]
        value = contract.PADDING_LABEL if key == "labels" else 0
        result[key] = ops.pad(y[key], rows, constant_values=value)
    return result
