"""What the judge knows of one arm in one window: a commutative monoid over cells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field
from functools import reduce

import numpy as np
import numpy.typing as npt

from analyzers.kernels import value_loops
from schemas.delta import UNIT_BUCKETS
from schemas.frozen import frozen

Ints = npt.NDArray[np.int64]
Counted = npt.NDArray[np.int64] | npt.NDArray[np.float64]
DURATION = "duration_us"
Counts = tuple[int, int, int, int]
"""Rows, errors, timed rows, their total duration in microseconds."""
Instances = Mapping[str, Counts]
"""Of each instance of an arm."""
_NONE: Ints = np.empty(0, np.int64)


@frozen(eq=False)
class SparseCounts:
    """Counts int64 (n,) of ascending, distinct keys int64 (n,); float64 where rows are weighted (`analyzers.strata`)."""

    keys: Ints = field(default_factory=lambda: _NONE)
    counts: Counted = field(default_factory=lambda: _NONE)

    def __add__(self, other: SparseCounts) -> SparseCounts:
        if not (len(self.keys) and len(other.keys)):
            return self if len(self.keys) else other
        return SparseCounts(*value_loops().merged(self.keys, self.counts, other.keys, other.counts))

    @staticmethod
    def sum(parts: Iterable[SparseCounts]) -> SparseCounts:
        """All parts together."""
        return reduce(SparseCounts.__add__, parts, SparseCounts())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SparseCounts):
            return NotImplemented
        return np.array_equal(self.keys, other.keys) and np.array_equal(self.counts, other.counts)

    __hash__ = None  # pyright: ignore[reportAssignmentType]  # equal by content, and the arrays could change

    def dense(self, size: int) -> Ints:
        """Counts int64 (size,) of the keys 0 to size - 1."""
        out = np.zeros(size, np.int64)
        out[self.keys] = self.counts
        return out

    @property
    def total(self) -> int:
        """Sum of all counts."""
        return int(self.counts.sum())


@frozen()
class MeasureSum:
    """One measure: rows that carry it, exact total, histogram over bins, joint counts over unit bucket and quarter octave.
    Rows, total and histogram are no whole numbers where rows are weighted (`analyzers.strata`)."""

    rows: float = 0
    total: float = 0
    histogram: SparseCounts = field(default_factory=SparseCounts)
    joint: SparseCounts = field(default_factory=SparseCounts)

    @staticmethod
    def sum(parts: Iterable[MeasureSum]) -> MeasureSum:
        """All parts together."""
        held = list(parts)
        return MeasureSum(
            sum(part.rows for part in held), sum(part.total for part in held),
            SparseCounts.sum(part.histogram for part in held), SparseCounts.sum(part.joint for part in held),
        )  # fmt: skip

    def __add__(self, other: MeasureSum) -> MeasureSum:
        return MeasureSum.sum((self, other))


NOTHING = MeasureSum()


@frozen()
class ArmWindow:
    """Sums over rows of one arm in one window; the fields are those of `schemas.delta.Cell`."""

    rows: int = 0
    errors: int = 0
    late: int = 0
    quarantined: int = 0
    with_unit: int = 0
    weight: int = 0
    error_weight: int = 0
    weight_min: int = 0
    weight_max: int = 0
    lag_us: int = 0
    error_buckets: SparseCounts = field(default_factory=SparseCounts)
    affected: SparseCounts = field(default_factory=SparseCounts)
    row_sample: SparseCounts = field(default_factory=SparseCounts)
    measures: Mapping[str, MeasureSum] = field(default_factory=dict[str, MeasureSum])
    _unit_rows: list[Ints] = field(default_factory=list[Ints], init=False, repr=False, compare=False)

    @staticmethod
    def sum(parts: Iterable[ArmWindow]) -> ArmWindow:
        """All parts together; the identity is ``ArmWindow()``."""
        held = [part for part in parts if part is not EMPTY]
        if len(held) < 2:
            return held[0] if held else EMPTY
        counted = [part for part in held if part.rows]
        names = sorted({name for part in held for name in part.measures})
        return ArmWindow(
            sum(part.rows for part in held), sum(part.errors for part in held), sum(part.late for part in held),
            sum(part.quarantined for part in held), sum(part.with_unit for part in held),
            sum(part.weight for part in held), sum(part.error_weight for part in held),
            min((part.weight_min for part in counted), default=0), max((part.weight_max for part in counted), default=0),
            sum(part.lag_us for part in held),
            SparseCounts.sum(part.error_buckets for part in held), SparseCounts.sum(part.affected for part in held),
            SparseCounts.sum(part.row_sample for part in held),
            {name: MeasureSum.sum(part.measures[name] for part in held if name in part.measures) for name in names},
        )  # fmt: skip

    def __add__(self, other: ArmWindow) -> ArmWindow:
        return ArmWindow.sum((self, other))

    def measure(self, name: str) -> MeasureSum:
        """The measure of that name, empty where no row carried it."""
        return self.measures.get(name, NOTHING)

    @property
    def copies(self) -> int:
        """Rows of the sample that repeat another one."""
        return int(np.add.reduce(self.row_sample.counts)) - len(self.row_sample.keys)

    def unit_rows(self) -> Ints:
        """Rows int64 (128,) per unit bucket, counted once; not to be written to."""
        if not self._unit_rows:
            joint = self.measure(DURATION).joint
            self._unit_rows.append(value_loops().unit_rows(joint.keys, joint.counts))
        return self._unit_rows[0]

    def unit_errors(self) -> Ints:
        """Error rows int64 (128,) per unit bucket."""
        return self.error_buckets.dense(UNIT_BUCKETS)


EMPTY = ArmWindow()


def added(one: Counts | None, other: Counts) -> Counts:
    """Both together; None is nothing."""
    if one is None:
        return other
    return one[0] + other[0], one[1] + other[1], one[2] + other[2], one[3] + other[3]


@frozen()
class PairWindow:
    """One closed window [start_us, end_us) of a candidate and its control.

    `share` is the candidate's configured share of both arms' traffic, None where nobody told it; `steady` is False
    where the weight changed inside the window; `mislabelled_*` are rows whose version is not their arm's. `strata`: control
    and candidate by segment, where the spec compares within segments; `whole`: the same window as it was before its mixes
    were made equal. `instances`: those of control and of the candidate, where cells tell them apart.
    """

    start_us: int
    end_us: int
    control: ArmWindow
    candidate: ArmWindow
    share: float | None
    step: int
    steady: bool
    mislabelled_control: int = 0
    mislabelled_candidate: int = 0
    strata: tuple[tuple[ArmWindow, ArmWindow], ...] = ()
    whole: PairWindow | None = None
    instances: tuple[Instances, Instances] = ({}, {})
