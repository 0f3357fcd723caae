"""A pickle machine that builds plain containers and what a table allows.

`pickle.Unpickler` imports modules, calls what it finds there and sets
attributes of it; forbidding names one by one leaves gaps. This machine knows
no import and no `getattr`: a name in the file only ever picks an entry of
`builders`, and every other instruction is refused. The standard library's
`pickletools` splits the stream into instructions; it runs nothing.
"""

import pickletools
import struct

LITERALS = frozenset(
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING "
    "BINSTRING SHORT_BINSTRING UNICODE SHORT_BINUNICODE BINUNICODE "
    "BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8".split()
)
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
# Hashing a tuple descends into it without a limit; weights need no such key.
KEY_TYPES = (str, bytes, int, float, type(None))


class Buildable:
    """What a pickle may give a state after building it."""

    def set_state(self, state) -> None:
        """Take over the state, or raise ValueError."""


class Container(dict, Buildable):
    """Stands in for OrderedDict, Counter and Namespace; keeps the items."""

    def __init__(self, *items):
        """Take nothing, a dict, or a list of pairs; the latter two emptied.

        Else a short file could name a long list again and again, and each
        time take the memory of a copy.
        """
        super().__init__()
        source = items[0] if items else {}
        if len(items) > 1 or not isinstance(source, (dict, list)):
            raise ValueError("refused what a dictionary is made of")
        pairs = source.items() if isinstance(source, dict) else source
        for pair in pairs:
            if not isinstance(pair, (list, tuple)):
                raise ValueError("a dictionary is not made of pairs")
            set_items(self, pair)
        source.clear()

    def set_state(self, state) -> None:
        """Drop it: attributes of a dictionary are not weights."""


CONTAINERS = {
    "collections OrderedDict": Container,
    "collections Counter": Container,
    "argparse Namespace": Container,
}


def set_items(target: dict, items: list | tuple) -> None:
    """Set alternating keys and values.

    Raises:
        ValueError: a key without a value, or one that is not a plain value.
    """
    if len(items) % 2:
        raise ValueError("a dictionary has a key without a value")
    for key, value in zip(items[::2], items[1::2]):
        if not isinstance(key, KEY_TYPES):
            raise ValueError(f"refused a {type(key).__name__} as a key")
        target[key] = value


class Unpickler:
    """Reads pickles of protocol 0 to 5.

    Args:
        builders: "module name" as in the pickle -> the function called (or
            the marker handed over) in its place.
        persistent_load: called with each persistent id; None refuses them.
    """

    def __init__(self, builders: dict, persistent_load=None):
        self._builders = builders
        self._persistent_load = persistent_load

    def load(self, stream):
        """Return the next object of the stream, left just behind it.

        Raises:
            ValueError: a refused name or instruction, or damaged data.
        """
        self._stack, self._marked, self._memo = [], [], {}
        try:
            return self._run(pickletools.genops(stream))
        except (struct.error, OverflowError) as error:
            raise ValueError(f"damaged pickle: {error}") from error

    def _run(self, instructions):
        for opcode, argument, _ in instructions:
            name = opcode.name
            if name == "STOP":
                break
            if name in LITERALS:
                self._stack.append(argument)
            elif name in CONSTANTS:
                self._stack.append(CONSTANTS[name])
            elif name in EMPTY:
                self._stack.append(EMPTY[name]())
            elif name in INSTRUCTIONS:
                INSTRUCTIONS[name](self, argument)
            else:
                raise ValueError(f"refused the pickle instruction {name}")
        return self._pop()

    def _top(self, expected: type):
        if not self._stack or not isinstance(self._stack[-1], expected):
            found = type(self._stack[-1]).__name__ if self._stack else "nothing"
            raise ValueError(
                f"damaged pickle: expected a {expected.__name__}, found {found}"
            )
        return self._stack[-1]

    def _pop(self, expected: type = object):
        self._top(expected)
        return self._stack.pop()

    def _pop_to_mark(self) -> list:
        if not self._marked:
            raise ValueError("damaged pickle: no mark on the stack")
        items, self._stack = self._stack, self._marked.pop()
        return items

    def _mark(self, _):
        self._marked.append(self._stack)
        self._stack = []

    def _ignore(self, _):
        """PROTO and FRAME only help a reader that buffers."""

    def _short_tuple(self, size: int):
        items = [self._pop() for _ in range(size)]
        self._stack.append(tuple(reversed(items)))

    def _tuple(self, _):
        items = self._pop_to_mark()
        self._stack.append(tuple(items))

    def _list(self, _):
        items = self._pop_to_mark()
        self._stack.append(items)

    def _dict(self, _):
        items = self._pop_to_mark()
        self._stack.append({})
        set_items(self._stack[-1], items)

    def _append(self, _):
        item = self._pop()
        self._top(list).append(item)

    def _appends(self, _):
        items = self._pop_to_mark()
        self._top(list).extend(items)

    def _set_item(self, _):
        value, key = self._pop(), self._pop()
        set_items(self._top(dict), [key, value])

    def _set_items(self, _):
        items = self._pop_to_mark()
        set_items(self._top(dict), items)

    def _put(self, index):
        self._memo[index] = self._top(object)

    def _memoize(self, _):
        self._memo[len(self._memo)] = self._top(object)

    def _get(self, index):
        if index not in self._memo:
            raise ValueError(f"damaged pickle: nothing stored as {index}")
        self._stack.append(self._memo[index])

    def _global(self, name: str):
        if name not in self._builders:
            raise ValueError(
                f"refused {name.replace(' ', '.', 1)!r}: only arrays and plain "
                "containers are built, and no code of the file is run. Save "
                "the state dict alone"
            )
        self._stack.append(self._builders[name])

    def _stack_global(self, _):
        name, module = self._pop(str), self._pop(str)
        self._global(f"{module} {name}")

    def _reduce(self, _):
        arguments, build = self._pop(tuple), self._pop()
        if not callable(build):
            raise ValueError(f"refused to call a {type(build).__name__}")
        try:
            self._stack.append(build(*arguments))
        except TypeError as error:
            raise ValueError(f"damaged pickle: {error}") from error

    def _build(self, _):
        state = self._pop()
        self._top(Buildable).set_state(state)

    def _persistent(self, identity):
        if self._persistent_load is None:
            raise ValueError("refused a persistent id outside a torch file")
        self._stack.append(self._persistent_load(identity))

    def _stack_persistent(self, _):
        self._persistent(self._pop())


# What each instruction does: a function of the machine and the argument that
# stands in the stream (None for most).
INSTRUCTIONS = {
    "PROTO": Unpickler._ignore,
    "FRAME": Unpickler._ignore,
    "MARK": Unpickler._mark,
    "TUPLE1": lambda machine, _: machine._short_tuple(1),
    "TUPLE2": lambda machine, _: machine._short_tuple(2),
    "TUPLE3": lambda machine, _: machine._short_tuple(3),
    "TUPLE": Unpickler._tuple,
    "LIST": Unpickler._list,
    "DICT": Unpickler._dict,
    "APPEND": Unpickler._append,
    "APPENDS": Unpickler._appends,
    "SETITEM": Unpickler._set_item,
    "SETITEMS": Unpickler._set_items,
    "PUT": Unpickler._put,
    "BINPUT": Unpickler._put,
    "LONG_BINPUT": Unpickler._put,
    "MEMOIZE": Unpickler._memoize,
    "GET": Unpickler._get,
    "BINGET": Unpickler._get,
    "LONG_BINGET": Unpickler._get,
    "GLOBAL": Unpickler._global,
    "STACK_GLOBAL": Unpickler._stack_global,
    "REDUCE": Unpickler._reduce,
    "NEWOBJ": Unpickler._reduce,  # `build` is our function, never a class
    "BUILD": Unpickler._build,
    "PERSID": Unpickler._persistent,
    "BINPERSID": Unpickler._stack_persistent,
}
