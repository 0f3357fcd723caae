"""The settings of a config that are one of a few words."""


def check(config, **choices: tuple[str, ...]) -> None:
    """Refuse a config in which a setting is none of its choices.

    Args:
        config: a dataclass of config.py.
        **choices: name of a setting -> what it may be.

    Raises:
        ValueError: it is something else.
    """
    for name, allowed in choices.items():
        value = getattr(config, name)
        if value not in allowed:
            raise ValueError(
                f"Expected {name} as one of {', '.join(map(repr, allowed))}. "
                f"Received: {value!r}."
            )
