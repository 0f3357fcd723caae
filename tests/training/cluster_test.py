"""TF_CONFIG names the processes; their order decides who reads what."""

import json

import pytest

from keras_fair.training import cluster


def config(type_: str, index: int | str, **tasks: list) -> str:
    return json.dumps(
        {"cluster": tasks, "task": {"type": type_, "index": index}}
    )


@pytest.mark.parametrize("text", ["", "{}", '{"cluster": {}}'])
def test_no_cluster_is_none(text):
    assert cluster.read(text) is None


def test_workers_are_in_their_order():
    found = cluster.read(config("worker", 1, worker=["a:1", "b:2"]))
    assert found == cluster.Cluster(("a:1", "b:2"), 1)


def test_the_chief_comes_first_and_shares_its_place_with_none():
    tasks = {"worker": ["a:1", "b:2"], "chief": ["c:3"], "ps": []}
    names = [("chief", 0), ("worker", 0), ("worker", "1")]
    found = [cluster.read(config(*name, **tasks)) for name in names]
    assert [each.process for each in found] == [0, 1, 2]
    assert {each.addresses for each in found} == {("c:3", "a:1", "b:2")}


@pytest.mark.parametrize("name", ["ps", "evaluator", "master"])
def test_other_processes_are_refused_by_name(name):
    tasks = {"worker": ["a:1"], name: ["b:2"]}
    with pytest.raises(ValueError, match=f"alone: .* Received: {name}. Leave"):
        cluster.read(config("worker", 0, **tasks))
    with pytest.raises(ValueError, match=f"alone: .* Received: {name}. Leave"):
        cluster.read(config(name, 0, worker=["a:1"]))


def test_a_task_outside_of_the_cluster_is_refused():
    with pytest.raises(ValueError, match="in its cluster. Received: worker 1"):
        cluster.read(config("worker", 1, chief=["a:1"], worker=["b:2"]))


def test_an_address_of_two_processes_is_refused():
    with pytest.raises(ValueError, match="each process of TF_CONFIG. .* a:1"):
        cluster.read(config("worker", 0, chief=["a:1"], worker=["a:1"]))


@pytest.mark.parametrize("text", ["", "{}"])
def test_a_cluster_that_must_be_is_missed(text):
    with pytest.raises(ValueError, match="TF_CONFIG to name the workers"):
        cluster.read_required(text)
    named = config("worker", 0, worker=["a:1"])
    assert cluster.read_required(named) == cluster.read(named)


@pytest.mark.parametrize(
    "text",
    [
        "worker",
        "[]",
        '{"cluster": ["a:1"]}',
        '{"cluster": {"worker": ["a:1"]}}',
        config("worker", "first", worker=["a:1"]),
        config("worker", 0, worker="a:1"),
        config("worker", 0, worker={"0": "a:1"}),
        config("worker", 0, worker=5),
        config("worker", 0, worker=[1]),
        config("worker", 0, worker=["a"]),
    ],
)
def test_another_form_is_refused(text):
    with pytest.raises(ValueError, match="Expected TF_CONFIG as"):
        cluster.read(text)
