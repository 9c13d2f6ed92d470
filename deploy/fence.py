"""The fence of those who act on verdicts: never an old judge, never an older word, never the same word twice. Pure.

A verdict passes when its epoch is not below the highest that was heard and its sequence is above the highest that was taken.
Two kinds of repetition are nobody's fault and pass over in silence: a record of the log that is read again (its offset was
taken before), and what a judge that took over says again while it catches up (a higher epoch than that of what was taken).

>>> fence = Fence(epoch=3, sequence=7, taken_epoch=3)
>>> fence.fault(2, 9), fence.fault(3, 8), fence.fault(3, 7)
('its epoch 2 is below 3: an old judge', None, 'its sequence 7 is not above 7: it was said before')
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from schemas.codec import iso
from schemas.verdict import Verdict

UNKNOWN_OFFSET = -1


@dataclass(frozen=True, slots=True)
class Fence:
    """What was heard and taken of one experiment's verdicts."""

    epoch: int = 0
    """The highest that was heard."""
    sequence: int = 0
    """The highest that was taken."""
    taken_epoch: int = 0
    """That of the verdict with this sequence."""
    offset: int = UNKNOWN_OFFSET
    """In the log, of the last verdict that was taken."""

    def fault(self, epoch: int, sequence: int) -> str | None:
        """Why a verdict does not pass, as a clause; None when it does."""
        if epoch < self.epoch:
            return f"its epoch {epoch} is below {self.epoch}: an old judge"
        if sequence <= self.sequence:
            return f"its sequence {sequence} is not above {self.sequence}: it was said before"
        return None

    def repeats(self, verdict: Verdict, offset: int) -> bool:
        """Whether it is one of the repetitions that mean nothing."""
        if verdict.sequence > self.sequence:
            return False
        return UNKNOWN_OFFSET < offset <= self.offset or verdict.epoch > self.taken_epoch

    def heard(self, epoch: int) -> Self:
        """After a verdict of this epoch that is not taken."""
        return replace(self, epoch=max(self.epoch, epoch))

    def taken(self, verdict: Verdict, offset: int) -> Self:
        """After this verdict, which passed."""
        return replace(
            self, epoch=verdict.epoch, sequence=verdict.sequence, taken_epoch=verdict.epoch,
            offset=max(self.offset, offset),
        )  # fmt: skip


def expiry(verdict: Verdict, now_us: int) -> str | None:
    """Why a verdict is too old to act on, as a clause; None while it is not."""
    return (
        None
        if now_us < verdict.expires_at
        else f"the verdict to {verdict.action} had expired at {iso(verdict.expires_at)}"
    )
