"""What happens between the steps of `fit`."""

import math
from collections.abc import Callable, Mapping

import keras
from absl import logging

from keras_fair.training import averages, checkpoints


class NaNGuard(keras.callbacks.Callback):
    """Stop at the first loss that is not finite, and name its term.

    `optimizers.FiniteSGD`, the optimiser, keeps such a step away from the
    weights. A gradient may overflow where the loss does not: at the end of
    an epoch a warning says how often.

    Raises:
        FloatingPointError: in `fit`, after the step.
    """

    def on_epoch_begin(self, epoch, logs=None):
        self._bad_steps = int(self.model.optimizer.bad_steps.numpy())

    def on_epoch_end(self, epoch, logs=None):
        count = int(self.model.optimizer.bad_steps.numpy()) - self._bad_steps
        if count:
            logging.warning(
                "%d of the last %d gradients were not finite and counted as "
                "zero. In float16 a few are usual: each halves the loss "
                "scale. Otherwise the loss goes beyond what it can bear: "
                "lower the learning rate, or set a clip_norm.",
                count,
                self.params["steps"],
            )

    def on_train_batch_end(self, batch, logs=None):
        logs = {name: float(value) for name, value in (logs or {}).items()}
        wrong = [k for k, v in logs.items() if not math.isfinite(v)]
        terms = [name for name in wrong if name != "loss"] or wrong
        if terms:
            values = ", ".join(f"{k}={v:.4g}" for k, v in logs.items())
            raise FloatingPointError(
                f"{' and '.join(terms)} stopped being finite at step "
                f"{checkpoints.step_of(self.model)} ({values}). The step "
                "did not reach the weights. Lower the learning rate, lengthen "
                "the warm-up, or set a clip_norm; the last checkpoint is good."
            )


class Checkpoint(keras.callbacks.Callback):
    """Save weights and optimiser at the end of every epoch of `fit`.

    Args:
        folder: where checkpoints go.
        keep: how many of the newest stay.
    """

    def __init__(self, folder: str, keep: int):
        super().__init__()
        self.folder = folder
        self.keep = keep

    def on_epoch_end(self, epoch, logs=None):
        checkpoints.save(self.model, self.folder, keep=self.keep)


class Log(keras.callbacks.CSVLogger):
    """Append to a CSV file; Keras's own cannot close one of tf.io.gfile."""

    def __init__(self, path: str):
        super().__init__(path, append=True)

    def on_train_end(self, logs=None):
        self.csv_file.close()
        self.csv_file = None
        super().on_train_end(logs)


class Evaluation(keras.callbacks.Callback):
    """Evaluate every few epochs of `fit` and log the numbers as `val_...`.

    Averaged weights are evaluated where the optimiser keeps some.
    Epochs without an evaluation log NaN, so that CSV columns stay.

    Args:
        evaluate: takes the model, returns {"AP": 0.5, ...}; entries that are
            not numbers are left out.
        every: number of epochs between evaluations; 0 is only at the end.
        names: what to log.
        has_masks: log the same of the report's "masks" as `val_mask_...`.
        has_keypoints: and of its "keypoints" as `val_keypoint_...`.
        subsets: names of the report's subsets and what the log calls them:
            the first of `names` of each is logged, too, as `val_AP_...`.
    """

    def __init__(
        self,
        evaluate: Callable[[keras.Model], dict],
        every: int,
        names: tuple[str, ...] = ("AP", "AP50", "AP75"),
        has_masks: bool = False,
        has_keypoints: bool = False,
        subsets: Mapping[str, str] | None = None,
    ):
        super().__init__()
        self.evaluate = evaluate
        self.every = every
        self.names = names
        self.subsets = subsets or {}
        self.prefixes = {None: "val_"}  # of the report's parts
        if has_masks:
            self.prefixes["masks"] = "val_mask_"
        if has_keypoints:
            self.prefixes["keypoints"] = "val_keypoint_"
        self.report = None

    def on_epoch_end(self, epoch, logs=None):
        last = epoch + 1 == self.params["epochs"]
        due = last or (self.every and (epoch + 1) % self.every == 0)
        self.report = None
        if due:
            with averages.in_place(self.model):
                self.report = self.evaluate(self.model)
        for part, prefix in self.prefixes.items():
            report = self.report[part] if due and part else self.report
            for name in self.names:
                logs[f"{prefix}{name}"] = report[name] if due else math.nan
            for subset, suffix in self.subsets.items():
                name = self.names[0]
                value = report["subsets"][subset][name] if due else math.nan
                logs[f"{prefix}{name}_{suffix}"] = value
