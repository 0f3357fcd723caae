"""The detectors of the FAIR papers (FPN, RetinaNet, ...) for Keras 3."""

__version__ = "0.1.0"
