"""Where a judge's log begins now, and what a verdict rests on that was before it.

The log is kept for `limits: delta_retention`. Whoever judges it again from a later begin lacks specs, shifts and counts, and
those of error budgets, which go back for a month.
"""

from __future__ import annotations

from collections.abc import Sequence

from schemas import codec
from schemas.budget import BudgetStatus
from schemas.control import Control, SpecApplied, WeightApplied
from schemas.frozen import frozen
from schemas.slo import period
from schemas.verdict import Verdict

SHIFTS_TOLD = 5
"""Of more, the latest."""


@frozen()
class LogBegin:
    """Its first record that is still there, and when that was written, UTC microseconds."""

    offset: int
    time_us: int


def missing(
    issued: Verdict, begin: LogBegin, controls: Sequence[Control], budgets: Sequence[BudgetStatus], kept_us: int
) -> list[str]:
    """Sentences: what the verdict rests on and the log has no more. `controls` and `budgets`: all that there are."""
    mine = [one for one in controls if one.experiment_id == issued.experiment_id and one.time < begin.time_us]
    told = [
        f"the log now begins at its record {begin.offset:,} ({_time(begin.time_us)}): it is kept for {period(kept_us)} "
        "(limits: delta_retention)"
    ]
    for control in [one for one in mine if isinstance(one.body, SpecApplied)][-1:]:
        told.append(f"before that: the spec of {issued.experiment_id}, applied {_time(control.time)}")
    shifts = [one for one in mine if isinstance(one.body, WeightApplied)][-SHIFTS_TOLD:]
    if shifts:
        told.append(f"before that: its shifts of traffic, the latest {', '.join(_time(one.time) for one in shifts)}")
    return told + [f"before that: {one}" for one in _budgets(issued, begin, budgets)]


def _budgets(issued: Verdict, begin: LogBegin, budgets: Sequence[BudgetStatus]) -> list[str]:
    """Of each objective of the service, as it was told last before the verdict."""
    latest: dict[str, BudgetStatus] = {}
    for status in budgets:
        if (status.service, status.environment) == (issued.service, issued.environment):
            if status.time <= issued.event_time and status.time >= (latest.get(status.slo) or status).time:
                latest[status.slo] = status
    told: list[str] = []
    for name, status in sorted(latest.items()):
        since = status.time - status.covered_us
        if since < begin.time_us:
            told.append(
                f"the counts of the error budget {name}, which is counted since {_time(since)}: {status.bad:,} of "
                f"{status.requests:,} requests were bad by {_time(status.time)}, {100 * status.left:.3g} % of it was left"
            )
    return told


def _time(time_us: int) -> str:
    """To the second.

    >>> _time(1_764_547_200_000_000)
    '2025-12-01 00:00:00 UTC'
    """
    return f"{codec.iso(time_us)[:19].replace('T', ' ')} UTC"
