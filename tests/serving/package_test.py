"""What the package offers under its own name."""

import subprocess
import sys

from keras_fair import serving
from keras_fair.serving import litert, saved_model


def test_the_exports_are_offered_by_the_package():
    assert serving.export_saved_model is saved_model.export_saved_model
    assert serving.export_litert is litert.export_litert


def test_the_package_imports_without_what_only_some_exports_need():
    names = ("ai_edge_litert", "ai_edge_quantizer", "tensorflow_serving")
    hidden = "".join(f"sys.modules[{name!r}] = None\n" for name in names)
    program = (
        f"import sys\n{hidden}from keras_fair import serving\n"
        "assert serving.export_litert and serving.export_saved_model\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
