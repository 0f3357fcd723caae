"""Models as files that other programs run, without Keras and this package.

saved_model   TensorFlow Serving, and whatever reads SavedModels
litert        phones and other small machines
"""
