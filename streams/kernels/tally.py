"""Rows of one block to counts per cell, in order of offset; all counts are integers.

A word is a distinct text of one label column; a cell's key is its words and its window; who gets a cell is decided in
`streams.kernels.admission`. Words and cells are found through open addressing with linear probing, at most half full. What
is counted by a further key (bins of a measure, unit buckets, hashes) is appended as ``cell and key`` in one number, to be
sorted when it is told. The arrays have bounded room: `count` stops before a row that might not fit, and goes on from there
once its caller has made more.
"""

from __future__ import annotations

import numpy as np

from analyzers.histogram import BIN_OF_MANTISSA, BINS, BINS_PER_OCTAVE, BINS_PER_QUARTER, EXPONENT_MIN
from schemas.delta import QUARTERS, ROW_SAMPLE, SAMPLE_RATE_ONE, UNIT_BUCKETS
from streams.kernels import FNV_BASIS, Array, compiled, fnv1a
from streams.kernels.admission import (
    AFFECTED,
    ANY,
    ARMS,
    CELLS,
    CHANGED,
    ERROR_KEYS,
    ERROR_WEIGHT,
    ERRORS,
    LAG,
    LATE,
    LATEST,
    NEW_WORD,
    NULL_WORD,
    PLACES,
    QUARANTINED,
    ROWS,
    SAMPLED,
    WEIGHT,
    WEIGHT_MAX,
    WEIGHT_MIN,
    WITH_UNIT,
    WORD_BYTES,
    WORDS,
    Knobs,
    Tallies,
    admit,
    find_cell,
    find_word,
    key_hash,
    word_hash,
)  # fmt: skip
from streams.kernels.label import printable

TIMESTAMP, STATUS, ERROR, DURATION, CPU, MEMORY = range(6)
UNIT_ID = 6
"""Places in `streams.rows.LONGS` and `TEXTS`."""
COUNTED, IS_LATE, FUTURE, RATE, MEASURE, DEAD, UNSEEN = 0, 1, 2, 3, 10, 100, 200
"""Fates of a row; `MEASURE` + m: that measure is unusable, `DEAD` + c: that label is too short or too long, `UNSEEN` + c: it
does not print."""
BIN_BITS, JOINT_BITS, BUCKET_BITS, HASH_BITS = 13, 16, 7, 32
VALUE_MAX = 1 << 46
"""Largest value of a measure in its resolution: sums of a block then fit 63 bits."""
SAMPLE_RATE_MIN = 1 / SAMPLE_RATE_ONE


@compiled
def _bin(bits: int) -> int:
    """`analyzers.histogram.bin_of` of the value with these bits."""
    octave = (bits >> np.int64(52)) - np.int64(1023 + EXPONENT_MIN)
    if octave < 0:
        return 0
    return min(1 + octave * BINS_PER_OCTAVE + BIN_OF_MANTISSA[(bits >> np.int64(42)) & np.int64(1023)], BINS - 1)


@compiled
def _weight(rate: float) -> int:
    """Fixed-point weight of a row with this sampling rate; 0 where it is none."""
    if rate == 1.0:
        return SAMPLE_RATE_ONE
    return np.int64(np.rint(SAMPLE_RATE_ONE / rate)) if SAMPLE_RATE_MIN <= rate <= 1.0 else 0  # pyright: ignore


@compiled
def _whole(value: float, resolution: float) -> int:
    """A measure in steps of its resolution; beyond `VALUE_MAX` where it is too large or no number."""
    scaled = np.rint(value / resolution)
    return np.int64(scaled) if abs(scaled) <= VALUE_MAX else VALUE_MAX + 1  # pyright: ignore


@compiled
def _sample_hash(time_us: int, unit: np.uint64, duration: int, status: int) -> np.uint64:
    """Of a row's content, so that a repeated row is sampled every time."""
    mixed = (np.uint64(time_us) * np.uint64(0x9E3779B97F4A7C15)) ^ unit
    mixed ^= np.uint64(duration) * np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= np.uint64(status)
    mixed ^= mixed >> np.uint64(31)
    mixed *= np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(29))


@compiled
def count(
    data: Array, start: Array, length: Array, longs: Array, present: Array, rate: Array, values: Array, has: Array,
    pick: Array, first: int, arrival: Array, live: bool, labels: Array, resolutions: Array, k: Knobs, t: Tallies, fate: Array,
    words: Array, hashes: Array,
) -> int:  # fmt: skip
    """Count the rows `pick` from the `first` of them on; how far it came.

    The columns are those of `streams.rows.Rows`. `arrival` int64 are Kafka's timestamps of the picked rows, which count only
    where `live`. `labels` are the label columns in order of the key.
    """
    # taken out of the tuple once: every access would count references, which costs more than the rows
    n, w_table, w_hash, w_start, w_length, w_bytes = t.n, t.w_table, t.w_hash, t.w_start, t.w_length, t.w_bytes
    c_table, cells, c_words, c_sums = t.c_table, t.cells, t.c_words, t.c_sums
    m_keys, histogram, joint = t.m_keys, t.histogram, t.joint
    error_buckets, affected, sampled = t.error_buckets, t.affected, t.sampled
    arms_room, places_room, columns, measures = len(t.a_hash), len(t.p_hash), len(labels), len(m_keys)
    for i in range(first, len(pick)):
        if n[CELLS] + 1 > len(cells) or n[ARMS] + 1 > arms_room or n[PLACES] + 1 > places_room:
            return i
        if n[WORDS] + columns > len(w_hash) or n[WORD_BYTES] + columns * k.label_bytes > len(w_bytes):
            return i
        row = pick[i]
        known, dead = True, False
        for c in range(columns):
            begin, size = start[labels[c], row], length[labels[c], row]
            if size < 0:
                words[c] = NULL_WORD
                continue
            hashes[c] = word_hash(data, begin, size, c)
            words[c] = find_word(w_table, w_hash, w_start, w_length, w_bytes, data, begin, size, hashes[c])
            if words[c] == NEW_WORD:
                known = False
                if size == 0 or size > k.label_bytes:
                    dead, fate[i] = True, DEAD + c
                    break
                if not printable(data, begin, size):
                    dead, fate[i] = True, UNSEEN + c
                    break
        if dead:
            continue
        time_us = longs[TIMESTAMP, row]
        arrival_us = arrival[i] if live else time_us
        w = _weight(rate[row])
        what = _fate(row, time_us, arrival_us, live, longs, present, w, values, has, resolutions, k)
        fate[i] = what
        counted = what == COUNTED
        window = (time_us if counted else arrival_us) // k.window_us
        cell = -1
        if known:
            cell = find_cell(c_table, cells, c_words, words, window, key_hash(words, window))
        if cell < 0:
            cell = admit(t, k, words, hashes, window, data, start, length, labels, row)
        held = cells[cell]
        held[CHANGED] = 1
        if not counted:
            held[LATE if what == IS_LATE else QUARANTINED] += 1
            continue
        if n[ANY] == 0 or time_us > n[LATEST]:
            n[LATEST], n[ANY] = time_us, 1
        failed = longs[ERROR, row] == 1 if present[ERROR, row] else longs[STATUS, row] >= 500
        unit_bytes = length[UNIT_ID, row]
        unit = fnv1a(data, start[UNIT_ID, row], unit_bytes) if unit_bytes >= 0 else FNV_BASIS
        bucket = np.int64(unit % np.uint64(UNIT_BUCKETS))
        held[ROWS] += 1
        held[WEIGHT] += w
        held[LAG] += arrival_us - time_us
        if held[WEIGHT_MAX] == 0 or w < held[WEIGHT_MIN]:
            held[WEIGHT_MIN] = w
        held[WEIGHT_MAX] = max(held[WEIGHT_MAX], w)
        if failed:
            held[ERRORS] += 1
            held[ERROR_WEIGHT] += w
        if unit_bytes >= 0:
            held[WITH_UNIT] += 1
            if failed:
                error_buckets[n[ERROR_KEYS]] = (np.uint64(cell) << np.uint64(BUCKET_BITS)) | np.uint64(bucket)
                n[ERROR_KEYS] += 1
                affected[n[AFFECTED]] = (np.uint64(cell) << np.uint64(HASH_BITS)) | (unit >> np.uint64(HASH_BITS))
                n[AFFECTED] += 1
        mixed = _sample_hash(time_us, unit, longs[DURATION, row], longs[STATUS, row])
        if mixed % np.uint64(ROW_SAMPLE) == np.uint64(0):
            sampled[n[SAMPLED]] = (np.uint64(cell) << np.uint64(HASH_BITS)) | (mixed >> np.uint64(HASH_BITS))
            n[SAMPLED] += 1
        for m in range(measures):
            if m < 3:
                if not present[DURATION + m, row]:
                    continue
                amount, bits = longs[DURATION + m, row], np.float64(longs[DURATION + m, row]).view(np.int64)
            else:
                if not has[m - 3, row]:
                    continue
                amount = _whole(values[m - 3, row], resolutions[m - 3])
                bits = np.float64(values[m - 3, row]).view(np.int64)
            c_sums[cell, m, 0] += 1
            c_sums[cell, m, 1] += amount
            place = _bin(bits)  # pyright: ignore[reportArgumentType]
            used = m_keys[m, 0]
            histogram[m, used] = np.uint32(cell << BIN_BITS) | np.uint32(place)
            m_keys[m, 0] += 1
            if unit_bytes >= 0:
                quarter = (place + BINS_PER_QUARTER - 1) // BINS_PER_QUARTER
                used = m_keys[m, 1]
                joint[m, used] = np.uint32(cell << JOINT_BITS) | np.uint32(bucket * QUARTERS + quarter)
                m_keys[m, 1] += 1
    return len(pick)


@compiled
def _fate(
    row: int, time_us: int, arrival_us: int, live: bool, longs: Array, present: Array, weight: int, values: Array, has: Array,
    resolutions: Array, k: Knobs,
) -> int:  # fmt: skip
    """Whether a row counts, by itself and its own Kafka timestamp alone."""
    for m in range(3):
        if present[DURATION + m, row] and not 0 <= longs[DURATION + m, row] <= VALUE_MAX:
            return MEASURE + m
    for m in range(len(resolutions)):
        if has[m, row] and not (values[m, row] >= 0 and _whole(values[m, row], resolutions[m]) <= VALUE_MAX):
            return MEASURE + 3 + m
    if weight == 0:
        return RATE
    if not live:
        return COUNTED
    if time_us > arrival_us + k.future_us:
        return FUTURE
    return IS_LATE if time_us < arrival_us - k.lateness_us else COUNTED


@compiled
def fates(
    data: Array, start: Array, length: Array, longs: Array, present: Array, rate: Array, values: Array, has: Array,
    arrival: Array, labels: Array, resolutions: Array, k: Knobs, fate: Array,
) -> None:  # fmt: skip
    """Of every row by itself what `count` says of it."""
    for row in range(len(rate)):
        fate[row] = _fate(
            row, longs[TIMESTAMP, row], arrival[row], True, longs, present, _weight(rate[row]), values, has, resolutions, k
        )  # fmt: skip
        for c in range(len(labels)):
            begin, size = start[labels[c], row], length[labels[c], row]
            if size == 0 or size > k.label_bytes:
                fate[row] = DEAD + c
                break
            if size > 0 and not printable(data, begin, size):
                fate[row] = UNSEEN + c
                break
