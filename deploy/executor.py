"""The executor: carries out one order at every target, so that it ends done everywhere or, told why, nowhere.

Usable alone: it needs targets, a journal and a clock, no Kafka. For each target in turn: look whether it is as ordered
already; if not, write down that it is tried, apply, look again, write down that it is done. So a crash anywhere is followed by
the same order again, and what had its effect before the crash is seen and not done twice. A target that does not do as told is
tried `TRIES` times; then all that was done is undone in reverse, and the order has failed. An order that protects (a rollback)
is never undone: the other targets are told all the same, and whoever gave it gives it again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from deploy.journal import Entry, Journal
from deploy.traffic.base import Order, Target, TargetAway, TargetError
from schemas import __version__

TRIES = 3
PAUSE_S = 0.2
"""Before the second try; each further one waits twice as long."""

log = structlog.get_logger("executor")


@dataclass(slots=True)
class Trace:
    """What became of an order, target by target, for the ledger and for people."""

    fault: str | None = None
    away: bool = False
    """Whether the fault is that somebody was not there: the order may do later."""
    lines: list[str] = field(default_factory=list[str])

    def __str__(self) -> str:
        return "; ".join(self.lines)


class Executor:
    """Carries out orders of one experiment; one at a time."""

    def __init__(
        self, targets: Sequence[Target], journal: Journal, now_us: Callable[[], int],
        wait: Callable[[float], object] = time.sleep,
    ) -> None:  # fmt: skip
        self.targets, self.journal, self.now_us, self.wait = list(targets), journal, now_us, wait

    def run(self, order: Order) -> Trace:
        """Do it, or go on with it where a crash ended it."""
        trace = Trace()
        try:
            self._carry_out(order, trace)
        except OSError as error:  # of the journal: nothing is begun that could not be gone on with
            trace.fault, trace.away = f"the journal cannot be written: {error}", True
        return trace

    def _carry_out(self, order: Order, trace: Trace) -> None:
        begun = self.journal.of(order.order_id)
        if not begun:
            self.journal.set_aside()
            self._note(order, "begin", weights=dict(order.weights), before=dict(order.before), reason=order.reason)
        done: list[Target] = []
        for target in self.targets:
            fault = self._told(target, order, begun, trace)
            if fault is None:
                done.append(target)
                continue
            trace.fault = trace.fault or fault
            if not order.protects:
                self._undo([*done, target], order, trace)
                break
        self._note(order, "end" if trace.fault is None else "failed", fault=trace.fault)

    def _told(self, target: Target, order: Order, begun: list[Entry], trace: Trace) -> str | None:
        """Bring one target to what is ordered; the fault where it cannot be done."""
        was_done = any(entry["phase"] == "done" and entry.get("target") == target.name for entry in begun)
        if target.blind and was_done:
            trace.lines.append(f"{target.name}: done before")
            return None
        fault, started, away = "nothing was tried", time.monotonic(), False
        for attempt in range(1, TRIES + 1):
            if attempt > 1:
                self.wait(PAUSE_S * 2 ** (attempt - 2))
            try:
                if target.blind or target.fault(order) is not None:
                    self._note(order, "try", target=target.name, attempt=attempt)
                    target.apply(replace(order, attempt=attempt))
                wrong, away = target.fault(order), False
            except TargetError as error:
                wrong, away = str(error), isinstance(error, TargetAway)
            if wrong is None:
                took_s = time.monotonic() - started
                if not was_done:
                    self._note(order, "done", target=target.name, attempt=attempt, seconds=round(took_s, 3))
                trace.lines.append(f"{target.name}: done in {took_s:.2f} s" + (f", try {attempt}" * (attempt > 1)))
                return None
            fault = wrong
            self._note(order, "fault", target=target.name, attempt=attempt, fault=fault)
            log.warning("a target does not do as told", target=target.name, attempt=attempt, fault=fault)
        trace.lines.append(f"{target.name}: {fault}")
        trace.away = away and (trace.fault is None or trace.away)
        return fault

    def _undo(self, told: list[Target], order: Order, trace: Trace) -> None:
        """Back to how it was, the last first; what cannot be undone is told."""
        back = replace(
            order, order_id=f"{order.order_id}/undo", weights=order.before, before=order.weights, kind="undo"
        )
        for target in self._files_first(told):
            try:
                target.apply(back)
                wrong = target.fault(back)
            except TargetError as error:
                wrong = str(error)
            self._note(order, "undone" if wrong is None else "stuck", target=target.name, fault=wrong)
            trace.lines.append(f"{target.name}: " + ("set back" if wrong is None else f"NOT set back: {wrong}"))

    @staticmethod
    def _files_first(told: list[Target]) -> list[Target]:
        """Those who read the splitter's files are set back after them, the others in reverse."""
        return [*told[:1], *reversed(told[1:])]

    def _note(self, order: Order, phase: str, **more: Any) -> None:
        """Into the journal, before anything is done. A rollback is not kept from its targets by a full disk."""
        entry: Entry = {
            "time": self.now_us(), "order_id": order.order_id, "experiment": order.spec.id, "kind": order.kind,
            "phase": phase, "version": __version__, **more,
        }  # fmt: skip
        try:
            self.journal.write(entry)
        except OSError as error:
            if not order.protects:
                raise
            log.warning("the journal cannot be written", order=order.order_id, phase=phase, error=str(error))
