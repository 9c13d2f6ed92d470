"""Which incidents are open: verdicts, the ledger and circuits in, news out. Pure; time comes with the records.

| incident | opens | is over |
| --- | --- | --- |
| circuit | a dependency's circuit opens | it is closed |
| rollback | a verdict to roll back | the ledger says that control has the traffic |
| failed | an action failed | a later action of the rollout was done |
| invalid, no-data | verdicts say so for `sustained` | a verdict says something else |
| harm | the watch shows HARM of a service that no experiment judges | it says HEALTHY of the same |
| burn | an error budget burns too fast | it did not for the alert's short lookback |

Each opens once and is resolved once. What lasts shorter is nobody's incident. A burn that gets worse ends as a warning and
opens as a page; one that gets better stays what it is until it is over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from schemas.budget import BudgetStatus
from schemas.decision import Decision
from schemas.incident import Incident, Severity
from schemas.probe import ProbeResult
from schemas.verdict import WATCHED, Verdict

OPEN_MAX = 10_000
"""More at the same time are not opened."""
LASTING: Mapping[str, tuple[str, Severity, str]] = {
    "INVALID": ("invalid", "error", "cannot be judged"),
    "NO_DATA": ("no-data", "warning", "has no data"),
}
"""Conclusions that are incidents once they last: kind, severity, and what is said."""
STALE_US = 3_600_000_000
"""Older records open nothing: they are history that is read again."""

BURNS: Mapping[str, Severity] = {"PAGE": "critical", "TICKET": "warning"}

Record = Verdict | Decision | ProbeResult | BudgetStatus


@dataclass(frozen=True, slots=True)
class Book:
    """`open` and `pending` by key; pending ones do not yet last long enough."""

    open: Mapping[str, Incident] = field(default_factory=dict[str, Incident])
    pending: Mapping[str, Incident] = field(default_factory=dict[str, Incident])

    def take(self, record: Record, sustained_us: int, now_us: int) -> tuple[Book, list[Incident]]:
        """The book after a record, and what there is to tell."""
        match record:
            case ProbeResult():
                return self._probe(record, now_us)
            case Decision():
                return self._decision(record, now_us)
            case Verdict():
                return self._verdict(record, sustained_us, now_us)
            case BudgetStatus():
                return self._budget(record, now_us)

    def _probe(self, result: ProbeResult, now_us: int) -> tuple[Book, list[Incident]]:
        key = f"circuit/{result.target}"
        if result.circuit == "CLOSED":
            return self._over(key, result.time, f"{result.target} answers again")
        if result.circuit == "HALF_OPEN":
            return self, []
        needed = f"; {', '.join(result.services)} depend on it" if result.services else ""
        incident = Incident(
            key, "critical", f"{result.target} ({result.kind}) does not answer", f"{result.error or 'it is not well'}{needed}",
            result.time, result.time, labels={"target": result.target, "kind": result.kind},
        )  # fmt: skip
        return self._begun(incident, now_us)

    def _decision(self, decision: Decision, now_us: int) -> tuple[Book, list[Incident]]:
        labels = _labels(decision.service, decision.environment, decision.experiment_id, None, decision.verdict_id)
        failed = f"failed/{decision.experiment_id}"
        if decision.outcome == "FAILED":
            title = f"{decision.experiment_id}: {decision.kind} failed"
            incident = Incident(failed, "critical", title, decision.reason, decision.time, decision.time, labels=labels)
            return self._begun(incident, now_us)
        if decision.outcome != "DONE":
            return self, []
        book, news = self._over(failed, decision.time, f"{decision.kind} was done")
        if decision.kind in ("rollback", "force rollback", "abort"):
            for key in [key for key in book.open if key.startswith(f"rollback/{decision.experiment_id}/")]:
                if decision.variant is None or key.endswith(f"/{decision.variant}"):
                    book, more = book._over(key, decision.time, "control has its traffic again")
                    news += more
        return book, news

    def _verdict(self, verdict: Verdict, sustained_us: int, now_us: int) -> tuple[Book, list[Incident]]:
        place = f"{verdict.experiment_id}/{verdict.variant}"
        service, environment, at = verdict.service, verdict.environment, verdict.issued_at
        labels = _labels(service, environment, verdict.experiment_id, verdict.variant, verdict.verdict_id)
        book: Book = self
        news: list[Incident] = []
        for conclusion, (kind, severity, says) in LASTING.items():
            key = f"{kind}/{place}"
            if verdict.conclusion == conclusion:
                title = f"{verdict.experiment_id}: {verdict.variant} {says}"
                incident = Incident(key, severity, title, verdict.reason, at, at, labels=labels)
                book, more = book._lasting(incident, sustained_us, now_us)
            else:
                book, more = book._over(key, at, f"the latest verdict is {verdict.conclusion}")
            news += more
        if verdict.change is not None and verdict.experiment_id.startswith(WATCHED):
            key = f"harm/{place}/{verdict.change.sli}"
            if verdict.conclusion == "HARM":
                who = service if verdict.variant == "*" else f"{service} {verdict.variant}"
                title = f"{who} ({environment}): {verdict.change.sli} got worse"
                book, more = book._begun(Incident(key, "error", title, verdict.reason, at, at, labels=labels), now_us)
                news += more
            elif verdict.conclusion == "HEALTHY":
                book, more = book._over(key, at, verdict.reason)
                news += more
        if verdict.action == "ROLLBACK":
            title = f"{verdict.experiment_id}: {verdict.variant} must be rolled back"
            incident = Incident(f"rollback/{place}", "critical", title, verdict.reason, at, at, labels=labels)
            book, more = book._begun(incident, now_us)
            news += more
        return book, news

    def _budget(self, status: BudgetStatus, now_us: int) -> tuple[Book, list[Incident]]:
        key, severity = f"burn/{status.key}", BURNS.get(status.alert)
        if severity is None:
            return self._over(key, status.time, "it burns slowly enough again")
        book, news = self, list[Incident]()
        held = self.open.get(key)
        if held is not None and held.severity == "warning" and severity == "critical":
            book, news = self._over(key, status.time, "it burns faster now, and is a page")
        labels = _labels(status.service, status.environment, None, None, None) | {"slo": status.slo}
        title = f"{status.service} ({status.environment}): the error budget {status.slo} burns too fast"
        incident = Incident(key, severity, title, status.reason, status.time, status.time, labels=labels)
        book, more = book._begun(incident, now_us)
        return book, [*news, *more]

    def _begun(self, incident: Incident, now_us: int) -> tuple[Book, list[Incident]]:
        """Opened now, or nothing new."""
        full = len(self.open) >= OPEN_MAX
        if incident.key in self.open or full or now_us - incident.started > STALE_US:
            return self, []
        return replace(self, open={**self.open, incident.key: incident}), [incident]

    def _lasting(self, incident: Incident, sustained_us: int, now_us: int) -> tuple[Book, list[Incident]]:
        """Opened once it has lasted."""
        first = self.pending.get(incident.key, incident)
        if incident.key in self.open:
            return self, []
        if incident.started - first.started < sustained_us:
            if len(self.pending) >= OPEN_MAX:
                return self, []
            return replace(self, pending={**self.pending, incident.key: first}), []
        rest = {key: each for key, each in self.pending.items() if key != incident.key}
        return replace(self, pending=rest)._begun(replace(incident, started=first.started), now_us)

    def _over(self, key: str, time_us: int, why: str) -> tuple[Book, list[Incident]]:
        """Resolved, or no longer pending."""
        pending = (
            {each: held for each, held in self.pending.items() if each != key} if key in self.pending else self.pending
        )
        held = self.open.get(key)
        if held is None or time_us < held.started:
            return replace(self, pending=pending), []
        over = replace(held, ended=time_us, updated=time_us, text=f"{held.text}. It is over: {why}")
        return Book({each: one for each, one in self.open.items() if each != key}, pending), [over]


def _labels(
    service: str, environment: str, experiment: str | None, variant: str | None, verdict: str | None
) -> dict[str, str]:
    named = {
        "service": service, "environment": environment, "experiment": experiment, "variant": variant, "verdict_id": verdict,
    }  # fmt: skip
    return {name: value for name, value in named.items() if value}
