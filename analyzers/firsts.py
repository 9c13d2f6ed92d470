"""Evidence from units: of each affected one the first error in a step counts (STATISTICS section 5, "sharper").

One user with a broken account makes a hundred errors. `analyzers.dispersion` divides the evidence of all errors by how much
they clump; here each affected unit counts once, so that nothing clumps and a release that breaks many users is found sooner.
Under equal arms a unit's first error comes as soon in either, so that first errors per request are events of section 1, with
the margin of all errors: a tolerance allows no more further users than further errors. A release that only makes the same
users fail more often has no more first errors: therefore this is half of the evidence for HARM, never the only one, and says
nothing of SAFETY.

Cells know the `AFFECTED_MAX` least hashes of affected units of a window: where there are more, only units below a hash count,
a random part of all units, the same in both arms. `UNITS_MAX` bounds what is remembered in the same way.
"""

from __future__ import annotations

from dataclasses import field
from typing import Self

import numpy as np
import numpy.typing as npt

from analyzers.arm import ArmWindow, PairWindow
from analyzers.counts import Counts
from analyzers.dispersion import Clumps
from analyzers.kernels import value_loops
from schemas.delta import AFFECTED_MAX
from schemas.frozen import frozen

Ints = npt.NDArray[np.int64]

UNITS_MAX = 1024
"""Affected units of an arm that are remembered in a step."""
ALL = 1 << 62
"""Above every hash."""
_NONE: Ints = np.empty(0, np.int64)


@frozen(eq=False)
class Firsts:
    """`control`, `candidate`: hashes of units whose first error of `step` was seen, ascending int64 (n,), below `below`."""

    counts: Counts
    clumps: Clumps
    step: int = -1
    below: int = ALL
    control: Ints = field(default_factory=lambda: _NONE)
    candidate: Ints = field(default_factory=lambda: _NONE)

    @classmethod
    def zero(cls, starts: int) -> Self:
        """Before the first window, with that many later start points."""
        return cls(Counts.zero(1, starts), Clumps.zero())

    def add(
        self, pair: PairWindow, nc: float, nb: float, r0: float, d: float, started: npt.NDArray[np.bool_]
    ) -> Firsts:
        """One window more, of `nc` and `nb` requests, with the margin `r0`, `d`; weighted rows say nothing."""
        control, candidate = pair.control, pair.candidate
        if control.weight_min != control.weight_max or candidate.weight_min != candidate.weight_max:
            return self
        new = pair.step != self.step
        below = min(ALL if new else self.below, _complete(control), _complete(candidate))
        seen_b, eb, below_b = value_loops().first_seen(
            _NONE if new else self.control, control.affected.keys, below, UNITS_MAX
        )
        seen_c, ec, below_c = value_loops().first_seen(
            _NONE if new else self.candidate, candidate.affected.keys, below, UNITS_MAX
        )
        kept = self.clumps.believed(nc, nb, ec, eb)
        return Firsts(
            self.counts.add(nc, nb, ec, eb, started, r0, d, kept),
            self.clumps.add(nc, nb, ec, eb, r0, None, kept),
            pair.step, min(below_b, below_c), seen_b, seen_c,
        )  # fmt: skip

    def log_harm(self) -> float:
        """ln e of HARM."""
        return self.counts.log_harm(self.clumps.phi_harm())


def _complete(arm: ArmWindow) -> int:
    """The hash below which all affected units of a window are known."""
    keys = arm.affected.keys
    return ALL if len(keys) < AFFECTED_MAX else int(keys[AFFECTED_MAX - 1])
