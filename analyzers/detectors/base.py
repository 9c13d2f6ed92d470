"""What every detector is asked and what it answers.

A detector is pure: ``start() -> state``, ``step(state, times_us, values) -> (state, found)`` for further rows in the order of
their arrival. What a row gets depends on the rows up to it only, however they are cut into batches. NaN is a missing
value: it has score 0, tells no change and leaves the state as it was. States can be kept (`analyzers.snapshot`).
"""

from __future__ import annotations

import math
from array import array
from typing import Protocol, TypeVar

from schemas.frozen import frozen

State = TypeVar("State")
Times = "array[int]"
Values = "array[float]"


@frozen()
class Found:
    """Per row: `scores` in [0, 1], how abnormal it is; `changes` 1 where it tells that the series changed, else 0."""

    scores: array[float]
    changes: array[float]


class Detector(Protocol[State]):
    """One way to detect; `source` is the paper or book that it comes from."""

    @property
    def source(self) -> str:
        """Where it comes from."""
        ...

    def start(self) -> State:
        """The state before the first row."""
        ...

    def step(self, state: State, times_us: array[int], values: array[float]) -> tuple[State, Found]:
        """The state after further rows, and what was found in them."""
        ...


def share(score: float, half: float) -> float:
    """A score without upper end in [0, 1]; `half` becomes 1/2.

    >>> share(3.0, 3.0), share(0.0, 3.0), share(math.inf, 3.0)
    (0.5, 0.0, 1.0)
    """
    return 1.0 if math.isinf(score) else score / (score + half)


def seconds(times_us: array[int]) -> array[float]:
    """The same in seconds."""
    return array("d", [time / 1e6 for time in times_us])
