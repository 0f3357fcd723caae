import importlib.util
import os
import pathlib
import runpy
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from keras_fair.data import coco, datasets, union
from tests import shared

tfds = pytest.importorskip("tensorflow_datasets")


def prepare(splits, folder, **options):
    # Imports tensorflow-datasets.
    from keras_fair.data import instances_builder

    options = {"config": "small", "data_dir": str(folder), **options}
    builder = instances_builder.InstancesBuilder(splits, **options)
    builder.write()
    return builder


def read(folder, split="train"):
    """Read as any program would that has only tensorflow-datasets."""
    builder = tfds.builder_from_directory(folder)
    examples = tfds.as_numpy(builder.as_dataset(split=split))
    return sorted(examples, key=lambda example: example["image/index"])


@pytest.fixture
def small(coco_files):
    coco_files.add_keypoints()
    return coco.CocoDataset(
        *coco_files.write(), with_masks=True, with_keypoints=True
    )


@pytest.fixture
def written(small, tmp_path):
    return prepare({"train": small, "val": small}, tmp_path / "out")


def test_it_is_versioned_and_has_splits(written, tmp_path):
    folder = tmp_path / "out" / "keras_fair_instances" / "small" / "1.0.0"
    assert pathlib.Path(written.data_dir) == folder
    info = tfds.builder_from_directory(folder).info
    assert {k: v.num_examples for k, v in info.splits.items()} == {
        "train": 3,
        "val": 3,
    }
    assert info.splits["train[:2]"].num_examples == 2
    assert info.features["objects"]["label"].names == ["cat", "dog"]
    assert info.metadata["category_ids"] == [3, 7]


def test_tfds_finds_it_by_name(written, tmp_path):
    data = tfds.load(
        "keras_fair_instances/small", split="val", data_dir=tmp_path / "out"
    )
    assert len(data) == 3


def test_examples_hold_what_the_source_says(written):
    first, second, third = read(written.data_dir)
    objects = first["objects"]
    assert [e["image/id"] for e in (first, second, third)] == [11, 10, 12]
    assert first["image/filename"] == b"a.png"
    np.testing.assert_array_equal(
        objects["pixel_box"],
        np.array([[10, 5, 30, 15], [0.5, 30, 4.5, 36.5]], np.float32),
    )
    np.testing.assert_allclose(
        objects["bbox"][0], [5 / 40, 10 / 60, 15 / 40, 30 / 60], rtol=1e-6
    )
    assert objects["label"].tolist() == [1, 0]
    assert objects["id"].tolist() == [1, 2]
    assert objects["has_mask"].tolist() == [True, False]
    assert objects["counts"][1] == b""
    assert second["objects"]["is_crowd"].tolist() == [False, True]
    assert second["objects"]["keypoints"][0].tolist() == [
        [10, 20, 2],
        [5, 15, 1],
        [0, 0, 0],
    ]
    assert third["objects"]["bbox"].shape == (0, 4)


def test_images_are_the_files_own_bytes(written, small):
    builder = tfds.builder_from_directory(written.data_dir)
    data = builder.as_dataset(
        split="train", decoders={"image": tfds.decode.SkipDecoding()}
    )
    paths = {record.image_id: record.path for record in small.records}
    for example in tfds.as_numpy(data):
        stored = pathlib.Path(paths[int(example["image/id"])]).read_bytes()
        assert example["image"] == stored


def test_masks_stay_away_where_they_are_not_read(coco_files, tmp_path):
    boxes = coco.CocoDataset(*coco_files.write())
    folder = prepare({"train": boxes}, tmp_path / "out").data_dir
    for example in read(folder):
        assert not example["objects"]["has_mask"].any()
        assert "keypoints" not in example["objects"]


def test_a_union_is_written_under_its_joint_names(coco_files, tmp_path):
    one = coco.CocoDataset(*coco_files.write(), with_masks=True)
    two = coco.CocoDataset(*coco_files.write(), class_map={"dog": "wolf"})
    joined = union.UnionDataset([one, two])
    folder = prepare({"train": joined}, tmp_path / "out").data_dir
    found = read(folder)
    assert [e["image/id"] for e in found] == [1, 2, 3, 4, 5, 6]
    assert found[0]["objects"]["label"].tolist() == [1, 0]
    assert found[3]["objects"]["label"].tolist() == [2, 0]
    assert not found[3]["objects"]["has_mask"].any()


def test_splits_of_other_classes_are_refused(coco_files, tmp_path):
    one = coco.CocoDataset(*coco_files.write())
    two = coco.CocoDataset(*coco_files.write(), class_map={"dog": "wolf"})
    with pytest.raises(ValueError, match="splits of the same category ids"):
        prepare({"train": one, "val": two}, tmp_path)


def test_two_classes_of_a_name_are_refused(coco_files, tmp_path):
    for category in coco_files.content["categories"]:
        category["name"] = "cat"
    twice = coco.CocoDataset(*coco_files.write())
    with pytest.raises(ValueError, match="Received twice: cat. Rename"):
        prepare({"train": twice}, tmp_path)


def test_what_fails_leaves_nothing_that_looks_complete(small, tmp_path):
    gone = small.records[1].path
    os.rename(gone, gone + "x")
    with pytest.raises(FileNotFoundError):
        prepare({"train": small}, tmp_path / "out")
    folder = tmp_path / "out" / "keras_fair_instances" / "small" / "1.0.0"
    assert not folder.exists()
    os.rename(gone + "x", gone)
    assert len(read(prepare({"train": small}, tmp_path / "out").data_dir)) == 3


# Without a runner, or on the one that the fourth argument names.
KILLED = """
import os, signal, sys
from keras_fair.data import coco, file_parts, instances_builder

def read(name, whole=file_parts.read):
    if name.endswith("b.png"):
        os.kill(os.getpid(), signal.SIGKILL)
    return whole(name)

file_parts.read = read
source = coco.CocoDataset(sys.argv[1], sys.argv[2], with_masks=True)
instances_builder.InstancesBuilder(
    {"train": source},
    config="small",
    data_dir=sys.argv[3],
    beam_runner=sys.argv[4] or None,
).write()
"""


@pytest.mark.parametrize("runner", ["", "DirectRunner"])
def test_a_killed_run_starts_anew(coco_files, small, tmp_path, runner):
    if runner:
        import_beam()
    arguments = [*coco_files.write(), str(tmp_path / "out"), runner]
    done = subprocess.run([sys.executable, "-c", KILLED, *arguments])
    assert done.returncode == -signal.SIGKILL
    folder = tmp_path / "out" / "keras_fair_instances" / "small"
    (left,) = folder.iterdir()
    assert left.name.startswith("incomplete")
    found = read(prepare({"train": small}, tmp_path / "out").data_dir)
    assert len(found) == 3


def test_what_is_there_is_not_written_again(written, small, tmp_path):
    path = pathlib.Path(written.data_dir) / "dataset_info.json"
    before = path.stat().st_mtime_ns
    prepare({"train": small}, tmp_path / "out")
    assert path.stat().st_mtime_ns == before
    prepare({"train": small}, tmp_path / "out", version="1.1.0")
    assert (path.parents[1] / "1.1.0").is_dir()


def test_beam_that_is_not_installed_is_named(small, tmp_path, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if name == "apache_beam" else find_spec(name),
    )
    message = "DirectRunner needs the package apache-beam"
    with pytest.raises(ModuleNotFoundError, match=message):
        prepare({"train": small}, tmp_path, beam_runner="DirectRunner")


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    path = datasets.__file__.replace("datasets.py", "instances_builder.py")
    with pytest.raises(ModuleNotFoundError, match=r"keras-fair\[tfds\]"):
        runpy.run_path(path)


def test_options_of_beam_without_a_runner_are_refused(small, tmp_path):
    with pytest.raises(ValueError, match="Expected a beam_runner .* --a=b"):
        prepare({"train": small}, tmp_path, beam_options=["--a=b"])


def import_beam():
    reason = "apache-beam is not installed"
    return pytest.importorskip("apache_beam", reason=reason)


def stored(folder, split="train"):
    """Return every bit of a split's examples, in the order of the shards.

    Protocol buffers write the entries of a map in any order.
    """
    import tensorflow as tf

    paths = sorted(map(str, pathlib.Path(folder).glob(f"*-{split}.tfrecord*")))
    records = list(tf.data.TFRecordDataset(paths).as_numpy_iterator())
    assert records
    return [
        tf.train.Example.FromString(each).SerializeToString(deterministic=True)
        for each in records
    ]


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--direct_running_mode=multi_processing", "--direct_num_workers=2"],
    ],
)
def test_beam_writes_the_same_examples(small, written, tmp_path, options):
    import_beam()
    splits = {"train": small, "val": small}
    folder = prepare(
        splits,
        tmp_path / "beam",
        beam_runner="DirectRunner",
        beam_options=options,
    ).data_dir
    for split in splits:
        assert stored(folder, split) == stored(written.data_dir, split)
    assert sorted(os.listdir(folder)) == sorted(os.listdir(written.data_dir))


@pytest.fixture
def worker_pool(tmp_path):
    """Start what starts Beam's workers, in another folder; give its address.

    It stands for other machines that have this package and see the disk.
    """
    import_beam()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    program = "apache_beam.runners.worker.worker_pool_main"
    binaries = os.path.dirname(sys.executable)  # it starts "python"
    pool = subprocess.Popen(
        [sys.executable, "-m", program, f"--service_port={port}"],
        cwd=elsewhere,
        env={
            **os.environ,
            "PATH": os.pathsep.join([binaries, os.environ["PATH"]]),
            "PYTHONPATH": str(pathlib.Path(coco.__file__).parents[2]),
        },
    )
    while pool.poll() is None:
        with socket.socket() as it:
            if it.connect_ex(("localhost", port)) == 0:
                break
        time.sleep(0.1)
    yield f"localhost:{port}"
    pool.terminate()
    pool.wait()


def test_workers_elsewhere_need_the_paths_only(
    coco_files, worker_pool, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    source = coco.CocoDataset(*map(os.path.relpath, coco_files.write()))
    expected = prepare({"train": source}, "here").data_dir
    options = [
        "--job_endpoint=embed",
        "--environment_type=EXTERNAL",
        f"--environment_config={worker_pool}",
    ]
    found = prepare(
        {"train": source},
        "there",
        beam_runner="PortableRunner",
        beam_options=options,
    ).data_dir
    assert stored(found) == stored(expected)


def test_the_graph_of_beam_is_as_small_for_any_data(coco_files, tmp_path):
    beam = import_beam()
    sizes = []

    class Measure(beam.runners.runner.PipelineRunner):
        def run_pipeline(self, pipeline, options):
            sizes.append(len(pipeline.to_runner_api().SerializeToString()))
            raise InterruptedError

    def measure(images):
        coco_files.content["images"] = images
        coco_files.content["annotations"] = [
            {**coco_files.content["annotations"][0], "id": i, "image_id": i}
            for i in range(len(images))
        ]
        source = coco.CocoDataset(*coco_files.write())
        with pytest.raises(InterruptedError):
            prepare({"train": source}, tmp_path / "out", beam_runner=Measure())

    image = coco_files.content["images"][0]
    measure([{**image, "id": 0}])
    measure([{**image, "id": i} for i in range(1000)])
    # Other names of temporary folders; an example has some hundred bytes.
    assert abs(sizes[1] - sizes[0]) < 1000


def test_what_fails_on_beam_leaves_nothing(small, tmp_path):
    import_beam()
    gone = small.records[1].path
    os.rename(gone, gone + "x")
    with pytest.raises((FileNotFoundError, RuntimeError), match="b.png"):
        prepare({"train": small}, tmp_path / "out", beam_runner="DirectRunner")
    assert not os.listdir(tmp_path / "out" / "keras_fair_instances" / "small")


@pytest.mark.parametrize("runner", [None, "DirectRunner"])
def test_remote_files_give_the_same_examples(
    coco_files, tmp_path, to_memory, runner
):
    if runner:
        import_beam()
    local = coco.CocoDataset(*coco_files.write(), with_masks=True)
    out = tmp_path / "out"
    expected = stored(prepare({"train": local}, out).data_dir)
    folder = to_memory(tmp_path)
    remote = coco.CocoDataset(
        f"{folder}/instances.json", f"{folder}/images", with_masks=True
    )
    found = prepare({"train": remote}, out, beam_runner=runner).data_dir
    assert stored(found) == expected


@pytest.mark.parametrize("split", ["train", "val"])
def test_beam_writes_real_images_as_without_it(tmp_path, split):
    import_beam()
    folder = shared.coco_tiny()
    source = coco.CocoDataset(
        str(folder / "annotations" / f"instances_{split}2017.json"),
        str(folder / f"{split}2017"),
        with_masks=True,
    )
    found, expected = (
        prepare({split: source}, tmp_path / name, beam_runner=runner).data_dir
        for name, runner in (("beam", "DirectRunner"), ("here", None))
    )
    assert stored(found, split) == stored(expected, split)


def test_real_annotations_are_written_without_a_fault(tmp_path):
    folder = shared.coco_tiny()
    val = coco.CocoDataset(
        str(folder / "annotations" / "instances_val2017.json"),
        str(folder / "val2017"),
        with_masks=True,
        max_images=10,
    )
    found = read(prepare({"val": val}, tmp_path).data_dir, "val")
    assert sum(e["objects"]["has_mask"].sum() for e in found) == len(
        val.to_coco().anns
    )
