"""The rollout machine's table: what can happen to a rollout in which state, and where that leads; all else is refused."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path


class State(StrEnum):
    """Where a rollout is."""

    PENDING = "pending"
    QUEUED = "queued"
    SHIFTING = "shifting"
    BAKING = "baking"
    PAUSED = "paused"
    PROMOTING = "promoting"
    PROMOTED = "promoted"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"
    ABORTING = "aborting"
    ABORTED = "aborted"


class Kind(StrEnum):
    """What can happen to it. Verdicts that ask for nothing (CONTINUE) do not happen."""

    APPLY = "apply"
    QUEUE = "queue"
    ADVANCE = "advance"
    HOLD = "hold"
    PROMOTE = "promote"
    ROLLBACK = "rollback"
    PAUSE = "pause"
    RESUME = "resume"
    APPROVE = "approve"
    FORCE_PROMOTE = "force promote"
    FORCE_ROLLBACK = "force rollback"
    ABORT = "abort"
    SHIFTED = "shifted"
    SHIFT_FAILED = "shift failed"
    NEW_JUDGE = "new judge"
    CIRCUIT_OPEN = "circuit open"
    CIRCUIT_CLOSED = "circuit closed"


S, K = State, Kind
SHIFTS: Mapping[State, State] = {
    S.SHIFTING: S.BAKING, S.PROMOTING: S.PROMOTED, S.ROLLING_BACK: S.ROLLED_BACK, S.ABORTING: S.ABORTED,
}  # fmt: skip
"""States in which traffic is being shifted, and what follows once it was."""
TRANSITIONS: Mapping[tuple[State, Kind], State] = {
    (S.PENDING, K.APPLY): S.SHIFTING,
    (S.QUEUED, K.APPLY): S.SHIFTING,
    (S.QUEUED, K.ABORT): S.ABORTED,
    **{(state, K.QUEUE): S.QUEUED for state in (S.PENDING, S.QUEUED, S.PROMOTED, S.ROLLED_BACK, S.ABORTED)},
    (S.BAKING, K.ADVANCE): S.SHIFTING,
    (S.BAKING, K.HOLD): S.BAKING,
    (S.BAKING, K.PROMOTE): S.PROMOTING,
    (S.BAKING, K.PAUSE): S.PAUSED,
    (S.BAKING, K.RESUME): S.BAKING,
    (S.BAKING, K.APPROVE): S.BAKING,
    (S.PAUSED, K.RESUME): S.BAKING,
    (S.PAUSED, K.APPROVE): S.PAUSED,
    (S.PAUSED, K.HOLD): S.PAUSED,
    **{(state, K.ROLLBACK): S.ROLLING_BACK for state in (S.BAKING, S.PAUSED, S.SHIFTING, S.PROMOTING, S.PROMOTED)},
    **{(state, K.FORCE_PROMOTE): S.PROMOTING for state in (S.BAKING, S.PAUSED)},
    **{
        (state, K.FORCE_ROLLBACK): S.ROLLING_BACK for state in (S.BAKING, S.PAUSED, S.SHIFTING, S.PROMOTING, S.PROMOTED)
    },
    **{(state, K.ABORT): S.ABORTING for state in (S.BAKING, S.PAUSED, S.SHIFTING)},
    **{(state, K.APPLY): S.SHIFTING for state in (S.BAKING, S.PAUSED, S.PROMOTED, S.ROLLED_BACK, S.ABORTED)},
    **{(state, K.SHIFTED): after for state, after in SHIFTS.items()},
    **{(state, K.SHIFT_FAILED): S.PAUSED for state in (S.SHIFTING, S.PROMOTING)},
    **{(state, K.SHIFT_FAILED): state for state in (S.ROLLING_BACK, S.ABORTING)},
    **{
        (state, kind): state
        for state in (S.BAKING, S.PAUSED, *SHIFTS)
        for kind in (K.NEW_JUDGE, K.CIRCUIT_OPEN, K.CIRCUIT_CLOSED)
    },
}
DOCUMENT = Path("docs/rollout.md")
BEGIN, END = "<!-- diagram: written by python -m deploy.transitions -->", "<!-- /diagram -->"
MANY = ("shift failed", "new judge")
"""Events that would only clutter the diagram: a failed shift pauses, or is tried again; a new judge changes no state."""


def diagram() -> str:
    """The table as a Mermaid state diagram, for docs/rollout.md.

    >>> print(diagram().splitlines()[1])
        [*] --> pending
    """
    by_edge: dict[tuple[State, State], list[str]] = {}
    for (state, kind), after in TRANSITIONS.items():
        if kind.value not in MANY:
            by_edge.setdefault((state, after), []).append(kind.value)
    lines = ["stateDiagram-v2", "    [*] --> pending"]
    lines += [f"    {state} --> {after}: {', '.join(sorted(kinds))}" for (state, after), kinds in by_edge.items()]
    return "\n".join(lines)


COMMANDS: Mapping[str, Kind] = {
    "pause": K.PAUSE, "resume": K.RESUME, "approve": K.APPROVE, "promote": K.FORCE_PROMOTE,
    "rollback": K.FORCE_ROLLBACK, "abort": K.ABORT,
}  # fmt: skip


def written(text: str) -> str:
    """A document with the diagram between its marks."""
    begin, rest = text.split(BEGIN)
    return f"{begin}{BEGIN}\n\n```mermaid\n{diagram()}\n```\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    DOCUMENT.write_text(written(DOCUMENT.read_text("utf-8")), "utf-8")
