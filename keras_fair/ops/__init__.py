"""Geometry as pure functions of tensors: float32, static shapes."""
