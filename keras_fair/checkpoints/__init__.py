"""Weights of other libraries, for our models. NumPy and Keras only."""
