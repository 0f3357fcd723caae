"""Ask a Triton server for the detections of files, all at once.

python client.py PROTOCOL ADDRESS FILE..., with tritonclient; the answers go
to FILE.npz. PROTOCOL is http or grpc.
"""

import concurrent.futures
import importlib
import sys

import numpy as np


def main(protocol: str, address: str, *paths: str) -> None:
    module = importlib.import_module(f"tritonclient.{protocol}")

    def ask(path: str) -> None:
        # A client belongs to one thread.
        with module.InferenceServerClient(address) as client:
            with open(path, "rb") as file:
                content = np.array([[file.read()]], object)
            images = module.InferInput("images", [1, 1], "BYTES")
            images.set_data_from_numpy(content)
            answer = client.infer("detector", [images])
            names = [
                output["name"] if protocol == "http" else output.name
                for output in _outputs(client.get_model_metadata("detector"))
            ]
            np.savez(path, **{name: answer.as_numpy(name) for name in names})

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, paths))


def _outputs(metadata):
    return (
        metadata["outputs"] if isinstance(metadata, dict) else metadata.outputs
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
