import json
import os
import subprocess
import sys

import pytest

from keras_fair import files


def test_the_file_takes_its_place_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    with files.replacing(path) as part:
        assert part.endswith("a.png")
        with open(part, "wb") as file:
            file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a.png"]


def test_a_failure_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.json"
    files.write_json(path, {"a": 1})
    with pytest.raises(TypeError, match="not JSON serializable"):
        files.write_json(path, {"a": 2, "b": object()})
    assert json.loads(path.read_text("utf-8")) == {"a": 1}
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_killed_process_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    program = (
        "import os, sys\n"
        "from keras_fair import files\n"
        "with files.replacing(sys.argv[1]) as part:\n"
        "    open(part, 'w').write('half')\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    run = subprocess.run([sys.executable, "-c", program, path], check=False)
    assert run.returncode == -9
    assert path.read_text() == "old"


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing"):
        files.write_json(tmp_path / "missing" / "a.json", {})


def test_a_folder_without_room_is_refused(tmp_path):
    files.check_free(tmp_path, 1)
    with pytest.raises(OSError, match="Expected 1000000000000.0 MB of free"):
        files.check_free(tmp_path, 10**18)
    files.check_free("gs://bucket/run", 10**18)  # nobody knows


@pytest.fixture
def remote(tmp_path):
    """A folder of TensorFlow's file system in memory."""
    gfile = pytest.importorskip("tensorflow").io.gfile
    folder = f"ram://{tmp_path}"
    gfile.makedirs(folder)
    return folder


def test_a_remote_file_takes_its_place_whole(remote):
    path = files.join(remote, "a.json")
    assert files.join("/elsewhere", path) == path
    files.write_json(path, {"a": 1})
    with pytest.raises(TypeError, match="not JSON serializable"):
        files.write_json(path, {"a": object()})
    files.write_json(path, {"a": 2})
    with files.local_copy(path) as copy:
        assert json.loads(open(copy, "rb").read()) == {"a": 2}
    assert not os.path.exists(copy)
    assert files.system(path).listdir(remote) == ["a.json"]


def test_a_file_that_is_gone_is_removed(tmp_path, remote):
    for folder in (str(tmp_path), remote):
        path = files.join(folder, "a.json")
        files.write_json(path, {})
        files.remove(path)
        files.remove(path)
        assert not files.system(path).exists(path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        files.remove(tmp_path / "folder")


def test_a_remote_path_without_tensorflow_is_explained(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    message = "Expected a local path, or TensorFlow to reach gs://a/b"
    with pytest.raises(ModuleNotFoundError, match=message):
        files.system("gs://a/b")


def test_a_path_of_an_unknown_scheme_is_explained():
    pytest.importorskip("tensorflow")
    message = "or one of .*ram://. Received: http://a/b.jpg. Download"
    with pytest.raises(ValueError, match=message):
        files.is_file("http://a/b.jpg")


def test_many_questions_ask_a_remote_folder_once(tmp_path, remote):
    path = files.join(remote, "a.json")
    files.write_json(path, {})
    missing = files.join(remote, "missing/a.json")
    listings = {}
    for known in (None, listings):
        assert files.is_file(path, known)
        assert not files.is_file(path + "x", known)
        assert not files.is_file(missing, known)
    files.remove(path)
    assert not files.is_file(path)
    assert files.is_file(path, listings)
    assert not files.is_file(str(tmp_path), listings)
