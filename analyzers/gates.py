"""Validity gates: is what was recorded fit to be judged at all? Failing one is INVALID, never a pass
(CONTRACT "Verdict").

Clocks: the arms' mean delay from event to log must agree, since windows compare them at one time. Labels: rows whose
version is not their arm's, more than 1 % of an arm. Units: rows without `unit_id` where the spec randomises by unit
(falling back to independent requests would be dishonest, STATISTICS section 2). Quality: late rows, identical rows,
quarantined rows. All are counted per arm, since one arm's trouble alone already biases the comparison.

Counts are exact, so a share needs only as many rows that one odd row is no pattern: `ROWS_MIN`. Identical
rows are seen through the sample of rows whose hash is 0 mod 64; a row and its copies are in it together or
not at all, so the independent draws are distinct rows. With 20 % identical rows a quarter of the distinct
rows has a copy; asking for 50 distinct rows in the sample, 10 of them copied, keeps the chance that a true
share of 5 % fires the gate below 1e-3 (binomial tail, 50 draws at 1/19), and no single row that a stuck
producer repeats can fire it.
"""

from __future__ import annotations

from analyzers.arm import ArmWindow, PairWindow
from analyzers.kernels import value_loops
from schemas.frozen import frozen

MISLABELLED_MAX = 0.01
UNITLESS_MAX = 0.01
LATE_MAX = 0.20
IDENTICAL_MAX = 0.20
QUARANTINED_MAX = 0.05
SKEW_MAX_US = 2_000_000
"""Difference of the arms' mean delay between event time and log time: less than half a window."""
ODD_ROWS_MIN = 5
"""Rows that must be wrong before a share of them counts."""
ROWS_MIN = 100
"""Rows of an arm before the shares of late, quarantined and unit-less rows count."""
SAMPLED_MIN = 50
COPIED_MIN = 10


@frozen()
class ArmQuality:
    """Sums over one arm's windows; of the rows in the hash sample (`sampled`) how many are `distinct`,
    and how many of these were `copied`.
    """

    rows: int = 0
    mislabelled: int = 0
    with_unit: int = 0
    late: int = 0
    quarantined: int = 0
    sampled: int = 0
    distinct: int = 0
    copied: int = 0
    lag_us: int = 0

    def add(self, arm: ArmWindow, mislabelled: int) -> ArmQuality:
        """One window more."""
        copies = arm.row_sample.counts
        sampled, copied = value_loops().copies(copies)
        return ArmQuality(
            self.rows + arm.rows, self.mislabelled + mislabelled, self.with_unit + arm.with_unit,
            self.late + arm.late, self.quarantined + arm.quarantined,
            self.sampled + sampled, self.distinct + len(copies), self.copied + copied, self.lag_us + arm.lag_us,
        )  # fmt: skip

    def fault(self, name: str, units: bool, randomization: str) -> str | None:
        """The sentence about the first gate that this arm fails, or None; `name` is the arm's."""
        labelled = self.rows + self.mislabelled
        if self.mislabelled >= ODD_ROWS_MIN and self.mislabelled > MISLABELLED_MAX * labelled:
            return (
                f"{_share(self.mislabelled, labelled)} of the requests of {name} carry another version than "
                f"the spec gives it ({self.mislabelled} of {labelled}; 1 % is allowed): check that only that "
                f"version serves {name}"
            )
        seen = self.rows + self.late + self.quarantined
        if seen < ROWS_MIN:
            return None
        unitless = self.rows - self.with_unit
        if units and unitless > UNITLESS_MAX * self.rows:
            return (
                f"{_share(unitless, self.rows)} of the requests of {name} carry no unit_id ({unitless} of "
                f"{self.rows}), but the spec randomises by {randomization}: send unit_id, or say "
                "randomization: request if that is true"
            )
        if self.late > LATE_MAX * seen:
            return (
                f"{_share(self.late, seen)} of the rows of {name} came too late to be counted "
                f"({self.late} of {seen}; 20 % is allowed): look at producer lag and clocks"
            )
        if self.quarantined > QUARANTINED_MAX * seen:
            return (
                f"{_share(self.quarantined, seen)} of the rows of {name} hold unusable values "
                f"({self.quarantined} of {seen}; 5 % is allowed): see the dead letters for what is wrong"
            )
        identical = self.sampled - self.distinct
        if self.distinct >= SAMPLED_MIN and self.copied >= COPIED_MIN and identical > IDENTICAL_MAX * self.sampled:
            return (
                f"about {_share(identical, self.sampled)} of the rows of {name} are copies of others "
                f"({identical} of {self.sampled} in the sample; 20 % is allowed): some producer sends events "
                "more than once"
            )
        return None


@frozen()
class Gates:
    """Both arms' sums."""

    control: ArmQuality = ArmQuality()
    candidate: ArmQuality = ArmQuality()

    def add(self, pair: PairWindow) -> Gates:
        """One window more, steady or not."""
        return Gates(
            self.control.add(pair.control, pair.mislabelled_control),
            self.candidate.add(pair.candidate, pair.mislabelled_candidate),
        )

    def fault(self, control: str, candidate: str, randomization: str) -> str | None:
        """The sentence that makes the experiment INVALID, or None."""
        units = randomization != "request"
        return (
            self._skew(control, candidate)
            or self.candidate.fault(candidate, units, randomization)
            or self.control.fault(control, units, randomization)
        )

    def _skew(self, control: str, candidate: str) -> str | None:
        """Windows compare the two arms at the same time; that takes one time."""
        if min(self.control.rows, self.candidate.rows) < ROWS_MIN:
            return None
        lags = [arm.lag_us / arm.rows for arm in (self.control, self.candidate)]
        if abs(lags[1] - lags[0]) <= SKEW_MAX_US:
            return None
        return (
            f"events of {candidate} reach the log {lags[1] / 1e6:.3g} s after their own timestamp and those of {control} "
            f"{lags[0] / 1e6:.3g} s (on average; {SKEW_MAX_US / 1e6:g} s of difference are allowed): the clocks of the "
            "two arms, or their senders' delays, differ too much to compare them window by window"
        )


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.3g} %"
