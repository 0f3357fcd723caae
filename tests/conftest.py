"""What every test starts from."""

import os

import hypothesis
import pytest

# Before the first import of TensorFlow: its start-up lines hide failures.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

# The machines that run this are slow and shared: an example may take long,
# and a failure must come back when the test runs again.
hypothesis.settings.register_profile(
    "repeatable", deadline=None, derandomize=True
)
hypothesis.settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def same_start():
    """Seed Keras, and give back the dtype policy that a test has changed."""
    import keras

    keras.utils.set_random_seed(0)
    policy = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(policy)
