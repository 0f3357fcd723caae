"""The clients in docs/serving.md run as they stand, but for the port.

They ask stand-ins of TensorFlow Serving, since no binary of it could be had.
"""

import re

import numpy as np
import pytest

from tests import imports
from tests.serving import pictures, rest_server, served

TEXT = (imports.REPOSITORY / "docs" / "serving.md").read_text("utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def run(port_in_docs: str, port: int) -> dict:
    """Run the client of that port in the docs; return what it `found`."""
    (snippet,) = (text for text in SNIPPETS if f":{port_in_docs}" in text)
    names = {}
    snippet = snippet.replace(f":{port_in_docs}", f":{port}")
    exec(compile(snippet, "docs/serving.md", "exec"), names)
    return names["found"]


@pytest.fixture
def wanted(mask_rcnn, tmp_path, monkeypatch):
    """What `predict` finds in the photo.jpg of the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo.jpg").write_bytes(pictures.JPEG)
    return served.expected(mask_rcnn, pictures.JPEG, tmp_path)


def test_the_client_over_rest_gets_what_predict_finds(exported, wanted, capsys):
    with rest_server.running(exported, "r50") as port:
        found = run("8501", port)

    served.assert_equal(
        {name: np.array([value]) for name, value in found.items()}, wanted
    )
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == wanted["num_detections"][0] > 0


def test_the_client_over_grpc_gets_what_predict_finds(exported, wanted):
    pytest.importorskip(
        "tensorflow_serving.apis.predict_pb2",
        reason="tensorflow-serving-api is not installed",
    )
    from tests.serving import grpc_server

    with grpc_server.running(exported, "r50") as port:
        found = run("8500", port)

    served.assert_equal(found, wanted)
