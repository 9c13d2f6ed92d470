"""`streams.kernels.admission` in plain Python."""

from __future__ import annotations

from streams.layout import Layout

OTHER, OFTEN, COUNTERS, ARM_LABELS = "__other__", 16, 1 << 16, 5
_BASIS, _PRIME, _MASK = 0xCBF29CE484222325, 0x100000001B3, (1 << 64) - 1

Labels = tuple[str | None, ...]
"""experiment_id, service, environment, version, variant, dimensions."""


class Admission:
    """Cell numbers of one block, in the order in which the cells came to be."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.keys: list[tuple[Labels, int]] = []
        self._cells: dict[tuple[Labels, int], int] = {}
        self._arms: set[Labels] = set()
        self._arms_of: dict[Labels, int] = {}
        """Arms admitted first come, by (service, environment)."""
        self._counters: tuple[bytearray, bytearray] | None = None
        self._nothing: Labels = (OTHER,) * len(layout.dimensions)

    def cell(self, labels: Labels, window: int) -> int | None:
        """The number of a row's cell; None where its arm is not admitted: ask `late`."""
        number = self._cells.get((labels, window))
        if number is not None:
            return number
        arm = labels[:ARM_LABELS]
        if arm not in self._arms:
            place = arm[1:3]
            held = self._arms_of.get(place, 0)
            if held >= self.layout.arms_per_service or len(self.keys) >= self.layout.keys_per_block:
                return None
            self._arms.add(arm)
            self._arms_of[place] = held + 1
        return self._open(labels, window)

    def late(self, labels: Labels, window: int) -> int:
        """The number of the cell of a row whose arm was not admitted: its own from the `OFTEN`th row on."""
        arm = labels[:ARM_LABELS]
        if self._count(arm) >= OFTEN:
            self._arms.add(arm)
            return self._open(labels, window)
        service, environment = arm[1:3] if arm[1:3] in self._arms_of else (OTHER, OTHER)
        return self._number((None, service, environment, OTHER, None, *self._nothing), window)

    def _open(self, labels: Labels, window: int) -> int:
        if len(self.keys) >= self.layout.keys_per_block:
            labels = (*labels[:ARM_LABELS], *self._nothing)
        return self._number(labels, window)

    def _number(self, labels: Labels, window: int) -> int:
        number = self._cells.setdefault((labels, window), len(self.keys))
        if number == len(self.keys):
            self.keys.append((labels, window))
        return number

    def _count(self, arm: Labels) -> int:
        if self._counters is None:
            self._counters = (bytearray(COUNTERS), bytearray(COUNTERS))
        hashed, least = arm_hash(arm), OFTEN
        for row, place in zip(self._counters, (hashed % COUNTERS, (hashed >> 32) % COUNTERS), strict=True):
            row[place] = min(row[place] + 1, OFTEN)
            least = min(least, row[place])
        return least


def arm_hash(arm: Labels) -> int:
    """FNV-1a, 64 bits, over the labels: a 0 for none, else a 1 and the UTF-8 bytes; part of what a delta means.

    >>> hex(arm_hash((None,))), hex(arm_hash(("",)))
    ('0xaf63bd4c8601b7df', '0xaf63bc4c8601b62c')
    """
    hashed = _BASIS
    for label in arm:
        for byte in b"\0" if label is None else b"\1" + label.encode():
            hashed = (hashed ^ byte) * _PRIME & _MASK
    return hashed
