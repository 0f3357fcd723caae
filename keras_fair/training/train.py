"""Train a detector: schedule, checkpoints, logs, evaluation."""

import importlib.util
import os
from collections.abc import Callable, Mapping

import keras
from absl import logging

from keras_fair import optimizers
from keras_fair.config import ProposerConfig, TrainConfig
from keras_fair.training import callbacks, checkpoints, schedules


def make_optimizer(config: TrainConfig) -> keras.optimizers.Optimizer:
    """Return SGD with momentum on the papers' schedule."""
    schedule = schedules.WarmupSteps(
        config.learning_rate,
        drop_steps=config.drop_steps,
        warmup_steps=config.warmup_steps,
        warmup_factor=config.warmup_factor,
    )
    return optimizers.FiniteSGD(
        schedule,
        momentum=config.momentum,
        global_clipnorm=config.clip_norm or None,
    )


def train(
    model: keras.Model,
    make_dataset: Callable,
    config: TrainConfig,
    workdir: str,
    *,
    evaluate: Callable[[keras.Model], dict] | None = None,
    subsets: Mapping[str, str] | None = None,
) -> dict | None:
    """Train to `config.steps`, from the work directory's last checkpoint.

    Writes `checkpoints/`, `log.csv`, `tensorboard/` (where TensorBoard is
    installed) and, at the end, the preset folder `model/`.

    Args:
        model: a detector.
        make_dataset: takes the step to start from, returns endless batches.
        config: the schedule.
        workdir: a local folder, made where it is missing.
        evaluate: takes the model, returns numbers for the log.
        subsets: of classes that are logged, too; see callbacks.Evaluation.

    Returns:
        the last evaluation, or None without `evaluate`.

    Raises:
        ValueError: steps that are not whole numbers of checkpoints.
        FloatingPointError: a loss that is not finite, naming its term.
    """
    _check_steps(config)
    jit = {"auto": "auto", "true": True, "false": False}
    if config.jit_compile not in jit:
        raise ValueError(
            'Expected train.jit_compile "auto", "true" or "false". '
            f"Received: {config.jit_compile!r}."
        )
    model.compile(make_optimizer(config), jit_compile=jit[config.jit_compile])
    folder = os.path.join(workdir, "checkpoints")
    step = checkpoints.restore_latest(model, folder)
    if step:
        logging.info("Resuming at step %d.", step)
    evaluation = callbacks.Evaluation(
        evaluate,
        config.evaluate_steps // config.checkpoint_steps,
        names=_metrics(model),
        has_masks="mask_loss" in model.loss_names,
        has_keypoints="keypoint_loss" in model.loss_names,
        subsets=subsets,
    )
    if step < config.steps:
        model.fit(
            make_dataset(step),
            shuffle=False,  # the data set is in its order already
            initial_epoch=step // config.checkpoint_steps,
            epochs=config.steps // config.checkpoint_steps,
            steps_per_epoch=config.checkpoint_steps,
            callbacks=[
                callbacks.NaNGuard(),
                callbacks.Checkpoint(folder, config.keep_checkpoints),
                *([evaluation] if evaluate else []),
                *_loggers(workdir),
            ],
        )
    elif evaluate:
        evaluation.report = evaluate(model)
    model.save_to_preset(os.path.join(workdir, "model"))
    return evaluation.report


def _metrics(model: keras.Model) -> tuple[str, ...]:
    """Return what the log has of each evaluation."""
    if isinstance(model.config, ProposerConfig):
        return ("AR100", "AR1000")
    return ("AP", "AP50", "AP75")


def _check_steps(config: TrainConfig) -> None:
    for name in ("steps", "evaluate_steps"):
        if getattr(config, name) % config.checkpoint_steps:
            raise ValueError(
                f"Expected train.{name} to be a multiple of "
                f"train.checkpoint_steps. Received: {getattr(config, name)} "
                f"and {config.checkpoint_steps}."
            )


def _loggers(workdir: str) -> list[keras.callbacks.Callback]:
    os.makedirs(workdir, exist_ok=True)
    log = os.path.join(workdir, "log.csv")
    loggers = [keras.callbacks.CSVLogger(log, append=True)]
    found = [
        importlib.util.find_spec(name) for name in ("tensorflow", "tensorboard")
    ]
    if all(found):
        folder = os.path.join(workdir, "tensorboard")
        loggers.append(keras.callbacks.TensorBoard(folder))
    else:
        logging.info("No TensorBoard logs: tensorboard is not installed.")
    return loggers
