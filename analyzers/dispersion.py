"""Design effects: how much louder clumped events are than independent ones (STATISTICS section 2).

Section 1 takes events for independent. Sticky users (one sufferer, many errors) and an arm's own bursts break
that: the e-value's log is then divided by phi = max(1, phi_unit, phi_control, phi_time), a quasi-likelihood,
recomputed from cumulative sums. It is approximate: checked by simulation, not a theorem.

Notation as in section 2: upper index j is one of B unit buckets, R the buckets' residuals around their own
arm's rate in a window, G the cumulated residuals of the difference, z the windows' standardised differences.
"""

from __future__ import annotations

import math
from dataclasses import field
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from analyzers.bursts import ALL, Bursts, Kept, believed, unsurprising
from analyzers.kernels import evidence_loops
from analyzers.scatter import Scatter
from schemas.delta import UNIT_BUCKETS
from schemas.frozen import frozen

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.float64] | npt.NDArray[np.int64]

EXPECTED_MIN = 1.0
"""Expected events of the smaller arm in a window before its plain z is used."""
_BESSEL = UNIT_BUCKETS / (UNIT_BUCKETS - 1)


def bucket_sums(buckets: npt.NDArray[np.int64], values: npt.NDArray[Any]) -> Floats:
    """Sum of the values (n,) in each unit bucket, float64 (128,); `buckets` int64 (n,)."""
    return np.bincount(buckets, values, UNIT_BUCKETS).astype(np.float64)


@frozen(eq=False)
class Buckets:
    """One arm's requests and events per unit bucket in one window, (128,) each."""

    requests: Rows
    events: Rows


@frozen(eq=False)
class Clumps:
    """Cumulative sums behind phi. Not a monoid: `scatter` depends on the order of windows.

    `matched_c`, `matched_b` are the Mantel-Haenszel sums ``sum Ec nb/n`` and ``sum Eb nc/n``: each window's
    events of one arm, weighted by the other arm's share, so that their ratio is an effect free of Simpson's
    paradox. `trusted_*` are the same without unconfirmed bursts: what later windows are measured against.
    """

    difference: Floats
    control: Floats
    variance: float
    control_events: float
    matched_c: float
    matched_b: float
    matched: float
    scatter: Scatter = field(default_factory=Scatter)
    bursts: Bursts = field(default_factory=Bursts)
    trusted_c: float = 0.0
    trusted_b: float = 0.0

    @classmethod
    def zero(cls) -> Self:
        """Before the first window."""
        return cls(np.zeros(UNIT_BUCKETS), np.zeros(UNIT_BUCKETS), 0.0, 0.0, 0.0, 0.0, 0.0)

    def add(
        self, nc: float, nb: float, ec: float, eb: float, r0: float = 1.0,
        units: tuple[Buckets, Buckets] | None = None, kept: Kept = ALL, borne_out: tuple[float, float] | None = None,
    ) -> Clumps:  # fmt: skip
        """One window more: requests and events of both arms, their unit buckets where known, what is believed of them, and
        those that do not hang on one instance, where known: by them scatter is told."""
        difference, control, variance, control_events = (
            self.difference,
            self.control,
            self.variance,
            self.control_events,
        )
        if units is not None:
            arm_c, arm_b = units
            difference, control, spread, events = evidence_loops().unit_residuals(
                difference, control, arm_c.requests, arm_c.events, arm_b.requests, arm_b.events, r0
            )
            variance += spread
            control_events += events
        scatter, bursts = self._time(nc, nb, ec, eb)
        if borne_out is not None and borne_out != (ec, eb):
            scatter, _ = self._time(nc, nb, *borne_out)
        n = nc + nb
        return Clumps(
            difference, control, variance, control_events,
            self.matched_c + ec * nb / n, self.matched_b + eb * nc / n, self.matched + nc * nb / n,
            scatter, bursts,
            self.trusted_c + ec * kept.candidate * nb / n, self.trusted_b + eb * kept.control * nc / n,
        )  # fmt: skip

    def expected(self, nc: float, nb: float) -> float:
        """The candidate's share of a window's events, by the effect of earlier windows."""
        exposed = (1 + self.trusted_c) / (1 + self.trusted_b) * nc
        return exposed / (exposed + nb)

    def believed(
        self, nc: float, nb: float, ec: float, eb: float, borne_out: tuple[float, float] | None = None
    ) -> Kept:  # fmt: skip
        """The parts of the candidate's and of control's events that count (`analyzers.bursts`)."""
        return believed(ec, eb, self.expected(nc, nb), nb, self.bursts, borne_out)

    def unsurprising(
        self, nc: float, nb: float, ec: float, eb: float, apart: tuple[bool, bool]
    ) -> tuple[float, float] | None:
        """Of both arms' events those that do not hang on one instance that stands `apart`, None where none does."""
        return unsurprising(ec, eb, self.expected(nc, nb), apart) if any(apart) else None

    def _time(self, nc: float, nb: float, ec: float, eb: float) -> tuple[Scatter, Bursts]:
        """With the window's z against the effect of earlier windows.

        With few events expected steps are those of Anscombe's variance-stabilised z (1948): the plain one is then so
        skewed that a single error looks like a burst, and phi would double just when harm shows.
        """
        events = ec + eb
        if events <= 0:
            return self.scatter, self.bursts.quiet(nb)
        pi = self.expected(nc, nb)
        z = (ec - events * pi) / math.sqrt(events * pi * (1 - pi))
        told = z
        if events * min(pi, 1 - pi) < EXPECTED_MIN:
            share = (ec + 0.375) / (events + 0.75)
            told = 2 * math.sqrt(events) * (math.asin(math.sqrt(share)) - math.asin(math.sqrt(pi)))
        return self.scatter.add(told), self.bursts.add(z, eb / nb, nb)

    def phi_unit(self) -> float:
        """Scatter of the buckets' differences against that of independent events."""
        return _BESSEL * float(self.difference @ self.difference) / self.variance if self.variance > 0 else 1.0

    def phi_control(self) -> float:
        """The same of control alone: a candidate without sufferers must not look good and precise."""
        return _BESSEL * float(self.control @ self.control) / self.control_events if self.control_events > 0 else 1.0

    def phi_time(self) -> float:
        """Scatter between neighbouring windows: an arm's own bursts."""
        return self.scatter.variance()

    def phi(self) -> float:
        """The design effect, at least 1."""
        return max(1.0, self.phi_unit(), self.phi_control(), self.phi_time())

    def phi_harm(self, phi: float | None = None) -> float:
        """The same for HARM, which asks for more certainty: bursts of two windows count, too. `phi` saves finding it again."""
        return max(self.phi() if phi is None else phi, self.scatter.variance_of_pairs())


@frozen(eq=False)
class ShareClumps:
    """Sums behind phi_share (section 4): how unevenly units, not requests, fall to the arms. A monoid."""

    offset: Floats
    candidate: Floats
    variance: float

    @classmethod
    def zero(cls) -> Self:
        """The identity."""
        return cls(np.zeros(UNIT_BUCKETS), np.zeros(UNIT_BUCKETS), 0.0)

    def __add__(self, other: ShareClumps) -> ShareClumps:
        return ShareClumps(self.offset + other.offset, self.candidate + other.candidate, self.variance + other.variance)

    def add(
        self, candidate: Rows, control: Rows, share: float, parts: tuple[float, float] = (1.0, 1.0)
    ) -> ShareClumps:  # fmt: skip
        """One window more: rows per unit bucket, (128,), the candidate's configured share, and how many requests a row of each
        arm stands for."""
        offset, held, n = evidence_loops().shares(self.offset, self.candidate, candidate, control, *parts, share)
        return ShareClumps(offset, held, self.variance + n * share * (1 - share))

    def phi(self) -> float:
        """phi_share = max(1, B/(B-1) sum_j (Z^j - mean Z)^2 / sum n rho (1-rho))."""
        if self.variance <= 0:
            return 1.0
        return max(1.0, _BESSEL * evidence_loops().squares(self.offset)[0] / self.variance)

    def effective_buckets(self) -> float:
        """(sum N)^2 / sum N^2 of the candidate's buckets; 0 before any request."""
        return evidence_loops().squares(self.candidate)[1]
