"""Which keys of a block get a cell of their own: made-up labels cost a bounded number of cells and hide no arm that matters.

An *arm* is what carries an experiment's evidence: (experiment_id, service, environment, version, variant). A cell's key is
an arm, its dimensions and a window. Decided row by row in order of offset, by the rows before it in the block alone, so
that whoever reads the range decides the same:

1. An arm is admitted when it first comes, as long as its service has fewer than `arms_per_service` and the block fewer than
   `keys_per_block` cells. Whoever makes labels up uses up the slots of their own service only.
2. Later arms are counted in the service's `__other__`, until their `OFTEN`th row: from then on they have cells, too. So a
   flood that comes first hides at most `OFTEN - 1` rows of an arm in a block, whatever they hold.
3. An admitted arm has a cell in every window it comes in. Once the block holds `keys_per_block` cells, its dimensions are
   told together, as `__other__`: the sums over an arm, from which verdicts are made, stay what they are.

Within a cell rows only ever come, which is what the judge's row check rests on. A block has no more cells than rows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streams.kernels import FNV_BASIS, FNV_PRIME, Array, compiled
from streams.kernels.memory import few, same

ROWS, ERRORS, LATE, QUARANTINED, WITH_UNIT, WEIGHT, ERROR_WEIGHT, LAG = range(8)
WEIGHT_MIN, WEIGHT_MAX, CHANGED, WINDOW, HASH = range(8, 13)
CELL_COLUMNS = 16
"""Numbers of a cell, 128 bytes: what a row touches lies together, since with many cells fetching it from memory is what a
row costs. `HASH` has the bits of its key's."""
CELLS, ARMS, PLACES, WORDS, WORD_BYTES, LATEST, ANY, ERROR_KEYS, AFFECTED, SAMPLED = range(10)
NULL_WORD, NEW_WORD = -1, -2
"""No label, and one that was not kept. Word c is `__other__` in label column c."""
ARM_LABELS = 5
SERVICE, ENVIRONMENT, VERSION = 1, 2, 3
OFTEN = 16
"""Rows in a block with which an arm that came late is admitted all the same."""
MIX = np.uint64(0x9FB21C651E98DF25)
"""An odd number whose products are well mixed (XXH3's)."""
COUNTERS = 1 << 16
"""Places of each of two rows of counters (a count-min sketch): 128 KiB a block, whatever comes."""


class Knobs(NamedTuple):
    """What the layout says, times in microseconds."""

    window_us: int
    lateness_us: int
    future_us: int
    keys_max: int
    arms_max: int
    label_bytes: int


class Tallies(NamedTuple):
    """Everything counted so far. w_*: words; c_*: cells (`cells` int64 (n, CELL_COLUMNS), `c_sums` int64 (n, measures, 2):
    rows and total); a_*: admitted arms; p_*: places (service and environment) with arms; the rest by cell, or keys to be
    sorted. `n` int64 holds how many there are of each, and the latest event time."""

    n: Array
    w_table: Array
    w_hash: Array
    w_start: Array
    w_length: Array
    w_bytes: Array
    c_table: Array
    cells: Array
    c_words: Array
    c_sums: Array
    m_keys: Array
    histogram: Array
    joint: Array
    a_table: Array
    a_hash: Array
    a_words: Array
    p_table: Array
    p_hash: Array
    p_words: Array
    p_arms: Array
    often: Array
    error_buckets: Array
    affected: Array
    sampled: Array


@compiled
def word_hash(data: Array, start: int, length: int, label: int) -> np.uint64:
    """Of a text in a label column: the same text in another is another word."""
    value, done = FNV_BASIS ^ np.uint64(label + 1), 0
    while done < length:
        size = min(8, length - done)
        value = (value ^ few(data, start + done, size)) * MIX
        value ^= value >> np.uint64(32)
        done += size
    return (value ^ np.uint64(length)) * MIX


@compiled
def find_word(
    table: Array, hashes: Array, starts: Array, lengths: Array, words: Array, data: Array, start: int, length: int,
    value: np.uint64,
) -> int:  # fmt: skip
    """The word of a text with this hash, or NEW_WORD."""
    mask = np.uint64(len(table) - 1)
    slot = (value ^ (value >> np.uint64(32))) & mask
    while True:
        word = table[slot]
        if word < 0:
            return NEW_WORD
        if hashes[word] == value and lengths[word] == length and same(words, starts[word], data, start, length):
            return word
        slot = (slot + np.uint64(1)) & mask


@compiled
def place_in(table: Array, value: np.uint64, number: int) -> None:
    """Enter a number that is not yet in the table."""
    mask = np.uint64(len(table) - 1)
    slot = (value ^ (value >> np.uint64(32))) & mask
    while table[slot] >= 0:
        slot = (slot + np.uint64(1)) & mask
    table[slot] = number


@compiled
def fill_table(table: Array, hashes: Array, n: int) -> None:
    """Enter the numbers below n into an empty table."""
    for number in range(n):
        place_in(table, hashes[number], number)


@compiled
def add_word(t: Tallies, data: Array, start: int, length: int, value: np.uint64) -> int:
    """Keep a new text; its number."""
    word, begin = t.n[WORDS], t.n[WORD_BYTES]
    for i in range(length):
        t.w_bytes[begin + i] = data[start + i]
    t.w_hash[word], t.w_start[word], t.w_length[word] = value, begin, length
    t.n[WORDS] += 1
    t.n[WORD_BYTES] += length
    place_in(t.w_table, value, word)
    return word


@compiled
def _equal(rows: Array, number: int, words: Array) -> bool:
    """Whether the row of that number holds these words."""
    i = 0
    while i < len(words) and rows[number, i] == words[i]:
        i += 1
    return i == len(words)


@compiled
def _put(rows: Array, number: int, words: Array) -> None:
    for i in range(len(words)):
        rows[number, i] = words[i]


@compiled
def find_cell(table: Array, cells: Array, cell_words: Array, words: Array, window: int, value: np.uint64) -> int:
    """The cell of a key with this hash, or -1."""
    mask = np.uint64(len(table) - 1)
    slot = (value ^ (value >> np.uint64(32))) & mask
    while True:
        cell = table[slot]
        if cell < 0:
            return -1
        held = cells[cell]
        if held[HASH] == np.int64(value) and held[WINDOW] == window and _equal(cell_words, cell, words):
            return cell
        slot = (slot + np.uint64(1)) & mask


@compiled
def key_hash(words: Array, window: int) -> np.uint64:
    """Of words and a window."""
    value = FNV_BASIS ^ np.uint64(window)
    for i in range(len(words)):
        value = (value * FNV_PRIME) ^ np.uint64(words[i] + 1)
        value ^= value >> np.uint64(29)
    return value * FNV_PRIME


@compiled
def _find_key(table: Array, hashes: Array, keys: Array, words: Array, value: np.uint64) -> int:
    """The number of words with this hash, or -1."""
    mask = np.uint64(len(table) - 1)
    slot = (value ^ (value >> np.uint64(32))) & mask
    while True:
        number = table[slot]
        if number < 0:
            return -1
        if hashes[number] == value and _equal(keys, number, words):
            return number
        slot = (slot + np.uint64(1)) & mask


@compiled
def arm_hash(data: Array, start: Array, length: Array, labels: Array, row: int) -> np.uint64:
    """FNV-1a, 64 bits, over an arm's labels: a 0 for none, else a 1 and the UTF-8 bytes; part of what a delta means."""
    value = FNV_BASIS
    for c in range(ARM_LABELS):
        size, begin = length[labels[c], row], start[labels[c], row]
        value = (value ^ np.uint64(size >= 0)) * FNV_PRIME
        for i in range(begin, begin + max(size, 0)):
            value = (value ^ np.uint64(data[i])) * FNV_PRIME
    return value


@compiled
def _is_often(counters: Array, value: np.uint64) -> bool:
    """Count one more row of an arm that was not admitted."""
    least = OFTEN
    for i in range(2):
        place = np.int64((value >> np.uint64(32 * i)) % np.uint64(COUNTERS))
        counters[i, place] = min(counters[i, place] + 1, OFTEN)
        least = min(least, counters[i, place])
    return least >= OFTEN


@compiled
def _known(words: Array) -> bool:
    for i in range(len(words)):
        if words[i] == NEW_WORD:
            return False
    return True


@compiled
def _keep(
    t: Tallies, words: Array, hashes: Array, data: Array, start: Array, length: Array, labels: Array, row: int, first: int,
    end: int,
) -> None:  # fmt: skip
    """Keep those of a row's labels in the columns [first, end) that are new."""
    for c in range(first, end):
        if words[c] == NEW_WORD:
            words[c] = add_word(t, data, start[labels[c], row], length[labels[c], row], hashes[c])


@compiled
def _cell(t: Tallies, words: Array, window: int) -> int:
    """The cell of a key, a new one where there is none."""
    value = key_hash(words, window)
    cell = find_cell(t.c_table, t.cells, t.c_words, words, window, value)
    if cell >= 0:
        return cell
    cell = t.n[CELLS]
    _put(t.c_words, cell, words)
    t.cells[cell, WINDOW], t.cells[cell, HASH] = window, np.int64(value)
    t.n[CELLS] += 1
    place_in(t.c_table, value, cell)
    return cell


@compiled
def admit(
    t: Tallies, k: Knobs, words: Array, hashes: Array, window: int, data: Array, start: Array, length: Array, labels: Array,
    row: int,
) -> int:  # fmt: skip
    """The cell of a row whose key has none yet. `words` are its labels', NEW_WORD for those not kept, `hashes` theirs."""
    columns = len(words)
    arm, place = words[:ARM_LABELS], words[SERVICE : ENVIRONMENT + 1]
    full = t.n[CELLS] >= k.keys_max
    admitted = _known(arm) and _find_key(t.a_table, t.a_hash, t.a_words, arm, key_hash(arm, 0)) >= 0
    if not admitted:
        held = -1
        if _known(place):
            held = _find_key(t.p_table, t.p_hash, t.p_words, place, key_hash(place, 0))
        if full or (held >= 0 and t.p_arms[held] >= k.arms_max):
            if not _is_often(t.often, arm_hash(data, start, length, labels, row)):
                for c in range(columns):
                    if c not in (SERVICE, ENVIRONMENT) or held < 0:
                        words[c] = c
                words[0], words[ARM_LABELS - 1] = NULL_WORD, NULL_WORD
                return _cell(t, words, window)
            _keep(t, words, hashes, data, start, length, labels, row, 0, ARM_LABELS)
        else:
            _keep(t, words, hashes, data, start, length, labels, row, 0, ARM_LABELS)
            if held < 0:
                held = t.n[PLACES]
                _put(t.p_words, held, place)
                t.p_hash[held], t.p_arms[held] = key_hash(place, 0), 0
                t.n[PLACES] += 1
                place_in(t.p_table, t.p_hash[held], held)
            t.p_arms[held] += 1
        number = t.n[ARMS]
        _put(t.a_words, number, arm)
        t.a_hash[number] = key_hash(arm, 0)
        t.n[ARMS] += 1
        place_in(t.a_table, t.a_hash[number], number)
    if full:
        for c in range(ARM_LABELS, columns):
            words[c] = c
    else:
        _keep(t, words, hashes, data, start, length, labels, row, ARM_LABELS, columns)
    return _cell(t, words, window)
