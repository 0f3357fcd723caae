"""Input: annotation files and images to batches that obey the contract.

`coco` and `synthetic` need no TensorFlow and nothing is imported here, so
that they serve an environment without it; `pipeline.make_dataset` needs it.
"""
