"""Whether a role moves: where it stands in each partition that it reads, and how much waits there. Pure.

A role stands still when records wait in a partition and its position there has not changed for `limit_s`, or when nothing was
heard of it for that long. An end that was reached, however often, is not a standstill. Times are monotonic seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

Place = tuple[str, int]
"""Topic and partition."""


@dataclass(slots=True)
class Mark:
    """`position` is the next offset to be read or committed, `end` where the partition ends."""

    position: int
    end: int
    moved_s: float

    @property
    def lag(self) -> int:
        """Records that wait."""
        return max(0, self.end - self.position)


class Standing:
    """One role, as it tells of itself or as the broker tells of it."""

    def __init__(self, role: str, limit_s: float) -> None:
        self.role = role
        self.limit_s = limit_s
        self.trouble: str | None = None
        """What it says of itself that keeps its work from its end, though it moves: for who asks whether it is ready."""
        self._heard_s: float | None = None
        self._marks: dict[Place, Mark] = {}

    def beat(self, now_s: float) -> None:
        """It was heard of, whether or not it has anything to read."""
        self._heard_s = now_s

    def take(self, place: Place, position: int, end: int, now_s: float) -> None:
        """Where it stands in one partition."""
        held = self._marks.get(place)
        moved = held is None or position != held.position or position >= end
        self._marks[place] = Mark(position, end, now_s if moved or held is None else held.moved_s)

    def forget(self, place: Place) -> None:
        """The partition is another's now."""
        self._marks.pop(place, None)

    def marks(self) -> list[tuple[Place, Mark]]:
        """Every partition; safe to call from another thread."""
        return list(self._marks.items())

    @property
    def spoken(self) -> bool:
        """Whether it was ever heard of."""
        return self._heard_s is not None

    @property
    def lag(self) -> int:
        """Records that wait in all partitions."""
        return sum(mark.lag for _, mark in self.marks())

    def fault(self, now_s: float) -> str | None:
        """Who stands still and what to do, in a sentence; None while all is well."""
        if self._heard_s is None:
            return (
                f"nothing was heard of {self.role} yet: start it with `davy run {self.role}`, or wait if it is starting"
            )
        todo = f"see whether the process of `davy run {self.role}` is well, and what its log says last"
        silent_s = now_s - self._heard_s
        if silent_s > self.limit_s:
            waiting = f" while {self.lag:,} records wait for it" if self.lag else ""
            return f"{self.role} has said nothing for {silent_s:.0f} s{waiting}: {todo}"
        still = [(place, mark) for place, mark in self.marks() if mark.lag and now_s - mark.moved_s > self.limit_s]
        if not still:
            return None
        (topic, partition), _ = still[0]
        where = f"{topic}/{partition}" + (f" and {len(still) - 1} more partitions" if len(still) > 1 else "")
        still_s, records = max(now_s - mark.moved_s for _, mark in still), sum(mark.lag for _, mark in still)
        return (
            f"{self.role} stands still: {records:,} records wait in {where}, none was taken for {still_s:.0f} s: {todo}"
        )


HERE = Standing("this process", 15.0)
"""Of the role that runs in this process, as it tells of itself; `davy run ROLE` sets its name and limit."""
