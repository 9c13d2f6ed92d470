"""An arm's bursts where its instances are told apart: what one of them shows and the others do not bear out.

A pod that freezes fails ten times as often for a window; pods freeze in turn, so that an arm of many has such a window often
and each is too small for `analyzers.bursts` to stand out among the arm's errors. By instance it does: what fails at one is
borne out up to `BELIEVED` standard deviations above what all others of the same arm show in the same window, and `ALWAYS` so
many; the rest counts only as far as it lasts, so that a pod that stays bad is found (and named, `analyzers.producers`).
Harm that all instances share is borne out at once; what hits all of an arm at once is left to `analyzers.bursts`.

Of durations only their sum is known by instance, so that an instance is told as slow by its mean: by more than `BELIEVED`
standard deviations above that of all others, as the requests of the calmer arm scatter. Of a window with such an instance no
slow requests beyond what the other arm leads to expect are borne out, and no longer mean.

The candidate's surplus is dropped for HARM, control's for SAFETY, neither for the other: evidence is only ever lowered, so
what was an e-value stays one. Pure.
"""

from __future__ import annotations

import math

from analyzers.arm import ArmWindow, Instances, MeasureSum
from analyzers.bursts import most_beside
from analyzers.histogram import MIDPOINTS
from analyzers.kernels import value_loops
from analyzers.piece import Piece

BELIEVED = 2.4
"""Standard deviations of one instance's excess over the others that count."""
ALWAYS = 2.0
"""Errors of an instance that count in any window."""
INSTANCES_MIN = 3
"""Of an arm: of two that differ nobody knows which one is odd."""


def borne_out(arm: ArmWindow, told: Instances, errors: float) -> float:
    """Of an arm's `errors` those that its instances bear out; all of them where not every row is told apart, or rows are
    weighted.

    >>> told = {"a": (100, 1, 0, 0), "b": (100, 12, 0, 0), "c": (100, 0, 0, 0), "d": (100, 2, 0, 0)}
    >>> borne_out(ArmWindow(rows=400, errors=15), told, 15.0)
    8.289515111438405
    """
    if len(told) < INSTANCES_MIN or errors != arm.errors:
        return errors
    if sum(counts[0] for counts in told.values()) != arm.rows or sum(counts[1] for counts in told.values()) != errors:
        return errors
    return sum(
        min(failed, max(ALWAYS, most_beside(errors - failed, rows / arm.rows, BELIEVED)))
        for rows, failed, _, _ in told.values()
        if failed and rows < arm.rows
    )


def slow_apart(piece: Piece) -> tuple[bool, bool]:
    """Whether an instance of control, and one of the candidate, is slower than all others of its arm bear out; False where not
    every duration is told apart."""
    control, candidate = piece.instances
    if not (_told(piece.control, control) or _told(piece.candidate, candidate)):
        return False, False
    spread = min(_spread(piece.control), _spread(piece.candidate))
    return _apart(piece.control, control, spread), _apart(piece.candidate, candidate, spread)


def _told(measure: MeasureSum, told: Instances) -> bool:
    return len(told) >= INSTANCES_MIN and sum(counts[2] for counts in told.values()) == measure.rows


def _spread(measure: MeasureSum) -> float:
    """Coefficient of variation of one arm's values; infinite where there are too few of them."""
    keys, counts = measure.histogram.keys, measure.histogram.counts
    if measure.rows < 2:
        return math.inf
    n, mean, squares = value_loops().moments(keys, counts, MIDPOINTS, math.inf)
    return math.sqrt(squares / (n - 1)) / mean


def _apart(measure: MeasureSum, told: Instances, spread: float) -> bool:
    if not _told(measure, told):
        return False
    total = sum(counts[3] for counts in told.values())
    for _, _, rows, own in told.values():
        others = measure.rows - rows
        if rows and others:
            usual = (total - own) / others
            if own / rows - usual > BELIEVED * spread * usual * math.sqrt(1 / rows + 1 / others):
                return True
    return False
