"""What the doctor has found: each fault with its count and examples."""

import collections
from typing import NamedTuple

from keras_fair.doctor import faults

MAX_EXAMPLES = 5  # of a fault; all are counted


class Example(NamedTuple):
    """One place where a fault is."""

    image: str = ""  # file name, or the image's id where it has none
    annotation: object = None  # its id
    detail: str = ""  # the values that are wrong
    called: str = ""  # what its file calls the annotation, if not by the id


class Finding(NamedTuple):
    """All of one fault."""

    code: str  # a key of faults.FAULTS
    count: int
    examples: tuple[Example, ...]

    @property
    def severity(self) -> str:
        return faults.FAULTS[self.code][0]

    @property
    def meaning(self) -> str:
        return faults.FAULTS[self.code][1]


class Findings:
    """Collects faults and counts them.

    Attributes:
        counts: Counter of the codes.
        called: {annotation id: what its file calls it, if not by the id}.
    """

    def __init__(self):
        self.counts = collections.Counter()
        self.called = {}
        self._examples = collections.defaultdict(list)

    def add(
        self,
        code: str,
        detail: str = "",
        *,
        image: object = "",
        annotation: object = None,
        count: int = 1,
    ) -> None:
        """Count a fault, and keep the first few examples.

        Args:
            code: a key of faults.FAULTS.
            detail: the values that are wrong.
            image: the file's name.
            annotation: its id.
            count: 0 adds an example to what is counted already.
        """
        if code not in faults.FAULTS:
            raise KeyError(f"Expected a code of faults.FAULTS: {code!r}.")
        self.counts[code] += count
        examples = self._examples[code]
        if len(examples) < MAX_EXAMPLES:
            called = ""
            if isinstance(annotation, int):
                called = self.called.get(annotation, "")
            examples.append(Example(str(image), annotation, detail, called))

    def listed(self) -> list[Finding]:
        """Return the findings, errors first, in the order of FAULTS."""
        found = [
            Finding(code, self.counts[code], tuple(self._examples[code]))
            for code in faults.FAULTS
            if self.counts[code]
        ]
        return sorted(
            found, key=lambda each: faults.SEVERITIES.index(each.severity)
        )

    def num(self, severity: str) -> int:
        """Return how many different faults of that severity there are."""
        return sum(each.severity == severity for each in self.listed())
