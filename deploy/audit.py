"""The audit of a ledger: whether each chain of records is whole, as it was written. Pure.

What shows: a record that was changed, removed, put in or moved, the beginning gone, two records that both follow the same one
(two writers at a time), a record that no trusted key signed. What cannot show by itself is an end that was cut off: compare
with a hash that was noted earlier (`Audit.hashes`).

>>> audit = Audit("checkout-2.4.0")
>>> chain, first = Chain().add(EXAMPLE)
>>> _, second = chain.add(EXAMPLE)
>>> audit.take(second, "decisions/0@1"), audit.take(first, "decisions/0@0"), len(audit.findings)
(None, None, 2)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from deploy.ledger import EXAMPLE, Chain, digest
from deploy.subscription import LEDGER
from schemas.decision import Decision

__all__ = ["EXAMPLE", "Audit", "Chain", "Entry", "audited", "chain_of"]

FINDINGS_MAX = 1_000
"""Of one chain; more are only counted."""

Entry = tuple[str, Decision, str | None]
"""Where a record stands in the log, the record, and what is wrong with its signature."""


@dataclass(slots=True)
class Audit:
    """One chain, record by record in the order of the log."""

    name: str
    records: int = 0
    repeated: int = 0
    unchained: int = 0
    """Records of versions of Davy that did not chain yet, before the first that is chained."""
    head: str | None = None
    length: int = 0
    findings: list[str] = field(default_factory=list[str])
    faults: int = 0
    hashes: set[str] = field(default_factory=set[str])

    def take(self, decision: Decision, place: str, fault: str | None = None) -> None:
        """The next record of the log that belongs to this chain."""
        if decision.hash is None and self.head is None:
            self.unchained += 1
            self.length = decision.sequence
            return
        genuine = decision.hash == digest(decision)
        if genuine and decision.hash in self.hashes:
            self.repeated += 1
            return
        self.records += 1
        name = f"{place}: {self.name} #{decision.sequence}"
        if fault is not None:
            self._find(f"{name}: {fault}")
        if not genuine:
            self._find(f"{name}: its content was changed: its hash is another")
        elif decision.previous_hash != self.head:
            self._find(f"{name}: {self._break(decision)}")
        self.head, self.length = decision.hash, decision.sequence
        self.hashes.add(decision.hash or "")

    def _break(self, decision: Decision) -> str:
        """Why a record does not follow the last one."""
        if self.head is None:
            return "the records before it are gone"
        if decision.previous_hash in self.hashes or decision.sequence <= self.length:
            return f"it follows another record than #{self.length}: two wrote at the same time, or records were moved"
        return f"records between #{self.length} and it are gone, or were changed"

    def _find(self, sentence: str) -> None:
        self.faults += 1
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(sentence)


def chain_of(decision: Decision) -> str:
    """The name of the chain that a record belongs to: its experiment, or a writer with a ledger of its own."""
    return decision.details.get(LEDGER) or decision.experiment_id


def audited(entries: Iterable[Entry]) -> dict[str, Audit]:
    """All chains of a log, by name."""
    audits: dict[str, Audit] = {}
    for place, decision, fault in entries:
        name = chain_of(decision)
        audits.setdefault(name, Audit(name)).take(decision, place, fault)
    return audits
