"""The detectors of the FAIR papers for Keras 3, on TensorFlow and JAX.

    model = keras_fair.RetinaNet(keras_fair.RetinaNetConfig(num_classes=3))
    model.compile()
    model.fit(dataset)  # batches as contract.py describes them

Importing this imports no TensorFlow. `keras_fair.data.pipeline`, which makes
data sets, and the programs in `keras_fair.bin` do, and are imported by name.
"""

from keras_fair import (
    config,
    contract,
    data,
    evaluation,
    layers,
    losses,
    models,
    ops,
    visualization,
)
from keras_fair.config import (
    FasterRCNNConfig,
    KeypointRCNNConfig,
    MaskProposalsConfig,
    MaskRCNNConfig,
    MaskXRCNNConfig,
    RetinaNetConfig,
    RPNConfig,
)
from keras_fair.models import (
    RPN,
    FasterRCNN,
    KeypointRCNN,
    MaskProposalNetwork,
    MaskRCNN,
    MaskXRCNN,
    RetinaNet,
)

__version__ = "0.1.0"

__all__ = [
    "FasterRCNN",
    "FasterRCNNConfig",
    "KeypointRCNN",
    "KeypointRCNNConfig",
    "MaskProposalNetwork",
    "MaskProposalsConfig",
    "MaskRCNN",
    "MaskRCNNConfig",
    "MaskXRCNN",
    "MaskXRCNNConfig",
    "RPN",
    "RPNConfig",
    "RetinaNet",
    "RetinaNetConfig",
    "config",
    "contract",
    "data",
    "evaluation",
    "layers",
    "losses",
    "models",
    "ops",
    "visualization",
]
