"""Scatter between windows: an arm's own bursts make neighbouring windows differ by more than chance (STATISTICS section 2).

Von Neumann's ratio (1941) of standardised differences z: the mean of (z_t - z_(t-1))^2 / 2 is their variance, whatever
their mean does slowly. Bursts of two windows hide from it, so the same is asked of pairs of windows, (z_1 + z_2) / sqrt 2,
which catch what neighbours have in common. Few windows know little: `PRIOR` steps of the variance that is expected
anyway are added, so that a burst tells from the second window on, and what chance alone explains is taken off.
"""

from __future__ import annotations

import math

from schemas.frozen import frozen

PRIOR = 10.0
"""Steps of the expected size that the first windows are mixed with."""
STEPS_ENOUGH = 10
"""Steps from which on the scatter is taken as it is."""


CHANCE = 1.0
"""Standard deviations, sqrt(3 / 2n) of n steps, by which the scatter may be above what is expected and mean nothing."""


@frozen()
class Scatter:
    """Sums of squared steps between `windows`, and between pairs of them; `half`: the first of a pair that is not whole.
    Not a monoid: order counts."""

    windows: int = 0
    last: float = 0.0
    squares: float = 0.0
    half: float = 0.0
    last_pair: float = 0.0
    pair_squares: float = 0.0

    def add(self, z: float) -> Scatter:
        """One window more."""
        squares = self.squares + ((z - self.last) ** 2 if self.windows else 0.0)
        if self.windows % 2 == 0:
            return Scatter(self.windows + 1, z, squares, z, self.last_pair, self.pair_squares)
        pair = (self.half + z) / math.sqrt(2)
        pairs = self.pair_squares + ((pair - self.last_pair) ** 2 if self.windows > 1 else 0.0)
        return Scatter(self.windows + 1, z, squares, 0.0, pair, pairs)

    def variance(self, expected: float = 1.0) -> float:
        """Of z by single windows, where `expected` is its variance without bursts."""
        return _mixed(self.squares, self.windows - 1, expected)

    def variance_of_pairs(self, expected: float = 1.0) -> float:
        """The same by pairs of windows."""
        return _mixed(self.pair_squares, self.windows // 2 - 1, expected)


def _mixed(squares: float, steps: int, expected: float) -> float:
    prior = 0.0 if steps >= STEPS_ENOUGH else PRIOR
    weight = max(steps, 0) + prior
    return (squares + 2 * prior * expected) / (2 * weight) - CHANCE * expected * math.sqrt(1.5 / weight)
