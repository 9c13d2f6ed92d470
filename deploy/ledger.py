"""The ledger's chain: every record of an experiment carries the hash of the one before it, so that tampering shows. Pure.

A record's hash is the SHA-256 of its canonical JSON (fields sorted, null ones left out, so that a field added later changes
no old hash) without the field `hash` itself. `previous_hash` is that of the record before; the first has none. Records may
stand in the log twice (a writer that got no answer says them again): the same record again means nothing. Whoever rewrites a
record must rewrite all that follow; where keys are configured each record is signed, too, and cannot be rewritten at all.

>>> chain = Chain()
>>> chain, first = chain.add(EXAMPLE)
>>> chain, second = chain.add(EXAMPLE)
>>> first.sequence, second.sequence, second.previous_hash == first.hash == digest(first)
(1, 2, True)
"""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import dataclass, replace
from typing import Self

from schemas.decision import Decision

NAMESPACE = uuid.UUID("0b9f2f7e-2f0c-5c55-8f6e-3d0c8f4a1d21")

EXAMPLE = Decision(
    "d", "checkout-2.4.0", "checkout", "production", 0, 0, "pause", "DONE", "ann", "lunch", None, None, 1, "baking",
    "paused", 0, {"control": 1.0}, {}, None, "davy",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Chain:
    """The end of one experiment's records: how many there are, and the last one's hash."""

    length: int = 0
    head: str | None = None

    def add(self, decision: Decision) -> tuple[Self, Decision]:
        """The chain with one more, and the record as it is to be written."""
        placed = replace(decision, sequence=self.length + 1, previous_hash=self.head, hash=None)
        linked = replace(placed, hash=digest(placed))
        return replace(self, length=linked.sequence, head=linked.hash), linked

    def after(self, decision: Decision) -> Self:
        """The chain when this record is its last, as a restarted writer finds it."""
        return self if decision.sequence < self.length else replace(self, length=decision.sequence, head=decision.hash)


class Heads:
    """Which records of a log hold, where several writers wrote: the first that follows its predecessor. A writer that finds
    another's record in the place of its own was superseded and must not act any more.

    >>> first, mine = Chain().add(EXAMPLE)[1], Chain().add(replace(EXAMPLE, reason="I say"))[1]
    >>> heads = Heads()
    >>> heads.take("e", first), heads.take("e", mine), heads.take("e", first), heads.head("e") == first.hash
    (True, False, False, True)
    """

    def __init__(self) -> None:
        self._heads: dict[str, str | None] = {}
        self._known: dict[str, set[str | None]] = {}

    def take(self, chain: str, decision: Decision) -> bool:
        """The next record of the log; whether it holds (a repetition does not once more)."""
        known = self._known.setdefault(chain, {None})
        follows = decision.previous_hash == self._heads.get(chain)
        if decision.hash is not None and (decision.hash in known or (not follows and decision.previous_hash in known)):
            known.add(decision.hash)  # what follows a record that does not hold does not hold either
            return False
        known.add(decision.hash)
        self._heads[chain] = decision.hash
        return True

    def head(self, chain: str) -> str | None:
        """The hash of the last record that holds."""
        return self._heads.get(chain)


def digest(decision: Decision) -> str:
    """SHA-256 of a record's canonical JSON, without its own hash."""
    fields = {name: value for name, value in decision.to_avro().items() if name != "hash" and value is not None}
    return hashlib.sha256(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def decision_id(experiment_id: str, cause: str, what: str) -> str:
    """The same for the same thing, however often it is done."""
    return str(uuid.uuid5(NAMESPACE, f"{experiment_id}\0{cause}\0{what}"))
