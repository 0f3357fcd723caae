"""What docs/serving.md's client asks of TensorFlow Serving over REST.

A stand-in where there is no TensorFlow Serving: its path, its JSON and its
base64 for bytes, answered with the SavedModel.
"""

import base64
import contextlib
import http.server
import json
import threading
from collections.abc import Iterator

import tensorflow as tf


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers `:predict` with rows, as to `instances`."""

    def do_POST(self):
        if self.path != f"/v1/models/{self.server.name}:predict":
            self.send_error(404)
            return
        body = self.rfile.read(int(self.headers["Content-Length"]))
        found = self._ask(**json.loads(body))
        rows = len(found["labels"])
        predictions = [
            {name: value[row].tolist() for name, value in found.items()}
            for row in range(rows)
        ]
        answer = json.dumps({"predictions": predictions}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _ask(self, signature_name: str, instances: list) -> dict:
        files = [base64.b64decode(each["images"]["b64"]) for each in instances]
        signature = self.server.signatures[signature_name]
        found = signature(images=tf.constant(files))
        return {name: value.numpy() for name, value in found.items()}


@contextlib.contextmanager
def running(folder, name: str) -> Iterator[int]:
    """Serve a SavedModel on loopback under that name; give the port."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.name = name
    server.signatures = tf.saved_model.load(str(folder)).signatures
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
