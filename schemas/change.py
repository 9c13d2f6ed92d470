"""What changed, when, who carries it, and what happened near it: part of a verdict of the watch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from schemas.frozen import frozen
from schemas.record import Record

ChangeKind = Literal["change", "anomaly"]
"""An anomaly is over: nothing acts on it."""


@frozen()
class Carrier(Record):
    """One value of one dimension (version, segment, endpoint, instance); `value` None: all other rows.

    `share` of the change is its own: shares of all values of a dimension add up to 1; one below 0 went the other way. `before`
    and `after` are its own levels, None where it had no rows.
    """

    dimension: str
    value: str | None
    share: float
    before: float | None
    after: float | None


@frozen()
class Link(Record):
    """Something that happened near a change; `time` is UTC microseconds."""

    time: int
    kind: str
    text: str


@frozen()
class ChangeEvent(Record):
    """A change of one SLI: when it began (estimate, and where it may lie), its levels before and after in the SLI's unit. Of
    an anomaly `latest_at` is when it was seen last, `after` its furthest."""

    sli: str
    begun_at: int
    earliest_at: int
    latest_at: int
    before: float
    after: float
    carriers: tuple[Carrier, ...] = ()
    links: tuple[Link, ...] = ()
    kind: ChangeKind = "change"

    @classmethod
    def from_avro(cls, data: Mapping[str, Any]) -> Self:
        carriers = tuple(Carrier.from_avro(item) for item in data["carriers"])
        links = tuple(Link.from_avro(item) for item in data["links"])
        values: dict[str, Any] = {**data, "carriers": carriers, "links": links}
        return cls(**values)
