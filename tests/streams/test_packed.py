"""Records end to end."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.packed import Packed

VALUES = st.lists(st.none() | st.binary(max_size=20), max_size=20)


@given(VALUES, st.data())
def test_each_record_is_where_it_was(values: list[bytes | None], data: st.DataObject) -> None:
    packed, plain = Packed.of(values), [value or b"" for value in values]
    assert list(packed) == plain
    assert [packed[i] for i in range(len(packed))] == plain
    assert packed.size.tolist() == [len(value) for value in plain]
    pick = data.draw(st.lists(st.integers(0, len(values) - 1), max_size=9) if values else st.just([]))
    assert list(packed.take(np.array(pick, np.int64))) == [plain[i] for i in pick]


def test_the_bytes_cannot_be_written_to() -> None:
    assert not Packed.of([b"x"]).data.flags.writeable
