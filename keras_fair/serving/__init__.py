"""Models as files that other programs run, without Keras and this package.

saved_model   TensorFlow Serving, and whatever reads SavedModels
litert        phones and other small machines

Importing this imports TensorFlow; `import keras_fair` does not import this.
"""

from keras_fair.serving.litert import export_litert
from keras_fair.serving.saved_model import export_saved_model

__all__ = ["export_litert", "export_saved_model"]
