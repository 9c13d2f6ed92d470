"""Sums of evidence, compiled (`analyzers.compiled`): a judge asks for them thousands of times a second, of arrays so small
that numpy's cost per call is most of what they take. What they compute stands where they are called from.
"""

from __future__ import annotations

import math

import numpy as np

from analyzers.compiled import Array, compiled, making

SIDE = 8
"""Bets of one side."""


@making
def control_factors(nc: float, nb: float, r0: Array, bets: Array) -> Array:
    """ln b, float64 (m, 16), at each relative margin `r0` float64 (m,)."""
    out = np.empty((len(r0), len(bets)))
    for i in range(len(r0)):
        exposed = r0[i] * nc
        for k in range(len(bets)):
            out[i, k] = math.log((exposed + nb) / (bets[k] * exposed + nb))
    return out


@making
def tilts(nc: float, nb: float, r0: float, bets: Array) -> Array:
    """-dl/dd, float64 (16,), at one relative margin."""
    out = np.empty(len(bets))
    for k in range(len(bets)):
        out[k] = nc * (bets[k] * (r0 * nc + nb) / (bets[k] * r0 * nc + nb) - 1)
    return out


@making
def begun(steps: Array, offsets_us: Array, step: int, since_us: int) -> Array:
    """Which start points lie at or before a window, bool (s,)."""
    out = np.empty(len(steps) + len(offsets_us), np.bool_)
    for i in range(len(steps)):
        out[i] = steps[i] <= step
    for i in range(len(offsets_us)):
        out[len(steps) + i] = offsets_us[i] <= since_us
    return out


@making
def add_betted(
    sums: Array, later: Array, begun: Array, started: Array, ec: Array, eb: Array, log_b: Array, log_bets: Array,
    kept_c: float, kept_b: float, first: int, d: float, tilt: Array,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """`sums` with one window's ``ec ln a + eb ln b - d nc (a - 1)``, where `ec`, `eb` and the rows of `log_b` are m each or 1;
    `later` with that of the first row's side from bet `first` on, where it has `begun` or just `started`; and where it has."""
    sums, later, begun = sums.copy(), later.copy(), begun | started
    for i in range(len(sums)):
        c, b, row = ec[i % len(ec)], eb[i % len(eb)], i % len(log_b)
        for k in range(len(log_bets)):
            if k < SIDE:
                value = c * kept_c * log_bets[k] + (c * kept_c + b) * log_b[row, k]
            else:
                value = c * log_bets[k] + (c + b * kept_b) * log_b[row, k]
            value -= d * tilt[k]
            sums[i, k] += value
            if i == 0 and first <= k < first + SIDE:
                for s in range(len(later)):
                    if begun[s]:
                        later[s, k - first] += value
    return sums, later, begun


@making
def add(
    sums: Array, tilt: Array, later: Array, begun: Array, started: Array, nc: float, nb: float, ec: Array, eb: Array,
    r0: Array, d: float, kept_c: float, kept_b: float, bets: Array, log_bets: Array,
) -> tuple[Array, Array, Array, Array]:  # fmt: skip
    """The same, and `tilt`, with bets above the limit as HARM, at each relative margin `r0` float64 (m,)."""
    moved = tilts(nc, nb, r0[0], bets)
    sums, later, begun = add_betted(
        sums, later, begun, started, ec, eb, control_factors(nc, nb, r0, bets), log_bets, kept_c, kept_b, 0, d, moved
    )
    return sums, tilt + moved, later, begun


@compiled
def most_beside(other: float, pi: float, z: float) -> float:
    """See `analyzers.bursts`."""
    q = 1 - pi
    root = (z * math.sqrt(pi * q) + math.sqrt(z * z * pi * q + 4 * q * other)) / (2 * q)
    skew = (z * z - 1) * (1 - 2 * pi) / 6
    return max(1.0, root * root - other + max(0.0, min(skew, 1.0)))


@compiled
def believed(
    ec: float, eb: float, pi: float, above: float, below: float, most: float, always: float, sds: float
) -> tuple[float, float]:
    """Events of the candidate and of control that count (`analyzers.bursts`)."""
    borne = max(ec - sds * math.sqrt(ec), 0.0) * (1 - pi) / pi  # a burst common to both is no burst of control's
    return max(always, most_beside(eb, pi, above)), min(most_beside(ec, 1 - pi, below), max(most, borne))


@compiled
def log_mean(sums: Array, row: int, first: int, phi: float, log_weights: Array, tilt: Array, shift: float) -> float:
    """ln of the mean e-value of one side's bets: sums less `shift` times their tilt, over phi, weighted."""
    top = -math.inf
    for k in range(SIDE):
        top = max(top, (sums[row, first + k] - shift * tilt[first + k]) / phi + log_weights[k])
    total = 0.0
    for k in range(SIDE):
        total += math.exp((sums[row, first + k] - shift * tilt[first + k]) / phi + log_weights[k] - top)
    return math.log(total / SIDE) + top


@compiled
def _both(a: float, b: float) -> float:
    top = max(a, b)
    return math.log((math.exp(a - top) + math.exp(b - top)) / 2) + top


@compiled
def log_harm(
    sums: Array,
    later: Array,
    first: int,
    phi: float,
    log_weights: Array,
    none: Array,
    log_from_start: float,
    log_later: float,
) -> float:
    """ln of the weighted mean e-value over all start points; `none` float64 (16,) is 0."""
    start = log_mean(sums, 0, first, phi, log_weights, none, 0.0)
    if len(later) == 0:
        return start
    top, total = -math.inf, 0.0
    for s in range(len(later)):
        value = log_mean(later, s, 0, phi, log_weights, none, 0.0)
        if value > top:
            total = total * math.exp(top - value) + 1.0
            top = value
        else:
            total += math.exp(value - top)
    return _both(start + log_from_start, math.log(total / len(later)) + top + log_later)


@compiled
def _crossing(
    margins: Array, sums: Array, first: int, phi: float, even: Array, tilt: Array, d: float, limit: float
) -> float:
    """Where ln e of one side, which falls along the margins for HARM and backwards for SAFETY, passes the limit: NaN where the
    first margin stands already, the last one where none does."""
    n, rejected = len(margins), -1
    standing = n
    while standing - rejected > 1:
        middle = (standing + rejected) // 2
        i = middle if first == 0 else n - 1 - middle
        if log_mean(sums, min(i, len(sums) - 1), first, phi, even, tilt, margins[i] - d) < limit:
            standing = middle
        else:
            rejected = middle
    if standing == 0:
        return math.nan
    if standing == n:
        return margins[n - 1] if first == 0 else margins[0]
    i, j = (standing, standing - 1) if first == 0 else (n - 1 - standing, n - standing)
    inside = math.sqrt(max(log_mean(sums, min(i, len(sums) - 1), first, phi, even, tilt, margins[i] - d), 0.0))
    outside = math.sqrt(log_mean(sums, min(j, len(sums) - 1), first, phi, even, tilt, margins[j] - d))
    part = (outside - math.sqrt(limit)) / (outside - inside)
    return margins[j] + part * (margins[i] - margins[j])


@compiled
def bounds(
    margins: Array, sums: Array, tilt: Array, d: float, phi: float, even: Array, limit: float
) -> tuple[float, float]:
    """Ends of the margins that neither side rejects, NaN where an end is open: `sums` float64 (m, 16), a row for each margin,
    or (1, 16) and the `tilt` that leads from margin `d` to the others."""
    return (
        _crossing(margins, sums, 0, phi, even, tilt, d, limit),
        _crossing(margins, sums, SIDE, phi, even, tilt, d, limit),
    )


@making
def shares(
    offset: Array, candidate: Array, rows_c: Array, rows_b: Array, part_c: float, part_b: float, share: float
) -> tuple[Array, Array, float]:
    """`offset` and `candidate` (128,) with one window's requests per unit bucket, `part_*` of a row each; their number."""
    offset, candidate, n = offset.copy(), candidate.copy(), 0.0
    for j in range(len(offset)):
        c, b = rows_c[j] * part_c, rows_b[j] * part_b
        offset[j] += c * (1 - share) - b * share
        candidate[j] += c
        n += c + b
    return offset, candidate, n


@making
def clustered(offset: Array, rows: Array, candidate: Array, control: Array) -> tuple[Array, Array, float]:
    """Sums of R^j and N^j (128,) with one window's requests per unit bucket; what it adds to the variance of R^j's sum."""
    nc, nb = candidate.sum(), control.sum()
    if not (nc and nb):
        return offset, rows, 0.0
    share, offset, rows = nc / (nc + nb), offset.copy(), rows.copy()
    for j in range(len(offset)):
        both = candidate[j] + control[j]
        offset[j] += candidate[j] - both * share
        rows[j] += both
    return offset, rows, nc * (1 - share)


@compiled
def squares(values: Array) -> tuple[float, float]:
    """Sum of squared distances from the mean, and the number of values that, all equal, would have the same sum and sum of
    squares (0 of zeros)."""
    total, square, apart = 0.0, 0.0, 0.0
    for value in values:
        total += value
        square += value * value
    for value in values:
        apart += (value - total / len(values)) ** 2
    return apart, total * total / square if square > 0 else 0.0


@making
def mean_residuals(
    difference: Array, control: Array, buckets: Array, counts_c: Array, sums_c: Array, counts_b: Array, sums_b: Array,
    h: float, ratio: float, scale: float,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """The cumulated residuals of the difference and of control, and the candidate's values, (128,) each, with one window
    more: residuals are (X^j - m N^j) / (n scale) per unit bucket, with the mean of what is in the buckets."""
    n_c, n_b = counts_c.sum(), counts_b.sum()
    mean_c, mean_b = (sums_c.sum() / n_c if n_c else 0.0), (sums_b.sum() / n_b if n_b else 0.0)
    difference, control = difference.copy(), control.copy()
    for j in range(len(difference)):
        own = h * ratio * (sums_b[j] - mean_b * counts_b[j]) / (n_b * scale) if n_b else 0.0
        other = h * (sums_c[j] - mean_c * counts_c[j]) / (n_c * scale) if n_c else 0.0
        difference[j] += other - own
        control[j] += own
    return difference, control, buckets + counts_c


@making
def unit_residuals(
    difference: Array, control: Array, requests_c: Array, events_c: Array, requests_b: Array, events_b: Array, r0: float
) -> tuple[Array, Array, float, float]:
    """The cumulated residuals (128,) with one window more; what it adds to their variance, and control's events."""
    uc, ub, sc, sb = requests_c.sum(), requests_b.sum(), events_c.sum(), events_b.sum()
    difference, control = difference.copy(), control.copy()
    if uc <= 0 or ub <= 0:
        return difference, control, 0.0, 0.0
    g, q = ub / (r0 * uc + ub), r0 * uc / ub
    rate_c, rate_b = sc / uc, sb / ub
    for j in range(len(difference)):
        residual = events_b[j] - requests_b[j] * rate_b
        difference[j] += g * (events_c[j] - requests_c[j] * rate_c - q * residual)
        control[j] += residual
    return difference, control, g * g * (sc + q * q * sb), sb
