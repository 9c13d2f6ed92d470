"""Tripwires: rules outside the error budgets, stepped window by window. They know no alpha, so they hold and, unless the
spec says that they may act outside of it, never roll back (STATISTICS section 5). Pure.

A window in which the candidate had no rows changes nothing. A wire that has tripped holds until as many windows in a row as
tripped it were good: so a level at the limit does not flap.
"""

from __future__ import annotations

from dataclasses import replace

from analyzers.arm import DURATION, ArmWindow, PairWindow
from analyzers.histogram import quantiles
from schemas.frozen import frozen
from schemas.tripwire import Tripwire


@frozen()
class Wire:
    """State of one tripwire, and what its rule says (`schemas.tripwire`). `run` windows in a row broke it, `calm` in a row did
    not; `since` and `last` are its value (a ratio, or microseconds) before the run and lately."""

    rule: str
    windows: int
    quantile: float
    limit_us: int
    run: int = 0
    calm: int = 0
    tripped: bool = False
    since: float = 0.0
    last: float | None = None


def start(rule: Tripwire) -> Wire:
    """Before the first window."""
    return Wire(rule.type, rule.windows, rule.quantile or 0.0, rule.limit or 0)


def step(wire: Wire, pair: PairWindow) -> Wire:
    """One closed window more."""
    value = _value(wire, pair.candidate)
    if value is None:
        return wire
    if _broken(wire, value, pair.control):
        run, since = wire.run + 1, wire.since if wire.run else wire.last or 0.0
        tripped = wire.tripped or run >= wire.windows
        return replace(wire, run=run, calm=0, tripped=tripped, since=since, last=value)
    calm = wire.calm + 1
    return replace(wire, run=0, calm=calm, tripped=wire.tripped and calm < wire.windows, last=value)


def sentence(wire: Wire, candidate: str) -> str:
    """Why it holds."""
    times = f"{wire.windows} windows in a row" if wire.windows > 1 else "a window"
    last = wire.last or 0.0
    if wire.rule == "rising_errors":
        came = f"from {100 * wire.since:.3g} % to {100 * last:.3g} %"
        return f"errors of {candidate} rose in {times}, {came}, above control's (tripwire rising_errors)"
    name, limit = f"p{100 * wire.quantile:g}", f"{wire.limit_us / 1000:g} ms"
    return f"{name} of {candidate} was above {limit} in {times}, last {last / 1000:.3g} ms (tripwire latency_limit)"


def _value(wire: Wire, arm: ArmWindow) -> float | None:
    if wire.rule == "rising_errors":
        return arm.errors / arm.rows if arm.rows else None
    counts = arm.measure(DURATION).histogram
    (found,) = quantiles(counts.keys, counts.counts, (wire.quantile,))
    return found


def _broken(wire: Wire, value: float, control: ArmWindow) -> bool:
    if wire.rule == "latency_limit":
        return value > wire.limit_us
    usual = control.errors / control.rows if control.rows else 0.0
    return wire.last is not None and value > max(wire.last, usual)
