"""Deltas to bytes and back; cells that are bytes already."""

from __future__ import annotations

import io

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import codec
from schemas.delta import (
    Cell,
    Cells,
    Claim,
    ControlCopy,
    Delta,
    Measure,
    Progress,
    Truncated,
    cells_head,
    decode_delta,
    encode_delta,
    join_cells,
)

longs = st.integers(-(2**63), 2**63 - 1) | st.integers(-70, 20_000)
times = st.sampled_from([codec.TIMES[0], codec.TIMES[-1]]) | st.integers(codec.TIMES[0], codec.TIMES[-1])
words = st.text(max_size=12)
measures = st.builds(Measure, words, longs, longs, st.binary(max_size=300), st.binary(max_size=5))
cells = st.builds(
    Cell, st.none() | words, words, words, words, st.none() | words, st.lists(st.none() | words, max_size=3).map(tuple),
    times, *[longs] * 11, *[st.binary(max_size=200)] * 3, st.lists(measures, max_size=3).map(tuple),
)  # fmt: skip
ints = st.integers(-(2**31), 2**31 - 1)
deltas: st.SearchStrategy[Delta] = st.one_of(
    st.builds(Cells, words, words, ints, longs, longs, st.lists(cells, max_size=4).map(tuple)),
    st.builds(Progress, words, words, ints, *[longs] * 6, ints, longs, st.none() | times, times),
    st.builds(ControlCopy, longs, st.binary(max_size=50), longs),
    st.builds(Claim, words, longs),
    st.builds(Truncated, words, words, ints, longs, longs),
)


@given(deltas)
def test_a_delta_comes_back(delta: Delta) -> None:
    assert decode_delta(encode_delta(delta)) == delta


@given(st.lists(cells, min_size=1, max_size=3), longs)
def test_cells_that_are_bytes_already_make_the_same_message(some: list[Cell], upto: int) -> None:
    where = ("digest", "topic", 3, 7, upto)
    alone = [encode_delta(Cells(*where, (cell,))) for cell in some]
    head = cells_head(*where)
    bodies = [data[len(head) + 1 : -1] for data in alone]
    assert join_cells(head, len(some), b"".join(bodies)) == encode_delta(Cells(*where, tuple(some)))


def test_what_is_no_delta_is_told() -> None:
    whole = encode_delta(ControlCopy(1, b"abc"))
    with pytest.raises(codec.Malformed):
        decode_delta(whole[:-1])
    with pytest.raises(codec.UnknownSchema):
        decode_delta(b"\xc3\x01" + b"\x00" * 8 + whole[10:])


def test_deltas_of_the_version_before_are_read() -> None:
    """While ingest and judges are replaced one after the other, and where the log is older than both."""
    former = codec.parse(codec.history("Delta")[1])
    body = {"control_offset": 7, "payload": b"abc"}
    out = io.BytesIO()
    out.write(codec.MAGIC + codec.schema_fingerprint(codec.history("Delta")[1]))
    fastavro.schemaless_writer(out, former, {"body": ("davy.v1.ControlCopy", body)})
    assert decode_delta(out.getvalue()) == ControlCopy(7, b"abc", -1)
