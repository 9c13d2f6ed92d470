"""How unlike its season a row is, and when its level changes: conformal ranks of residuals, and an e-detector over them.

1. Three forecasts compete: the level so far, the time of day, the time of week (each of the latter on its own slow level);
   the one speaks whose recent mean error, over many rows, says least: the error over 1 - its autocorrelation. A seasonal
   series is thus judged by its season as soon as that is known.
2. Its residual is whitened by the residual before (a first-order autoregression), so that drift and inertia are no news.
3. The whitened residual's rank among those before it (a histogram of residuals in units of their mean size, which forgets)
   becomes the e-values exp(k z - k^2 / 2), k = 1, 2, 3 and both signs, of the normal score z: their expectation is at most 1
   when ranks are uniform, whatever the noise is distributed like.
4. The Shiryaev-Roberts sum R <- (1 + R) e of each is an e-detector (Shin, Ramdas and Rinaldo, "E-detectors: a nonparametric
   framework for sequential change detection", 2024): where ranks are uniform, the mean of the six exceeds A on average no
   sooner than after A rows without a change.

The histogram begins as a normal one that weighs as much as `PRIOR` rows, so that few rows suffice to be surprised, and learns
with a delay, so that a change is not compared with itself. After a change all start again from the rows since; for
`BURN_IN` rows nothing is told.
"""

from __future__ import annotations

import math

from analyzers.kernels.extremes import DAY_BINS, DAY_S, LARGEST, WEEK_S, Cells, log1p

WEEK_BINS = 672

FORECASTS = 3
PRIOR = 50.0
BURN_IN = 30
HOLD = 12
"""Residuals enter the histogram that many rows late: a change must not be compared with itself."""
EQUAL_BINS = 3
"""Residuals that differ by no more count as equal: those of one integer differ as the level moves."""
BINS, SPAN = 256, 8.0
"""The histogram: so many bins over so many mean sizes of a residual to each side; its last bins have no end."""
LEAST = 0.25
"""What a rank counts itself for."""
RANKS = 1024
BETS = 6
LEVEL_RATE, SIZE_RATE, ERROR_RATE, WHITE_RATE, FORGET = 0.01, 0.01, 0.003, 0.005, 0.999
SEASON_RATE = 0.3
WHITEST = 0.98
CLIP = 4.0
"""What is learned of a residual is at most that many sizes of it."""
FRESH = 4
"""A level that starts again starts from so many rows."""

AGE, SEEN, SPEAKER, WEIGHT, WAITING, UNIT = range(6)
LEVELS = 6
ERRORS = LEVELS + FORECASTS
SIZES = ERRORS + FORECASTS
LAST = SIZES + FORECASTS
LAG = LAST + FORECASTS
POWER = LAG + FORECASTS
WHITE = POWER + FORECASTS
SPOKEN = WHITE + FORECASTS
SUMS = SPOKEN + FORECASTS
RECENT = SUMS + BETS
HELD_OFF = RECENT + FORECASTS * FRESH
HELD_WHITE = HELD_OFF + FORECASTS * (HOLD + 1)
HELD = HELD_WHITE + FORECASTS * HOLD
HISTOGRAM = HELD + HOLD
VISITS = HISTOGRAM + BINS
"""Of the day's and the week's present time: its place, the sum of its values, their number."""
DAY = VISITS + 6
WEEK = DAY + 2 * DAY_BINS
SIZE = WEEK + 2 * WEEK_BINS


def time_at(place: int, bins: int, period_s: float, second: float) -> int:
    """Where the time of the period is in the memory."""
    inside = second - int(second / period_s) * period_s
    if inside < 0.0:
        inside += period_s
    return place + 2 * min(bins - 1, int(inside / period_s * bins))


def learn_season(memory: Cells, visit: int, at: int, value: float, size: float) -> None:
    """One more value of the time `at`. It is learned when the time is over, all of its values at once, outliers for `CLIP`
    sizes: a change must not become the season while it lasts."""
    if memory[visit + 2] > 0.0 and int(memory[visit]) != at:
        over = int(memory[visit])
        mean = memory[visit + 1] / memory[visit + 2]
        seen = memory[over + 1]
        memory[over] += max(SEASON_RATE, 1.0 / (seen + 1.0)) * (mean - memory[over])
        memory[over + 1] = seen + 1.0
        memory[visit + 1] = memory[visit + 2] = 0.0
    memory[visit] = float(at)
    if memory[at + 1] > 1.0 and size > 0.0:
        value = max(memory[at] - CLIP * size, min(memory[at] + CLIP * size, value))
    memory[visit + 1] += value
    memory[visit + 2] += 1.0


def residual(memory: Cells, which: int, above: float, age: float) -> float:
    """By how much the forecast is wrong, whitened, in sizes; what the forecast learns from it, it learns `HOLD` rows later."""
    off = above - memory[LEVELS + which]
    white = off - memory[WHITE + which] * memory[LAST + which]
    memory[LAST + which] = off
    memory[LEVELS + which] += max(LEVEL_RATE, 1.0 / (age + 1.0)) * off
    seen = int(memory[SPOKEN + which])
    memory[SPOKEN + which] += 1.0
    memory[RECENT + which * FRESH + seen % FRESH] = above
    size = memory[SIZES + which]
    told = white / size if size > 0.0 else (0.0 if white == 0.0 else (1e9 if white > 0.0 else -1e9))
    whites = HELD_WHITE + which * HOLD + seen % HOLD
    offs = HELD_OFF + which * (HOLD + 1)
    held, memory[whites] = memory[whites], white
    before, now = memory[offs + (seen + 1) % (HOLD + 1)], memory[offs + (seen + 2) % (HOLD + 1)]
    memory[offs + seen % (HOLD + 1)] = off
    learn_residual(memory, which, held if seen > BURN_IN else white, before, now)
    return told


def learn_residual(memory: Cells, which: int, white: float, before: float, now: float) -> None:
    """Its mean size, recent error and first autocorrelation, from clipped values."""
    seen, size = memory[SPOKEN + which] - 1.0, memory[SIZES + which]
    limit = CLIP * size if seen > BURN_IN else LARGEST
    clipped = abs(max(-limit, min(limit, white)))
    memory[SIZES + which] += max(SIZE_RATE, 1.0 / (seen + 1.0)) * (clipped - size)
    memory[ERRORS + which] += max(ERROR_RATE, 1.0 / (seen + 1.0)) * (clipped - memory[ERRORS + which])
    limit = CLIP * math.sqrt(memory[POWER + which]) if seen > BURN_IN else LARGEST
    before, now = max(-limit, min(limit, before)), max(-limit, min(limit, now))
    memory[LAG + which] += WHITE_RATE * (before * now - memory[LAG + which])
    memory[POWER + which] += WHITE_RATE * (now * now - memory[POWER + which])
    if memory[POWER + which] > 0.0:
        memory[WHITE + which] = max(0.0, min(WHITEST, memory[LAG + which] / memory[POWER + which]))


def bin_at(told: float) -> int:
    """The histogram's bin of a residual in sizes."""
    if -SPAN < told < SPAN:
        return int((told / SPAN + 1.0) * 0.5 * BINS)
    return 0 if told < 0.0 else BINS - 1


def rank(memory: Cells, told: float, sign: int) -> int:
    """The share of residuals at least as far to that side, in `RANKS`: 0 is farther than all."""
    at = bin_at(told)
    share, own = 0.0, LEAST * memory[UNIT]
    if sign > 0:
        for i in range(max(0, at - EQUAL_BINS), BINS):
            share += memory[HISTOGRAM + i]
    else:
        for i in range(min(BINS, at + 1 + EQUAL_BINS)):
            share += memory[HISTOGRAM + i]
    return min(RANKS - 1, int((share + own) / (memory[WEIGHT] + own) * RANKS))


def note(memory: Cells, told: float) -> None:
    """One more residual for the histogram, which forgets; it gets there `HOLD` rows later."""
    place = HELD + int(memory[SEEN]) % HOLD
    told, memory[place] = memory[place], told
    memory[WAITING] += 1.0
    if memory[WAITING] <= HOLD:
        return
    memory[UNIT] /= FORGET  # what is new weighs more, instead of all that is old less
    memory[HISTOGRAM + bin_at(told)] += memory[UNIT]
    memory[WEIGHT] += memory[UNIT]
    if memory[UNIT] > 1e100:
        for i in range(BINS):
            memory[HISTOGRAM + i] /= memory[UNIT]
        memory[WEIGHT] /= memory[UNIT]
        memory[UNIT] = 1.0


def begin_again(memory: Cells) -> None:
    """Levels from the latest rows, no evidence."""
    memory[AGE] = memory[WAITING] = 0.0
    for which in range(FORECASTS):
        total = 0.0
        for i in range(FRESH):
            total += memory[RECENT + which * FRESH + i]
        memory[LEVELS + which] = total / FRESH
        memory[LAST + which] = 0.0
    for bet in range(BETS):
        memory[SUMS + bet] = 0.0


def bet_on(memory: Cells, table: Cells, up: int, down: int) -> float:
    """The mean of the e-detectors after one more residual of these ranks. `table`: e-value per bet size and rank."""
    total = 0.0
    for bet in range(BETS):
        size = bet // 2
        each = table[size * RANKS + (up if bet % 2 == 0 else down)]
        memory[SUMS + bet] = min(1e200, (1.0 + memory[SUMS + bet]) * each)
        total += memory[SUMS + bet]
    return total / BETS


def seasonal(
    memory: Cells, table: Cells, times_s: Cells, values: Cells, scores: Cells, changes: Cells, rows: int
) -> None:
    """Scores of further rows, and whether each tells a change (1.0). `table` ends with A, the average run length; NaN is a
    missing value. A score is -ln p of the rank to the side where it is rarer, in those of the rarest rank."""
    rarest = log1p(RANKS / 2 - 1.0)
    for row in range(rows):
        value = values[row]
        scores[row] = changes[row] = 0.0
        if math.isnan(value):
            continue
        value = max(-LARGEST, min(LARGEST, value))
        day = time_at(DAY, DAY_BINS, DAY_S, times_s[row])
        week = time_at(WEEK, WEEK_BINS, WEEK_S, times_s[row])
        age = memory[AGE]
        if memory[SEEN] == 0.0:
            memory[LEVELS] = value
        now = residual(memory, 0, value, age)
        speaker, told = 0, now
        usual = memory[ERRORS] / (1.0 - memory[WHITE])
        for which in range(1, FORECASTS):
            at = day if which == 1 else week
            known = memory[at + 1] > 0.0
            each = residual(memory, which, value - memory[at], age) if known else 0.0
            lasting = memory[ERRORS + which] / (1.0 - memory[WHITE + which])
            if known and memory[SPOKEN + which] > BURN_IN and lasting < usual:
                speaker, told, usual = which, each, lasting
        memory[SPEAKER] = float(speaker)
        learn_season(memory, VISITS, day, value, memory[SIZES + 1])
        learn_season(memory, VISITS + 3, week, value, memory[SIZES + 2])
        memory[SEEN] += 1.0
        memory[AGE] += 1.0
        up, down = rank(memory, told, 1), rank(memory, told, -1)
        if memory[SEEN] > BURN_IN:
            scores[row] = log1p(max(0.0, RANKS / (2.0 * (min(up, down) + 1)) - 1.0)) / rarest
        if memory[AGE] > BURN_IN and bet_on(memory, table, up, down) > table[BETS // 2 * RANKS]:
            changes[row] = 1.0
            begin_again(memory)
        note(memory, told)
