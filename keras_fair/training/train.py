"""Train a detector: schedule, checkpoints, logs, evaluation."""

import importlib.util
import math
import os
from collections.abc import Callable, Mapping

import keras
from absl import logging

from keras_fair import files, optimizers
from keras_fair.config import ProposerConfig, TrainConfig
from keras_fair.training import callbacks, checkpoints, devices, schedules


def make_optimizer(
    config: TrainConfig, policy: keras.dtype_policies.DTypePolicy
) -> optimizers.FiniteSGD:
    """Return SGD with momentum on the papers' schedule.

    Args:
        config: the schedule.
        policy: of the model; float16 needs a scaled loss.
    """
    parts = config.accumulation
    schedule = schedules.WarmupSteps(
        config.learning_rate,
        drop_steps=config.drop_steps,
        warmup_steps=config.warmup_steps,
        warmup_factor=config.warmup_factor,
        parts=parts,
    )
    return optimizers.sgd_class(policy)(
        schedule,
        momentum=config.momentum,
        global_clipnorm=config.clip_norm or None,
        gradient_accumulation_steps=parts if parts > 1 else None,
        use_ema=config.ema_momentum > 0,
        # Keras averages after each part.
        ema_momentum=config.ema_momentum ** (1 / parts),
    )


def train(
    model: keras.Model,
    make_dataset: Callable,
    config: TrainConfig,
    workdir: str,
    *,
    chosen: devices.OneDevice | None = None,
    evaluate: Callable[[keras.Model], dict] | None = None,
    subsets: Mapping[str, str] | None = None,
) -> dict | None:
    """Train to `config.steps`, from the work directory's last checkpoint.

    Writes `checkpoints/`, `log.csv`, `tensorboard/` (where TensorBoard is
    installed) and, at the end, the preset folder `model/`. Of several
    processes, which must share the folder, the first writes.

    Args:
        model: a detector, made in the scope of `chosen`.
        make_dataset: takes the step to start from, returns endless batches:
            this process' part of each, in `config.accumulation` parts.
        config: the schedule.
        workdir: made where it is missing; any path of tf.io.gfile.
        chosen: the devices; by default Keras's choice of one.
        evaluate: takes the model, returns numbers for the log.
        subsets: of classes that are logged, too; see callbacks.Evaluation.

    Returns:
        the last evaluation, or None without `evaluate`.

    Raises:
        ValueError: steps that are not whole numbers of checkpoints, or
            that the last checkpoint does not fit; processes that see other
            checkpoints than the first.
        FloatingPointError: a loss that is not finite, naming its term.
    """
    _check_steps(config)
    chosen = chosen or devices.OneDevice()
    folder = os.path.join(workdir, checkpoints.FOLDER)
    with chosen.scope():
        compile_model(model, config)
        step = checkpoints.restore_latest(model, folder)
    _check_same_step(step, chosen, folder)
    if step:
        _check_position(step, config)
        logging.info("Resuming at step %d.", step)
    evaluation = callbacks.Evaluation(
        evaluate,
        config.evaluate_steps // config.checkpoint_steps,
        names=_metrics(model),
        has_masks="mask_loss" in model.loss_names,
        has_keypoints="keypoint_loss" in model.loss_names,
        subsets=subsets,
    )
    writers = []
    if chosen.process == 0:
        saving = callbacks.Checkpoint(folder, config.keep_checkpoints)
        writers = [saving, *_loggers(workdir)]
    if step < config.steps:
        parts = config.accumulation
        every = config.checkpoint_steps
        chosen.fit(
            model,
            make_dataset(step),
            epochs=range(step // every, config.steps // every),
            steps_per_epoch=every * parts,
            callbacks=[
                callbacks.NaNGuard(),
                *writers[:1],
                *([evaluation] if evaluate else []),
                *writers[1:],
            ],
        )
    # What `fit` does at its end, and a run that had ended must, too.
    model.optimizer.finalize_variable_values(model.trainable_variables)
    if step >= config.steps and evaluate:
        evaluation.report = evaluate(model)
    if chosen.process == 0:
        model.save_to_preset(os.path.join(workdir, "model"))
    return evaluation.report


def compile_model(model: keras.Model, config: TrainConfig) -> None:
    """Give a detector the optimiser and the options that a config names.

    Raises:
        ValueError: an unknown jit_compile, or a backbone that cannot be
            recomputed.
    """
    jit = {"auto": "auto", "true": True, "false": False}
    if config.jit_compile not in jit:
        raise ValueError(
            'Expected train.jit_compile "auto", "true" or "false". '
            f"Received: {config.jit_compile!r}."
        )
    if config.recompute_backbone:
        model.recompute_backbone()
    optimizer = make_optimizer(config, model.dtype_policy)
    model.compile(optimizer, jit_compile=jit[config.jit_compile])


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


def _check_same_step(step: int, chosen: devices.OneDevice, folder: str) -> None:
    """Refuse folders of several hosts that are not the same one.

    Their weights would differ, and each step make a mixture of them.
    """
    steps = [int(each) for each in chosen.gather(str(step).encode())]
    if len(set(steps)) > 1:
        raise ValueError(
            f"Expected all processes to see the checkpoints in {folder}. "
            f"Received, by process, the last steps {steps}. Give a --workdir "
            "that all hosts share."
        )


def _check_position(step: int, config: TrainConfig) -> None:
    """Refuse a schedule in which the last checkpoint has no place."""
    if step > config.steps:
        raise ValueError(
            f"Expected train.steps of at least {step}, the last checkpoint. "
            f"Received: {config.steps}. Train in a new work directory, or "
            "remove the later checkpoints."
        )
    if step % config.checkpoint_steps:
        raise ValueError(
            "Expected train.checkpoint_steps to divide the step of the last "
            f"checkpoint, {step}. Received: {config.checkpoint_steps}. Try "
            f"{math.gcd(step, config.checkpoint_steps)}."
        )


def _loggers(workdir: str) -> list[keras.callbacks.Callback]:
    files.system(workdir).makedirs(workdir)
    log = os.path.join(workdir, "log.csv")
    loggers = [callbacks.Log(log)]
    found = [
        importlib.util.find_spec(name) for name in ("tensorflow", "tensorboard")
    ]
    if all(found):
        folder = os.path.join(workdir, "tensorboard")
        loggers.append(keras.callbacks.TensorBoard(folder))
    else:
        logging.info("No TensorBoard logs: tensorboard is not installed.")
    return loggers
