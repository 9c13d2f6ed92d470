"""The rollout machine's table: what can happen to a rollout in which state, and where that leads; all else is refused."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class State(StrEnum):
    """Where a rollout is."""

    PENDING = "pending"
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


S, K = State, Kind
SHIFTS: Mapping[State, State] = {
    S.SHIFTING: S.BAKING, S.PROMOTING: S.PROMOTED, S.ROLLING_BACK: S.ROLLED_BACK, S.ABORTING: S.ABORTED,
}  # fmt: skip
"""States in which traffic is being shifted, and what follows once it was."""
TRANSITIONS: Mapping[tuple[State, Kind], State] = {
    (S.PENDING, K.APPLY): S.SHIFTING,
    (S.BAKING, K.ADVANCE): S.SHIFTING,
    (S.BAKING, K.HOLD): S.BAKING,
    (S.BAKING, K.PROMOTE): S.PROMOTING,
    (S.BAKING, K.PAUSE): S.PAUSED,
    (S.BAKING, K.RESUME): S.BAKING,
    (S.BAKING, K.APPROVE): S.BAKING,
    (S.PAUSED, K.RESUME): S.BAKING,
    (S.PAUSED, K.APPROVE): S.PAUSED,
    (S.PAUSED, K.HOLD): S.PAUSED,
    **{(state, K.ROLLBACK): S.ROLLING_BACK for state in (S.BAKING, S.PAUSED)},
    **{(state, K.FORCE_PROMOTE): S.PROMOTING for state in (S.BAKING, S.PAUSED)},
    **{(state, K.FORCE_ROLLBACK): S.ROLLING_BACK for state in (S.BAKING, S.PAUSED, S.PROMOTED)},
    **{(state, K.ABORT): S.ABORTING for state in (S.BAKING, S.PAUSED)},
    **{(state, K.APPLY): S.SHIFTING for state in (S.BAKING, S.PAUSED, S.PROMOTED, S.ROLLED_BACK, S.ABORTED)},
    **{(state, K.SHIFTED): after for state, after in SHIFTS.items()},
    **{(state, K.SHIFT_FAILED): S.PAUSED for state in (S.SHIFTING, S.PROMOTING)},
    **{(state, K.SHIFT_FAILED): state for state in (S.ROLLING_BACK, S.ABORTING)},
    **{(state, K.NEW_JUDGE): state for state in (S.BAKING, S.PAUSED, *SHIFTS)},
}
COMMANDS: Mapping[str, Kind] = {
    "pause": K.PAUSE, "resume": K.RESUME, "approve": K.APPROVE, "promote": K.FORCE_PROMOTE,
    "rollback": K.FORCE_ROLLBACK, "abort": K.ABORT,
}  # fmt: skip
