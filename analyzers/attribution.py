"""Who carries a change of a level: contributions of the values of one dimension, which add up to the change.

The level is R = sum(part) / sum(whole) over the values i of a dimension. With R before and R' after,

    R' - R = sum_i [(part'_i - R whole'_i) / whole' - (part_i - R whole_i) / whole],

so each value has a contribution of its own: traffic that moves to a value that was worse already counts for both ends of the
move, and a value as good as all were before contributes nothing. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

from analyzers.digits import six
from schemas.change import Carrier
from schemas.frozen import frozen

CARRIERS_MAX = 5
"""Values of one dimension that are named, the largest shares first."""
LEAST_SHARE = 0.05
"""Of the change; who carries less is not named."""


@frozen()
class Ratio:
    """Sums over rows: of what is measured, and of what it is measured by (rows; for traffic the seconds)."""

    part: float = 0.0
    whole: float = 0.0

    def __add__(self, other: Ratio) -> Ratio:
        return Ratio(self.part + other.part, self.whole + other.whole)

    def __sub__(self, other: Ratio) -> Ratio:
        return Ratio(self.part - other.part, self.whole - other.whole)

    @property
    def level(self) -> float | None:
        """None where nothing was measured."""
        return self.part / self.whole if self.whole else None


NOTHING = Ratio()


def carriers(
    dimension: str,
    before: Mapping[str | None, Ratio],
    after: Mapping[str | None, Ratio],
    rises: bool,
    shared: bool = False,
) -> tuple[Carrier, ...]:
    """Who carries the change, the largest share first; nobody where the level did not go the way that is asked about, or where
    there is but one value. `shared`: what it is measured by is the same for all values, so levels add up.

    >>> before = {"eu": Ratio(5, 1000), "us": Ratio(5, 1000)}
    >>> after = {"eu": Ratio(5, 1000), "us": Ratio(45, 1000)}
    >>> [(one.value, one.share, one.after) for one in carriers("segment", before, after, rises=True)]
    [('us', 1.0, 0.045)]
    """
    values = [*dict.fromkeys([*before, *after])]
    then, now = _sum(before, shared), _sum(after, shared)
    if then.level is None or now.level is None or len(values) < 2:
        return ()
    base, change = then.level, now.level - then.level
    if not change or (change > 0) != rises:
        return ()

    def share(value: str | None) -> float:
        old, new = before.get(value, NOTHING), after.get(value, NOTHING)
        if shared:
            return (new.part / now.whole - old.part / then.whole) / change
        return ((new.part - base * new.whole) / now.whole - (old.part - base * old.whole) / then.whole) / change

    found = [
        Carrier(
            dimension, value, six(share(value)),
            six(before.get(value, NOTHING).level), six(after.get(value, NOTHING).level),
        )
        for value in values
    ]  # fmt: skip
    largest = sorted(found, key=lambda one: (-one.share, one.value or ""))[:CARRIERS_MAX]
    return tuple(one for one in largest if one.share >= LEAST_SHARE)


def _sum(levels: Mapping[str | None, Ratio], shared: bool) -> Ratio:
    total = sum(levels.values(), NOTHING)
    return Ratio(total.part, max((each.whole for each in levels.values()), default=0.0)) if shared else total
