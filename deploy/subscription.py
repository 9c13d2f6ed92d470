"""A subscription to verdicts: which of them is to be applied now, and which are refused. Pure; becomes JSON and comes back.

A verdict that passes waits in its candidate's place until it is applied. A later one takes the place of an earlier one, so
that whoever was away finds the latest state only; a PROMOTE or ROLLBACK that still holds is not pushed out by what is said
after the rollout, unless that is a ROLLBACK, too. A verdict that has expired before its turn is refused and means HOLD.

>>> subscription = Subscription()
>>> subscription.due(0), subscription.skipped
(None, 0)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from deploy.fence import Fence, expiry
from deploy.ledger import Chain, decision_id
from schemas import __version__
from schemas.decision import Decision, Outcome
from schemas.verdict import Verdict

EXPERIMENTS_MAX = 10_000
"""Experiments whose fences are kept; of more, the one that was heard of longest ago is forgotten."""
LEDGER = "ledger"
"""The detail of a decision that names a ledger of its own: its chain runs over all experiments."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A verdict that is not applied, and why, as a clause."""

    verdict: Verdict
    reason: str
    outcome: Outcome = "REFUSED"


@dataclass(slots=True)
class Subscription:
    """What was heard and applied. `waiting` is by experiment and candidate; `tried` counts the applications of the verdict
    that is being applied; `skipped` are verdicts that a later one made needless."""

    fences: dict[str, Fence] = field(default_factory=dict[str, Fence])
    waiting: dict[tuple[str, str], Verdict] = field(default_factory=dict[tuple[str, str], Verdict])
    offsets: dict[int, int] = field(default_factory=dict[int, int])
    """Of each partition, the next to be read."""
    tried: dict[str, int] = field(default_factory=dict[str, int])
    chain: Chain = field(default_factory=Chain)
    outbox: list[bytes] = field(default_factory=list[bytes])
    """Ledger records that may not be in the log yet."""
    applied: int = 0
    skipped: int = 0
    refused: int = 0

    def take(self, verdict: Verdict, fault: str | None, offset: int, wanted: bool = True) -> Refusal | None:
        """A verdict of the log; `fault` is what is wrong with its signature, `wanted` whether it is to be applied at all."""
        if fault is not None:
            return Refusal(verdict, fault)
        fence = self.fences.pop(verdict.experiment_id, Fence())
        self.fences[verdict.experiment_id] = fence
        if len(self.fences) > EXPERIMENTS_MAX:
            del self.fences[next(iter(self.fences))]
        if fence.repeats(verdict, offset):
            self.fences[verdict.experiment_id] = fence.heard(verdict.epoch)
            return None
        fault = fence.fault(verdict.epoch, verdict.sequence)
        if fault is not None:
            return Refusal(verdict, fault)
        self.fences[verdict.experiment_id] = fence.taken(verdict, offset)
        if wanted:
            self._wait(verdict)
        return None

    def _wait(self, verdict: Verdict) -> None:
        place = (verdict.experiment_id, verdict.variant)
        held = self.waiting.get(place)
        if held is not None:
            self.skipped += 1
            if held.final and verdict.phase == "watch" and verdict.action != "ROLLBACK":
                if expiry(held, verdict.issued_at) is None:
                    return
            self.tried.pop(held.verdict_id, None)
            del self.waiting[place]
        self.waiting[place] = verdict

    def expired(self, now_us: int) -> list[Refusal]:
        """What waited too long; it waits no more."""
        late = [(place, verdict, expiry(verdict, now_us)) for place, verdict in self.waiting.items()]
        refusals: list[Refusal] = []
        for place, verdict, old in late:
            if old is not None:
                del self.waiting[place]
                self.tried.pop(verdict.verdict_id, None)
                refusals.append(Refusal(verdict, old))
        return refusals

    def due(self, now_us: int) -> Verdict | None:
        """The verdict to apply next: of those that wait and hold, the one that was said first."""
        held = [verdict for verdict in self.waiting.values() if expiry(verdict, now_us) is None]
        return min(held, key=lambda verdict: (verdict.issued_at, verdict.experiment_id, verdict.sequence), default=None)

    def trying(self, verdict: Verdict) -> int:
        """It is about to be applied, for the how-manieth time; to be kept before it is."""
        self.tried[verdict.verdict_id] = self.tried.get(verdict.verdict_id, 0) + 1
        return self.tried[verdict.verdict_id]

    def settled(self, verdict: Verdict, applied: bool) -> None:
        """It was applied, or given up."""
        self.tried.pop(verdict.verdict_id, None)
        place = (verdict.experiment_id, verdict.variant)
        if self.waiting.get(place) == verdict:
            del self.waiting[place]
        self.applied += applied

    def record(self, refusal: Refusal, name: str, cause: str, now_us: int) -> Decision:
        """The refusal as the next record of this subscriber's ledger, also put into the outbox."""
        verdict, writer = refusal.verdict, f"subscriber {name}"
        verb = "refused" if refusal.outcome == "REFUSED" else "not applied"
        decision = Decision(
            decision_id(verdict.experiment_id, f"{writer} {cause}", refusal.outcome), verdict.experiment_id,
            verdict.service, verdict.environment, 0, now_us, verdict.action.lower(), refusal.outcome, writer,
            f"{verb}: {refusal.reason}", verdict.verdict_id, verdict.variant, verdict.epoch, "", "", verdict.step, {},
            {LEDGER: writer, "cause": cause, "sequence": str(verdict.sequence)}, None, f"davy {__version__}",
        )  # fmt: skip
        self.chain, linked = self.chain.add(decision)
        self.refused += 1
        self.outbox.append(linked.encode())
        return linked

    # -- to JSON and back ----------------------------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """Plain values for JSON; bytes are hexadecimal."""
        return {
            "fences": {name: asdict(fence) for name, fence in self.fences.items()},
            "waiting": [verdict.encode().hex() for verdict in self.waiting.values()],
            "offsets": {str(partition): offset for partition, offset in self.offsets.items()},
            "tried": self.tried, "chain": asdict(self.chain), "outbox": [value.hex() for value in self.outbox],
            "applied": self.applied, "skipped": self.skipped, "refused": self.refused,
        }  # fmt: skip

    @classmethod
    def load(cls, data: Mapping[str, Any]) -> Self:
        """From what `dump` gave."""
        waiting = [Verdict.decode(bytes.fromhex(text)) for text in data["waiting"]]
        return cls(
            fences={name: Fence(**fence) for name, fence in data["fences"].items()},
            waiting={(verdict.experiment_id, verdict.variant): verdict for verdict in waiting},
            offsets={int(partition): offset for partition, offset in data["offsets"].items()},
            tried=dict(data["tried"]), chain=Chain(**data["chain"]),
            outbox=[bytes.fromhex(text) for text in data["outbox"]],
            applied=data["applied"], skipped=data["skipped"], refused=data["refused"],
        )  # fmt: skip

    def forget_log(self) -> None:
        """The log is another one: its offsets mean nothing any more."""
        self.offsets = {}
        self.fences = {name: replace(fence, offset=-1) for name, fence in self.fences.items()}
