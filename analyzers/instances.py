"""An arm's bursts where its instances are told apart: errors of one that the others do not bear out.

A pod that freezes fails ten times as often for a window; pods freeze in turn, so that an arm of many has such a window often
and each is too small for `analyzers.bursts` to stand out among the arm's errors. By instance it does: what fails at one is
borne out up to `BELIEVED` standard deviations above what all others of the same arm show in the same window, and `ALWAYS` so
many; the rest counts only as far as it lasts, so that a pod that stays bad is found (and named, `analyzers.producers`).
Harm that all instances share is borne out at once; what hits all of an arm at once is left to `analyzers.bursts`.

The candidate's surplus is dropped for HARM, control's for SAFETY, neither for the other: evidence is only ever lowered, so
what was an e-value stays one. Pure.
"""

from __future__ import annotations

from analyzers.arm import ArmWindow, Instances
from analyzers.bursts import most_beside

BELIEVED = 2.4
"""Standard deviations of one instance's excess over the others that count."""
ALWAYS = 2.0
"""Errors of an instance that count in any window."""
INSTANCES_MIN = 3
"""Of an arm: of two that differ nobody knows which one is odd."""


def borne_out(arm: ArmWindow, told: Instances, errors: float) -> float:
    """Of an arm's `errors` those that its instances bear out; all of them where not every row is told apart, or rows are
    weighted.

    >>> borne_out(ArmWindow(rows=400, errors=15), ((100, 1), (100, 12), (100, 0), (100, 2)), 15.0)
    8.289515111438405
    """
    whole = (arm.rows, arm.errors)
    if len(told) < INSTANCES_MIN or errors != arm.errors or tuple(map(sum, zip(*told, strict=True))) != whole:
        return errors
    return sum(
        min(failed, max(ALWAYS, most_beside(errors - failed, rows / arm.rows, BELIEVED)))
        for rows, failed in told
        if failed and rows < arm.rows
    )
