"""Views of images and their objects: cut, mirrored, recoloured, composed.

`views` draws them in NumPy; the others make them in TensorFlow, of tensors
alone. `data` reads the files and imports this package, never the other way.
"""
