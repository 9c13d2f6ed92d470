"""A piece of evidence: neighbouring windows of one measure, merged until there is enough in them to compare.

Quantiles and means need some requests in each arm before they say anything; small windows wait in a piece.
The traffic share must be constant inside a piece (STATISTICS section 1), so a piece that a new share or step
overtakes is dropped.
"""

from __future__ import annotations

from analyzers.arm import DURATION, Instances, MeasureSum, PairWindow, added
from schemas.frozen import frozen

NOBODY: tuple[Instances, Instances] = ({}, {})


@frozen(eq=False)
class Piece:
    """One measure of both arms from `start_us` on. `instances`: control's and the candidate's, of durations, where cells tell
    them apart."""

    start_us: int
    step: int
    share: float | None
    control: MeasureSum
    candidate: MeasureSum
    instances: tuple[Instances, Instances] = NOBODY


def gather(waiting: Piece | None, pair: PairWindow, measure: str) -> Piece | None:
    """The waiting piece with one window more; None where weights change or nothing was measured yet."""
    if not pair.steady:
        return None
    control, candidate = pair.control.measure(measure), pair.candidate.measure(measure)
    told = pair.instances if measure == DURATION and pair.whole is None else NOBODY
    if waiting is not None and waiting.share == pair.share and waiting.step == pair.step:
        if control.rows or candidate.rows:
            return Piece(
                waiting.start_us,
                pair.step,
                pair.share,
                waiting.control + control,
                waiting.candidate + candidate,
                (_both(waiting.instances[0], told[0]), _both(waiting.instances[1], told[1])),
            )
        return waiting
    if not (control.rows or candidate.rows):
        return None
    return Piece(pair.start_us, pair.step, pair.share, control, candidate, told)


def _both(one: Instances, other: Instances) -> Instances:
    return {**one, **{name: added(one.get(name), counts) for name, counts in other.items()}} if other else one
