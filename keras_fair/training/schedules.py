"""The learning rate of the papers: warm up, then divide by ten."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_fair")
class WarmupSteps(keras.optimizers.schedules.LearningRateSchedule):
    """Rise linearly from a fraction, then drop tenfold at given steps.

    Example, steps 0, 250, 500 and 60,000 of RetinaNet's schedule:
        0.00333, 0.00667, 0.01, 0.001

    Args:
        learning_rate: the rate after the warm-up.
        drop_steps: the steps from which the rate is ten times lower.
        warmup_steps: length of the warm-up; 0 is none.
        warmup_factor: the fraction of the rate at step 0.
        parts: the optimiser counts so many for a step (accumulation).
    """

    def __init__(
        self,
        learning_rate: float,
        *,
        drop_steps: tuple[int, ...] = (),
        warmup_steps: int = 0,
        warmup_factor: float = 1 / 3,
        parts: int = 1,
    ):
        super().__init__()
        self.learning_rate = learning_rate
        self.drop_steps = tuple(drop_steps)
        self.warmup_steps = warmup_steps
        self.warmup_factor = warmup_factor
        self.parts = parts

    def __call__(self, step):
        step = ops.cast(step // self.parts, "float32")
        rate = ops.convert_to_tensor(self.learning_rate, "float32")
        for drop_step in self.drop_steps:
            rate = ops.where(step >= drop_step, rate * 0.1, rate)
        if self.warmup_steps:
            done = ops.minimum(step / self.warmup_steps, 1.0)
            rate *= self.warmup_factor + (1.0 - self.warmup_factor) * done
        return rate

    def get_config(self):
        return {
            "learning_rate": self.learning_rate,
            "drop_steps": self.drop_steps,
            "warmup_steps": self.warmup_steps,
            "warmup_factor": self.warmup_factor,
            "parts": self.parts,
        }
