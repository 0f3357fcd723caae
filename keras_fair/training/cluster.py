"""The processes of a training, as TF_CONFIG names them."""

import json
from typing import NamedTuple

TYPES = ("chief", "worker")  # in the order of the processes


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
        ValueError: no JSON, processes that are neither chief nor worker, or
            a task that is none of them.
    """
    try:
        config = json.loads(text or "{}")
        tasks = config.get("cluster", {})
        tasks = {name: all_of for name, all_of in tasks.items() if all_of}
        if not tasks:
            return None
        own = config["task"]["type"], int(config["task"]["index"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            'Expected TF_CONFIG as {"cluster": {"worker": ["host:port", '
            '...]}, "task": {"type": "worker", "index": 0}}. Received: '
            f"{text}."
        ) from error
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
    return Cluster(tuple(addresses), names.index(own))
