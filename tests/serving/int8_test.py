"""Bytes instead of floats; the detector's own test is in litert_test.py."""

import pytest

from keras_fair.serving import int8


def test_without_the_quantizer_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(int8, "quantizer", None)
    with pytest.raises(ImportError, match="pip install 'keras-fair.int8.'"):
        int8.quantise(b"", [], "serving_default")
