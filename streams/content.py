"""What the judge keeps of one label in one window, where cells of open blocks are counted, and what specs name."""

from __future__ import annotations

from dataclasses import dataclass, field

from analyzers.arm import ArmWindow
from schemas.frozen import frozen
from streams import deltas
from streams.fold import SourceKey
from streams.parts import Label

Group = tuple[str | None, str, str]
"""Experiment id, service, environment."""
FOLDED_PARTS_MAX = 16
"""Cells of complete blocks that wait to be added up."""


@frozen()
class Names:
    """Versions and variants that an experiment's spec names, and what it compares within."""

    versions: frozenset[str] = frozenset()
    variants: frozenset[str] = frozenset()
    stratify: str | None = None
    """The dimension within whose values it compares."""

    def has(self, label: Label) -> bool:
        """Whether the spec names it."""
        return label[0] in self.versions and (label[1] is None or label[1] in self.variants)


@dataclass(slots=True, eq=False)
class Content:
    """One label in one window, as bodies of cells; the open ones by source and key."""

    complete: list[bytes] = field(default_factory=list[bytes])
    open: dict[SourceKey, dict[bytes, bytes]] = field(default_factory=dict[SourceKey, dict[bytes, bytes]])
    known: ArmWindow | None = None
    """The total, while it is right."""

    def total(self) -> ArmWindow:
        """Everything counted so far."""
        if self.known is None:
            self.known = deltas.total(
                [*self.complete, *(body for held in self.open.values() for body in held.values())]
            )
        return self.known

    def fold(self, source: SourceKey) -> None:
        """The source's open block is complete."""
        self.complete += self.open.pop(source, {}).values()
        if len(self.complete) > FOLDED_PARTS_MAX:
            self.complete = deltas.merged(self.complete)


@dataclass(slots=True, eq=False)
class Place:
    """Where a cell of an open block is counted, and what of it was counted last: rows, late, quarantined."""

    content: Content
    group: Group
    window: int
    label: Label
    dimensions: tuple[str | None, ...]
    own: bool
    """Not under `__other__` of others."""
    other: bool
    """Under `__other__`, of others or from the beginning."""
    counted: tuple[int, int, int] = (0, 0, 0)

    @property
    def told_apart(self) -> bool:
        """Whether it has a segment, say, and is counted as what it is."""
        return self.own and any(value is not None for value in self.dimensions)
