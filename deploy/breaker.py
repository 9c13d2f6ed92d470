"""The circuit breaker of one dependency (Nygard, "Release It!", 2007): a table of transitions, pure.

A circuit opens after some failures in a row, is not asked for a while, then tried, and closes after some successes in a
row. A failure while it is tried opens it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from schemas.probe import Circuit

RECENT = 20
"""Results that the share of failures is taken over."""


class Signal(StrEnum):
    """What can happen to a circuit."""

    OK = "ok"
    ENOUGH_OK = "enough ok"
    FAILED = "failed"
    ENOUGH_FAILED = "enough failed"
    COOLED = "cooled down"


G = Signal
TRANSITIONS: Mapping[tuple[Circuit, Signal], Circuit] = {
    ("CLOSED", G.OK): "CLOSED",
    ("CLOSED", G.ENOUGH_OK): "CLOSED",
    ("CLOSED", G.FAILED): "CLOSED",
    ("CLOSED", G.ENOUGH_FAILED): "OPEN",
    ("OPEN", G.COOLED): "HALF_OPEN",
    ("HALF_OPEN", G.OK): "HALF_OPEN",
    ("HALF_OPEN", G.ENOUGH_OK): "CLOSED",
    ("HALF_OPEN", G.FAILED): "OPEN",
    ("HALF_OPEN", G.ENOUGH_FAILED): "OPEN",
}


class NoTransition(ValueError):
    """A signal that cannot happen to a circuit in its state."""


@dataclass(frozen=True, slots=True)
class Breaker:
    """`ok` and `failed` are runs of results since the other kind; `recent` the latest results, the oldest first."""

    open_after: int
    close_after: int
    circuit: Circuit = "CLOSED"
    ok: int = 0
    failed: int = 0
    recent: tuple[bool, ...] = ()

    def result(self, ok: bool) -> Breaker:
        """After one more probe; raises `NoTransition` while it is open: it is not to be probed then."""
        recent = (*self.recent, ok)[-RECENT:]
        run = replace(self, ok=self.ok + 1 if ok else 0, failed=0 if ok else self.failed + 1, recent=recent)
        if ok:
            return run.signal(G.ENOUGH_OK if run.ok >= self.close_after else G.OK)
        return run.signal(G.ENOUGH_FAILED if run.failed >= self.open_after else G.FAILED)

    def cooled(self) -> Breaker:
        """It has been open for long enough to be tried."""
        return replace(self.signal(G.COOLED), ok=0, failed=0)

    def signal(self, signal: Signal) -> Breaker:
        """After a signal; raises `NoTransition` for one that is not in the table."""
        after = TRANSITIONS.get((self.circuit, signal))
        if after is None:
            raise NoTransition(f"a circuit that is {self.circuit} cannot take {signal!r}")
        return replace(self, circuit=after)

    @property
    def error_ratio(self) -> float:
        """Share of recent probes that failed."""
        return self.recent.count(False) / len(self.recent) if self.recent else 0.0
