import ast
import dataclasses
import json
import pathlib

import keras
import pytest

from keras_fair import config, config_files, models

FILES = sorted((pathlib.Path(__file__).parents[1] / "configs").glob("*.py"))


def changed_experiment():
    """An experiment with one value of every type away from its default."""
    return config.Experiment(
        model=config.RetinaNetConfig(
            num_classes=3,
            class_names=("circle", "square", "triangle"),
            backbone=config.BackboneConfig(name="resnet18"),
            anchor_sizes=((32.0, 40.0), (64.0,)),
            force_best_match=False,
        ),
        data=config.DataConfig(canvases=((64, 96),), scale_jitter=(0.5, 2.0)),
        train=config.TrainConfig(learning_rate=0.25, drop_steps=()),
    )


def test_to_dict_and_json_and_from_dict_give_the_same_config():
    experiment = changed_experiment()

    text = json.dumps(config_files.to_dict(experiment))

    assert config_files.from_dict(json.loads(text)) == experiment


def test_to_dict_names_the_class_of_each_level():
    values = config_files.to_dict(config.Experiment())

    assert values["class"] == "Experiment"
    assert values["model"]["class"] == "RetinaNetConfig"
    assert values["model"]["backbone"]["class"] == "BackboneConfig"


def test_from_dict_gives_a_missing_field_its_default():
    read = config_files.from_dict({"class": "TrainConfig", "steps": 7})

    assert read == config.TrainConfig(steps=7)


def test_from_dict_reads_a_whole_number_as_a_float():
    read = config_files.from_dict({"class": "TrainConfig", "learning_rate": 1})

    assert type(read.learning_rate) is float


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1], 'Expected a dict with the key "class"'),
        ({"steps": 7}, 'Expected a dict with the key "class"'),
        ({"class": "TrainConfg"}, "Unknown config class 'TrainConfg'"),
        ({"class": ["a"]}, "Unknown config class"),
        ({"class": "TrainConfig", "step": 7}, "has no field step. Its fields"),
        (
            {"class": "TrainConfig", "steps": "many"},
            "Expected int for TrainConfig.steps. Received: 'many'",
        ),
        (
            {"class": "TrainConfig", "steps": None},
            "Expected int for TrainConfig.steps. Received: None",
        ),
        (
            {"class": "Experiment", "model": {"class": "TrainConfig"}},
            "for Experiment.model",
        ),
        (
            {"class": "DataConfig", "scale_jitter": [1.0]},
            "for DataConfig.scale_jitter",
        ),
    ],
)
def test_from_dict_explains_what_it_cannot_read(values, message):
    with pytest.raises(ValueError) as error:
        config_files.from_dict(values)

    assert message in str(error.value)


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("train.batch_size=4", 4),
        (" train.batch_size = 4 ", 4),
        ("train.learning_rate=0.5", 0.5),
        ("train.learning_rate=1", 1.0),
        ("train.learning_rate=1e-3", 1e-3),
        ("train.policy=mixed_bfloat16", "mixed_bfloat16"),
        ("train.policy='float32'", "float32"),
        ("train.backbone_weights=a=b.h5", "a=b.h5"),
        ("train.backbone_weights=", ""),
        ("data.with_masks=True", True),
        ("data.with_masks=true", True),
        ("data.horizontal_flip=false", False),
        ("data.short_sides=(640, 800)", (640, 800)),
        ("data.short_sides=640,800", (640, 800)),
        ("data.short_sides=640", (640,)),
        ("train.drop_steps=()", ()),
        ("data.mask_classes=voc", ("voc",)),
        ("data.scale_jitter=(1, 2)", (1.0, 2.0)),
        ("data.canvases=((64, 96), (96, 64))", ((64, 96), (96, 64))),
        ("model.anchor_sizes=[[32], [64, 80]]", ((32.0,), (64.0, 80.0))),
        ("model.class_names=('cat', 'dog')", ("cat", "dog")),
        ("model.backbone.frozen_stages=0", 0),
    ],
)
def test_override_sets_one_value_of_the_field_type(assignment, expected):
    experiment = config_files.override(changed_experiment(), assignment)

    value = experiment
    for name in assignment.partition("=")[0].strip().split("."):
        value = getattr(value, name)
    assert value == expected
    assert type(value) is type(expected)


def test_override_leaves_the_rest_and_the_original_alone():
    experiment = changed_experiment()

    result = config_files.override(experiment, "model.backbone.name=resnet50")

    assert experiment == changed_experiment()
    assert result.model.backbone.name == "resnet50"
    backbone = experiment.model.backbone
    model = dataclasses.replace(result.model, backbone=backbone)
    assert dataclasses.replace(result, model=model) == experiment


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("train.batch_size", "Expected field=value."),
        ("train.batchsize=4", "TrainConfig has no field 'batchsize'"),
        ("trains.batch_size=4", "Its fields are: model, data, train."),
        ("=4", "Experiment has no field ''"),
        ("train.steps.x=4", "'steps' has no fields"),
        ("train=4", "names a group of fields"),
        ("train.batch_size=four", "Expected int."),
        ("train.batch_size=4.0", "Expected int."),
        ("train.batch_size=True", "Expected int."),
        ("train.learning_rate=fast", "Expected float."),
        ("train.learning_rate=None", "Expected float."),
        ("data.with_masks=1", "Expected bool."),
        ("data.short_sides=('a',)", "Expected tuple[int, ...]."),
        ("data.scale_jitter=1", "Expected tuple[float, float]."),
        ("data.scale_jitter=(1, 2, 3)", "Expected tuple[float, float]."),
        ("data.canvases=(64, 96)", "Expected tuple[tuple[int, int], ...]."),
    ],
)
def test_override_explains_what_it_cannot_set(assignment, message):
    with pytest.raises(ValueError) as error:
        config_files.override(config.Experiment(), assignment)

    assert message in str(error.value)
    assert assignment.strip() in str(error.value)


def test_save_writes_what_load_reads(tmp_path):
    path = tmp_path / "config.json"

    config_files.save(changed_experiment(), str(path))

    assert config_files.load(str(path)) == changed_experiment()
    assert [p.name for p in tmp_path.iterdir()] == ["config.json"]


def test_differences_name_each_setting_that_changed():
    source = config.SourceConfig(kind="voc")
    old = config.Experiment(data=config.DataConfig(train_sources=(source,)))
    data = config.DataConfig(
        train_sources=(config.SourceConfig(kind="lvis"),), mask_classes=("voc",)
    )
    model = config.RPNConfig(num_classes=old.model.num_classes)
    new = config.Experiment(data=data)

    assert config_files.differences(old, old) == {}
    assert config_files.differences(old, new) == {
        "data.train_sources.0.kind": ("voc", "lvis"),
        "data.mask_classes": ([], ["voc"]),
    }
    found = config_files.differences(old, dataclasses.replace(old, model=model))
    assert found["model.class"] == ("RetinaNetConfig", "RPNConfig")
    assert found["model.head_depth"] == (4, None)


def test_load_runs_a_file_by_path(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from keras_fair import config, config_files\n"
        "def get_config():\n"
        "    default = config.Experiment()\n"
        "    return config_files.override(default, 'train.steps=5')\n"
    )

    assert config_files.load(str(path)).train.steps == 5


def test_load_names_the_configs_where_it_finds_none():
    with pytest.raises(FileNotFoundError) as error:
        config_files.load("retinanet_r49")

    assert "'retinanet_r49'" in str(error.value)
    assert all(path.stem in str(error.value) for path in FILES)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.py", "x = 1", "Expected a function get_config()"),
        ("a.py", "def get_config(): pass", "Expected an Experiment"),
        ("a.json", '{"class": "Experi', "is not a saved config"),
        ("a.json", '{"class": "TrainConfig"}', "Expected an Experiment"),
        ("a.json", '{"class": "Experiment", "x": 1}', "has no field x"),
        ("a.txt", "", "Expected a .py or .json file"),
    ],
)
def test_load_names_the_file_it_cannot_read(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_text(text)

    with pytest.raises(ValueError) as error:
        config_files.load(str(path))

    assert message in str(error.value)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_experiment_loads_by_name_and_survives_json(path):
    experiment = config_files.load(path.stem)

    text = json.dumps(config_files.to_dict(experiment))
    assert config_files.from_dict(json.loads(text)) == experiment


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_experiment_is_get_config_alone_under_a_docstring(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))

    names = [n.name for n in tree.body if isinstance(n, ast.FunctionDef)]
    assert names == ["get_config"]
    assert ast.get_docstring(tree)


# benchmarks/mask_x_pairs.py trains it, with others.
WITHOUT_COMMAND = ("mask_x_rcnn_tiny_pairs",)


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if path.stem not in WITHOUT_COMMAND],
    ids=lambda path: path.stem,
)
def test_every_experiment_s_command_names_it_and_a_workdir_of_its_own(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    lines = ast.get_docstring(tree).splitlines()  # "\\" joins the command's

    (command,) = [line.split() for line in lines if " --config=" in line]

    assert command[:3] == ["python", "-m", "keras_fair.bin.train"]
    assert f"--config={path.stem}" in command
    assert f"--workdir=/runs/{path.stem}" in command
    experiment = config_files.load(path.stem)
    for flag, value in zip(command, command[1:]):
        if flag == "--set":
            experiment = config_files.override(experiment, value)
    assert experiment.data.root
    assert experiment.train.initial_weights or not getattr(
        experiment.model, "freeze_detector", False
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_experiment_has_as_many_classes_as_visual_genome_s_reader(path):
    experiment = config_files.load(path.stem)

    counts = [
        source.num_classes
        for source in experiment.data.train_sources
        if source.kind == "visual_genome"  # COCO's are among its classes
    ]

    assert set(counts) <= {experiment.model.num_classes}
    assert bool(counts) == ("visual_genome" in path.stem)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_experiment_s_model_is_built(path):
    with keras.StatelessScope(initialize_variables=False):  # shapes only
        model = models.build_model(config_files.load(path.stem).model)
        assert all(part.built for part in model.layers)
    keras.utils.clear_session()


def test_every_config_class_has_a_default_for_every_field():
    for name, value in vars(config).items():
        if dataclasses.is_dataclass(value):
            assert config_files.from_dict({"class": name}) == value()


def test_configs_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.Experiment().train = None


def test_a_tuple_of_configs_comes_back(tmp_path):
    source = config.SourceConfig(kind="voc", class_map=(("sofa", "couch"),))
    data = config.DataConfig(train_sources=(source, config.SourceConfig()))
    path = tmp_path / "config.json"
    config_files.save(config.Experiment(data=data), str(path))
    assert config_files.load(str(path)).data == data
