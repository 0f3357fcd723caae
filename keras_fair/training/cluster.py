"""The processes of a training, as TF_CONFIG names them."""

import json
from typing import NamedTuple

TYPES = ("chief", "worker")  # in the order of the processes


FORM = (
    '{"cluster": {"worker": ["host:port", ...]}, '
    '"task": {"type": "worker", "index": 0}}'
)


class Cluster(NamedTuple):
    """All processes and this one."""

    addresses: tuple[str, ...]  # "host:port" of the chief, then the workers
    process: int  # the place of this one


def read(text: str) -> Cluster | None:
    """Return the processes; None where no cluster is named.

    A chief is a worker that comes first, as tf.distribute has it.

    Args:
        text: of the environment variable TF_CONFIG; "" where it is not set.

    Raises:
        ValueError: another form, processes that are neither chief nor
            worker or share an address, or a task that is none of them.
    """
    try:
        tasks, own = _parse(json.loads(text or "{}"))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"Expected TF_CONFIG as {FORM}. Received: {text}."
        ) from error
    if not tasks:
        return None
    others = sorted({*tasks, own[0]} - set(TYPES))
    if others:
        raise ValueError(
            f"Expected TF_CONFIG of {' and '.join(TYPES)} alone: training is "
            "synchronous and evaluates by itself. Received: "
            f"{', '.join(others)}. Leave them out and do not start them."
        )
    names = [
        (name, i) for name in TYPES for i in range(len(tasks.get(name, ())))
    ]
    if own not in names:
        raise ValueError(
            "Expected the task of TF_CONFIG in its cluster. Received: "
            f"{own[0]} {own[1]} of {text}."
        )
    addresses = [tasks[name][index] for name, index in names]
    if len(set(addresses)) < len(addresses):
        raise ValueError(
            "Expected another address for each process of TF_CONFIG. "
            f"Received: {', '.join(addresses)}."
        )
    return Cluster(tuple(addresses), names.index(own))


def read_required(text: str) -> Cluster:
    """Return the processes as `read` does, where there must be some.

    Raises:
        ValueError: what `read` refuses, or no cluster.
    """
    named = read(text)
    if not named:
        raise ValueError(
            "Expected TF_CONFIG to name the workers and this one: "
            f"{FORM}. Received: {text or 'none'}."
        )
    return named


def _parse(config: dict) -> tuple[dict[str, list], tuple[str, int]]:
    """Return the addresses by type and this process; of nothing, nothing."""
    tasks = config.get("cluster", {})
    tasks = {name: all_of for name, all_of in tasks.items() if all_of}
    if not tasks:
        return {}, ("", 0)
    for all_of in tasks.values():
        if not isinstance(all_of, list):  # a string has a length, too
            raise TypeError("no list of addresses")
        for address in all_of:
            int(address.rpartition(":")[2])
    return tasks, (str(config["task"]["type"]), int(config["task"]["index"]))
