"""Values of requests in histograms, compiled (`analyzers.compiled`): moments, quantiles and edges between slow and fast. What
they compute stands where they are called from.
"""

from __future__ import annotations

import numpy as np

from analyzers.compiled import Array, making
from analyzers.histogram import BINS
from schemas.delta import QUARTERS, UNIT_BUCKETS

_SAFETY = 1


@making
def moments(keys: Array, counts: Array, midpoints: Array, cap: float) -> tuple[float, float, float]:
    """Number, mean and sum of squares about it of values that are no greater than `cap`."""
    n, total = 0.0, 0.0
    for i in range(len(keys)):
        n += counts[i]
        total += min(midpoints[keys[i]], cap) * counts[i]
    mean, squares = total / n, 0.0
    for i in range(len(keys)):
        squares += (min(midpoints[keys[i]], cap) - mean) ** 2 * counts[i]
    return n, mean, squares


@making
def quantiles(keys: Array, counts: Array, parts: Array) -> Array:
    """The keys at which ascending `parts` of all counts are reached, int64 (q,)."""
    out, total, seen, i = np.empty(len(parts), np.int64), counts.sum(), 0, -1
    for q in range(len(parts)):
        while i < 0 or (i < len(keys) - 1 and seen < parts[q] * total):
            i += 1
            seen += counts[i]
        out[q] = keys[i]
    return out


@making
def unit_rows(keys: Array, counts: Array) -> Array:
    """Rows per unit bucket, int64 (128,), of joint counts."""
    out = np.zeros(UNIT_BUCKETS, np.int64)
    for i in range(len(keys)):
        out[keys[i] // QUARTERS] += counts[i]
    return out


@making
def copies(counts: Array) -> tuple[int, int]:
    """Sum of the counts, and how many of them are above 1."""
    total, copied = 0, 0
    for count in counts:
        total += count
        copied += count > 1
    return total, copied


@making
def by_unit(keys: Array, counts: Array, midpoints: Array, cap: float) -> tuple[Array, Array]:
    """Number of values and their sum per unit bucket, float64 (128,) each, of joint counts."""
    rows, sums = np.zeros(UNIT_BUCKETS), np.zeros(UNIT_BUCKETS)
    for i in range(len(keys)):
        bucket = keys[i] // QUARTERS
        rows[bucket] += counts[i]
        sums[bucket] += counts[i] * min(midpoints[keys[i] % QUARTERS], cap)
    return rows, sums


@making
def slow_by_unit(keys: Array, counts: Array, quarter: int) -> tuple[Array, Array]:
    """Number of values, and of those from a quarter octave on, per unit bucket, float64 (128,) each, of joint counts."""
    rows, slow = np.zeros(UNIT_BUCKETS), np.zeros(UNIT_BUCKETS)
    for i in range(len(keys)):
        bucket = keys[i] // QUARTERS
        rows[bucket] += counts[i]
        if keys[i] % QUARTERS >= quarter:
            slow[bucket] += counts[i]
    return rows, slow


@making
def pooled_quantile(keys_a: Array, counts_a: Array, keys_b: Array, counts_b: Array, q: float) -> int:
    """The key at which both counts together reach the part `q`; keys ascend."""
    target, seen, a, b = q * (counts_a.sum() + counts_b.sum()), 0.0, 0, 0
    while True:
        if b == len(keys_b) or (a < len(keys_a) and keys_a[a] <= keys_b[b]):
            key, seen, a = keys_a[a], seen + counts_a[a], a + 1
        else:
            key, seen, b = keys_b[b], seen + counts_b[b], b + 1
        if seen >= target or (a == len(keys_a) and b == len(keys_b)):
            return key


@making
def merged(keys_a: Array, counts_a: Array, keys_b: Array, counts_b: Array) -> tuple[Array, Array]:
    """Two lists of counts of ascending keys as one."""
    keys, counts = np.empty(len(keys_a) + len(keys_b), np.int64), np.concatenate((counts_a, counts_b))
    n, a, b = 0, 0, 0
    while a < len(keys_a) or b < len(keys_b):
        if b == len(keys_b) or (a < len(keys_a) and keys_a[a] < keys_b[b]):
            keys[n], counts[n], a = keys_a[a], counts_a[a], a + 1
        elif a == len(keys_a) or keys_b[b] < keys_a[a]:
            keys[n], counts[n], b = keys_b[b], counts_b[b], b + 1
        else:
            keys[n], counts[n], a, b = keys_a[a], counts_a[a] + counts_b[b], a + 1, b + 1
        n += 1
    return keys[:n].copy(), counts[:n].copy()


@making
def first_seen(seen: Array, keys: Array, below: int, most: int) -> tuple[Array, float, int]:
    """Both ascending lists as one, of what is less than `below`; how many of `keys` are new; and what all are below, which is
    less where only the `most` least are kept."""
    out = np.empty(len(seen) + len(keys), np.int64)
    n, new, a, b = 0, 0.0, 0, 0
    while True:
        one = seen[a] if a < len(seen) else below
        other = keys[b] if b < len(keys) else below
        least = min(one, other)
        if least >= below:
            break
        a += one == least
        b += other == least
        new += one != least
        out[n] = least
        n += 1
    return (out[:most].copy(), new, out[most]) if n > most else (out[:n].copy(), new, below)


@making
def _tail(keys: Array, counts: Array) -> Array:
    """Requests in bin x or above, float64 (BINS + 1,)."""
    out, seen, above = np.zeros(BINS + 1), 0.0, BINS
    for i in range(len(keys) - 1, -1, -1):
        out[keys[i] + 1 : above + 1] = seen
        seen, above = seen + counts[i], keys[i]
    out[: above + 1] = seen
    return out


@making
def edges(
    keys_c: Array, counts_c: Array, keys_b: Array, counts_b: Array, table: Array, target: float
) -> tuple[Array, Array, Array, Array, float]:
    """Per margin the lowest edge with at most `target` pooled requests at or above it, as control's and candidate's bin, int64
    (m,); the candidate's and control's requests from there on, float64 (m,); and control's from the candidate's bin for SAFETY
    on. `table` int64 (m, BINS + 1): per margin and control bin x the candidate's first bin that counts as beyond x."""
    tail_c, tail_b, m = _tail(keys_c, counts_c), _tail(keys_b, counts_b), len(table)
    edge_b, edge_c, slow_c, slow_b = np.empty(m, np.int64), np.empty(m, np.int64), np.empty(m), np.empty(m)
    for i in range(m):
        above, within = -1, BINS  # the last bin of all holds nothing
        while within - above > 1:
            middle = (within + above) // 2
            if tail_c[table[i, middle]] + tail_b[middle] <= target:
                within = middle
            else:
                above = middle
        edge_b[i], edge_c[i] = within, table[i, within]
        slow_b[i], slow_c[i] = tail_b[within], tail_c[table[i, within]]
    return edge_b, edge_c, slow_c, slow_b, tail_b[edge_c[_SAFETY]]


@making
def weighted(base: int, weights: Array, keys: Array, counts: Array, factor: float, step: int) -> tuple[int, Array]:
    """Weights of the bins from `base` on, with every count times `factor` added; both ends are whole multiples of `step`."""
    low, high = keys[0] // step * step, (keys[-1] // step + 1) * step
    if len(weights):
        low, high = min(low, base), max(high, base + len(weights))
    out = np.zeros(high - low)
    for i in range(len(weights)):
        out[base - low + i] = weights[i]
    for i in range(len(keys)):
        out[keys[i] - low] += counts[i] * factor
    return low, out


@making
def weighted_quantile(weights: Array, p: float) -> int:
    """The first place at which the weights reach the part `p` of their sum."""
    total = 0.0
    for i in range(len(weights)):
        total += weights[i]
    target, seen = p * total, 0.0
    for i in range(len(weights)):
        seen += weights[i]
        if seen >= target:
            return i
    return len(weights) - 1
