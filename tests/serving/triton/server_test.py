"""A real server, NVIDIA Triton, and its own client, asked by many at once.

Its packages pin an old NumPy, so they live in an environment of their own:

    python3.11 -m venv /tmp/triton
    /tmp/triton/bin/pip install nvidia-pytriton 'tritonclient[all]' \
        tensorflow-cpu==2.21.0 'numpy<2'
    KERAS_FAIR_TRITON_PYTHON=/tmp/triton/bin/python \
        python -m pytest -m slow tests/serving/triton
"""

import contextlib
import os
import pathlib
import socket
import subprocess
import time
import urllib.request

import numpy as np
import pytest

from tests.serving import pictures, served

FOLDER = pathlib.Path(__file__).parent
PYTHON = os.environ.get("KERAS_FAIR_TRITON_PYTHON", "")
START_SECONDS = 300

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not PYTHON,
        reason="KERAS_FAIR_TRITON_PYTHON names no Python with nvidia-pytriton",
    ),
]


def environment() -> dict:
    """Return the variables: Triton's Python must find the one it runs in."""
    prefix = subprocess.run(
        [PYTHON, "-c", "import sys; print(sys.base_prefix)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    return {**os.environ, "LD_LIBRARY_PATH": f"{prefix}/lib"}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="module")
def ports(exported, tmp_path_factory):
    """The ports, HTTP and gRPC, of a server that is ready."""
    numbers = free_port(), free_port()
    log = tmp_path_factory.mktemp("triton") / "log"
    with open(log, "w") as file:
        server = subprocess.Popen(
            [PYTHON, FOLDER / "server.py", exported, *map(str, numbers)],
            env=environment(),
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        wait(server, f"http://127.0.0.1:{numbers[0]}/v2/models/detector/ready")
        yield numbers
    finally:
        server.terminate()
        server.wait(60)
        print(log.read_text())


def wait(server: subprocess.Popen, url: str) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and server.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(url):
            return
        time.sleep(1)
    pytest.fail("The server did not become ready.")


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_many_clients_at_once_get_what_predict_finds(
    ports, mask_rcnn, tmp_path, protocol
):
    bad = [f"bad {number}" for number in range(len(pictures.BAD))]
    files = dict(zip(bad, pictures.BAD.values()))
    for seed in range(16):
        files[f"{seed}"] = pictures.encode(pictures.pixels(40, 50, seed))
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    port = ports[protocol == "grpc"]
    subprocess.run(
        [PYTHON, FOLDER / "client.py", protocol, f"127.0.0.1:{port}", *files],
        cwd=tmp_path,
        env=environment(),
        check=True,
        timeout=300,
    )
    for name, content in files.items():
        found = dict(np.load(tmp_path / f"{name}.npz"))
        found["num_detections"] = found["num_detections"][:, 0]
        if name in bad:
            assert found["num_detections"] == -1
        else:
            wanted = served.expected(mask_rcnn, content, tmp_path)
            served.assert_equal(found, wanted)
