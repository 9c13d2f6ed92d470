"""What every SLI is asked and what it answers; the SLIs themselves are in `analyzers.slis`, one file each.

An SLI is pure: ``start(spec, plan) -> state``, ``step(state, pair) -> state`` for each closed window in time
order, ``read(state) -> Reading``. States are frozen and snapshot-able (`analyzers.snapshot`).
"""

from __future__ import annotations

from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from analyzers.arm import ArmWindow, PairWindow
from analyzers.dispersion import Buckets
from analyzers.kernels import evidence_loops
from schemas.frozen import frozen
from schemas.spec import SliSpec

MID_FLIGHT_STARTS = 12
State = TypeVar("State")
Weighed = tuple[float, float | None]


@frozen()
class Plan:
    """What the experiment fixes beforehand for all its SLIs.

    `units`: whether requests are randomised by unit; `alpha` and `beta` are those of one candidate; `steps`
    counts the traffic steps and `duration_us` is their planned length: from both follow the start points of
    section 1. `objective` is the share of requests that must be good; `absolute`: there is no control.
    `slis` of them act.
    """

    units: bool
    alpha: float
    beta: float
    steps: int
    duration_us: int
    objective: float = 0.999
    absolute: bool = False
    slis: int = 1


@frozen()
class Reading:
    """An SLI's answer. `log_safety` None: it has no SAFETY. `needed`: requests of both arms together that
    SAFETY still takes at this traffic share (median), None where unknown. All floats are finite.
    """

    baseline: float | None
    candidate: float | None
    effect: float | None
    lower: float | None
    upper: float | None
    log_harm: float
    log_safety: float | None
    n_baseline: int
    n_candidate: int
    needed: float | None = None


@frozen()
class Normal:
    """What is taken to be normal before anything was seen: the share of requests that fail, the coefficient of variation of
    times and measures, and the SLI's own `level` (a share, microseconds, bytes), None where nobody told.
    """

    errors: float = 0.005
    spread: float = 1.0
    level: float | None = None


@frozen()
class Foreseen:
    """Median requests of both arms together: until SAFETY of a release as good as control, and until HARM alone of one
    that is `WORSE` times as much worse as is allowed. None: never, or not known without a level.
    """

    safety: float | None
    harm: float | None


WORSE = 2.0
"""How many times its tolerance a foreseen harm is beyond control."""


class Sli(Protocol[State]):
    """One kind of SLI; `type` is its name in the spec."""

    @property
    def type(self) -> str:
        """The spec's `type`."""
        ...

    @property
    def absolute(self) -> bool:
        """Whether it can be judged without a control, against the objective."""
        ...

    def start(self, sli: SliSpec, plan: Plan) -> State:
        """The state before the first window."""
        ...

    def step(self, state: State, pair: PairWindow) -> State:
        """The state after one more closed window."""
        ...

    def weigh(self, state: State) -> Weighed:
        """ln e of HARM and of SAFETY now, SAFETY None where it has none: all that decides."""
        ...

    def read(self, state: State) -> Reading:
        """What is known now."""
        ...

    def glance(self, sli: SliSpec, plan: Plan, arm: ArmWindow, seconds: float) -> float:
        """What one arm's window alone says, in the unit of `read`; NaN where that is nothing. For detectors, not evidence."""
        ...

    def foresee(self, sli: SliSpec, plan: Plan, share: float, normal: Normal) -> Foreseen:
        """What it takes where the candidate has `share`, 0 to 1 exclusive, of both arms' traffic."""
        ...

    def show(self, sli: SliSpec, value: float, margin: bool = False) -> str:
        """A baseline or candidate, or an absolute margin, for people, with its unit."""
        ...


@frozen(eq=False)
class Starts:
    """Start points after the first, fixed beforehand: each later step's begin, times since the first
    window."""

    steps: npt.NDArray[np.int64]
    offsets_us: npt.NDArray[np.int64]
    first_us: int | None = None

    @classmethod
    def of(cls, plan: Plan) -> Starts:
        """The start points that STATISTICS section 1 asks for."""
        spread = range(1, MID_FLIGHT_STARTS + 1)
        offsets = [plan.duration_us * i // (MID_FLIGHT_STARTS + 1) for i in spread]
        return cls(np.arange(1, plan.steps, dtype=np.int64), np.array(offsets, np.int64))

    def __len__(self) -> int:
        return len(self.steps) + len(self.offsets_us)

    def at(self, start_us: int) -> Starts:
        """With the clock started by the first window of evidence."""
        return self if self.first_us is not None else Starts(self.steps, self.offsets_us, start_us)

    def begun(self, start_us: int, step: int) -> npt.NDArray[np.bool_]:
        """Which of them lie at or before a window, bool (s,)."""
        first = start_us if self.first_us is None else self.first_us
        return evidence_loops().begun(self.steps, self.offsets_us, step, start_us - first)


def scored(arm: ArmWindow) -> tuple[float, float]:
    """Requests and errors of an arm: rows where it has one sampling rate, else scores w / w_max in [0, 1]."""
    if arm.weight_min == arm.weight_max:
        return float(arm.rows), float(arm.errors)
    return arm.weight / arm.weight_max, arm.error_weight / arm.weight_max


def error_buckets(arm: ArmWindow) -> Buckets:
    """An arm's requests and errors per unit bucket."""
    return Buckets(arm.unit_rows(), arm.unit_errors())


def current_share(share: float | None, nc: float, nb: float) -> float:
    """The candidate's share of both arms' traffic, as configured or else as seen; inside (0, 1)."""
    return share if share is not None and 0 < share < 1 else nc / (nc + nb)


def show_duration(us: float) -> str:
    """Microseconds for people.

    >>> show_duration(1234567), show_duration(20500), show_duration(3)
    ('1.23 s', '20.5 ms', '3 us')
    """
    for size, unit in ((1e6, "s"), (1e3, "ms")):
        if abs(us) >= size:
            return f"{us / size:.3g} {unit}"
    return f"{us:.3g} us"
