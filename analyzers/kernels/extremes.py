"""How far a series goes beyond everything it did before, in ten views of it.

A view (the value, its mean over some rows, how it spreads, how it differs from the same time of day) has a range: from the
least to the greatest it ever was, both drawn towards the present by `SHRINK` a row, so that what is long ago is forgotten.
A row that leaves the range by the excess e has ln(1 + GAIN e / range); the row's score is the sum over views. Of a burst only
rows above all of the burst so far keep theirs: the news, not the state.
"""

from __future__ import annotations

import math
from collections.abc import MutableSequence

Cells = MutableSequence[float]
RING = 32
DAY_BINS, WEEK_BINS = 96, 168
DAY_S, WEEK_S = 86_400.0, 604_800.0
VIEWS = 10
BURN_IN, BURST = 30, 30
SHRINK, GAIN = 1e-4, 20.0
SEASON_RATE, LEVEL_RATE, PAST_RATE = 0.2, 0.05, 0.02
LARGEST = 1e150
"""Greater values are taken as this: their squares would have no finite sum."""

ROWS, SINCE, TOP, LEVEL, PAST, FIRST = range(6)
RECENT = 6
LOW = RECENT + RING
HIGH = LOW + VIEWS
VIEW = HIGH + VIEWS
DAY = VIEW + VIEWS
WEEK = DAY + 2 * DAY_BINS
SIZE = WEEK + 2 * WEEK_BINS


def log1p(x: float) -> float:
    """ln(1 + x) for x >= 0, by halving and the series of the inverse hyperbolic tangent: about 1e-10 off.

    >>> abs(log1p(20.0) - math.log1p(20.0)) < 1e-9
    True
    """
    y, halvings = 1.0 + x, 0.0
    while y > 1.5:
        y *= 0.5
        halvings += 1.0
    z = (y - 1.0) / (y + 1.0)
    q = z * z
    series = 1.0 + q * (1 / 3 + q * (1 / 5 + q * (1 / 7 + q * (1 / 9 + q * (1 / 11 + q * (1 / 13 + q / 15))))))
    return halvings * 0.6931471805599453 + 2.0 * z * series


def mean(memory: Cells, count: int, rows: int) -> float:
    """Mean of the latest `rows` values, or of all there are."""
    n = min(count, rows)
    total = 0.0
    for back in range(n):
        total += memory[RECENT + (count - 1 - back) % RING]
    return total / n


def spread(memory: Cells, count: int, rows: int) -> float:
    """Their standard deviation."""
    n = min(count, rows)
    middle = mean(memory, count, rows)
    total = 0.0
    for back in range(n):
        off = memory[RECENT + (count - 1 - back) % RING] - middle
        total += off * off
    return math.sqrt(total / n)


def seasonal(memory: Cells, place: int, bins: int, period_s: float, second: float, value: float) -> float:
    """What the value differs by from its time of the period so far, which is then brought up to date."""
    inside = second - int(second / period_s) * period_s
    if inside < 0.0:
        inside += period_s
    at = place + 2 * min(bins - 1, int(inside / period_s * bins))
    seen = memory[at + 1]
    if seen == 0.0:
        memory[at] = value
        off = value - memory[LEVEL]
    else:
        off = value - memory[at]
        memory[at] += max(SEASON_RATE, 1.0 / (seen + 1.0)) * off
    memory[at + 1] = seen + 1.0
    return off


def look(memory: Cells, second: float, value: float) -> None:
    """All views of one more value, into the memory."""
    count = int(memory[ROWS]) + 1
    memory[ROWS] = float(count)
    if count == 1:
        memory[LEVEL] = memory[PAST] = memory[FIRST] = value
    before = memory[RECENT + (count - 31) % RING] if count > 30 else memory[FIRST]
    memory[RECENT + (count - 1) % RING] = value
    memory[VIEW] = value
    memory[VIEW + 1] = mean(memory, count, 5)
    memory[VIEW + 2] = mean(memory, count, 10)
    memory[VIEW + 3] = mean(memory, count, 30)
    memory[VIEW + 4] = spread(memory, count, 10)
    memory[VIEW + 5] = spread(memory, count, 30)
    memory[VIEW + 6] = seasonal(memory, DAY, DAY_BINS, DAY_S, second, value)
    memory[VIEW + 7] = seasonal(memory, WEEK, WEEK_BINS, WEEK_S, second, value)
    memory[VIEW + 8] = value - before
    memory[VIEW + 9] = 0.0
    if count > 10:
        memory[PAST] += PAST_RATE * (memory[RECENT + (count - 11) % RING] - memory[PAST])
        memory[VIEW + 9] = memory[VIEW + 2] - memory[PAST]
    memory[LEVEL] += LEVEL_RATE * (value - memory[LEVEL])


def beyond(memory: Cells) -> float:
    """The sum over views of how far they leave their ranges, which then contain them."""
    total = 0.0
    judged = memory[ROWS] > BURN_IN
    for i in range(VIEWS):
        view = memory[VIEW + i]
        if memory[ROWS] == 1.0:
            memory[LOW + i] = memory[HIGH + i] = view
            continue
        low, high = memory[LOW + i], memory[HIGH + i]
        excess = max(view - high, low - view)
        if judged and excess > 0.0:
            wide = high - low
            total += min(5.0, log1p(GAIN * min(1e9, excess / wide))) if wide > 0.0 else 5.0
        memory[LOW + i] = min(view, low + SHRINK * (view - low))
        memory[HIGH + i] = max(view, high - SHRINK * (high - view))
    return total


def extremes(memory: Cells, times_s: Cells, values: Cells, scores: Cells, rows: int) -> None:
    """Scores of further rows; NaN is a missing value, which has 0 and changes nothing."""
    for row in range(rows):
        value = values[row]
        scores[row] = 0.0
        if math.isnan(value):
            continue
        look(memory, times_s[row], max(-LARGEST, min(LARGEST, value)))
        found = beyond(memory)
        memory[SINCE] += 1.0
        if memory[SINCE] > BURST:
            memory[TOP] = 0.0
        if found > memory[TOP]:
            memory[TOP] = found
            memory[SINCE] = 0.0
            scores[row] = found
