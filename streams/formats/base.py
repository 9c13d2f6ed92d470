"""What every format gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from schemas.config import Config, Input
from schemas.frozen import frozen
from streams.packed import Packed
from streams.rows import Rows

Ints = npt.NDArray[np.int64]
Headers = Sequence[Any]
"""Per record its headers as the Kafka library gives them: (name, value) pairs, or None where it has none."""


@frozen()
class Reject:
    """What cannot be used of a record: its place in the batch, why, and how many rows that would have been."""

    index: int
    reason: str
    rows: int = 1


@frozen()
class Decoded:
    """`index` int64 (rows,), ascending, is each row's record in the batch. A record may give no row, one, or many. `rejects`
    are in order of their index."""

    rows: Rows
    index: Ints
    rejects: list[Reject]


class Decoder(Protocol):
    """Record values of one topic to columns."""

    @property
    def wants_headers(self) -> bool:
        """Whether `decode` needs the records' headers, which cost time to get."""
        ...

    def decode(self, values: Packed, headers: Headers | None) -> Decoded:
        """Rows of all that can be used, and the rest with its reason."""
        ...


class Format(Protocol):
    """One wire format."""

    @property
    def name(self) -> str:
        """As `inputs` in davy.yaml calls it."""
        ...

    def decoder(self, config: Config, topic: str, source: Input) -> Decoder:
        """For one topic; raises `UserError` for a configuration that this format cannot follow."""
        ...

    def identity(self, config: Config, topic: str, source: Input) -> dict[str, Any]:
        """What the decoder's answers depend on besides the record, as JSON values; never a secret."""
        ...


def sound(values: Packed, record_bytes_max: int) -> tuple[Ints, Packed, list[Reject]]:
    """Records that are neither empty nor too large, with their places, and the others."""
    size = values.size
    good = (size > 0) & (size <= record_bytes_max)
    if good.all():
        return np.arange(len(values)), values, []
    index = np.flatnonzero(good)
    rejects = [Reject(i, unsound(int(size[i]), record_bytes_max)) for i in np.flatnonzero(~good).tolist()]
    return index, values.take(index), rejects


def unsound(size: int, record_bytes_max: int) -> str:
    """Why a record of so many bytes is not looked at."""
    if not size:
        return "the record is empty"
    return f"the record has {size} bytes, more than limits.record_bytes ({record_bytes_max})"


def decoded(rows: Rows, index: Ints, faults: Sequence[tuple[int, str]], rejects: list[Reject]) -> Decoded:
    """All rows but the faulty ones, `index` int64 (n,) being each row's record; of several faulty rows of one record the
    first one's reason is told."""
    if not faults:
        return Decoded(rows, index, sorted(rejects, key=_place))
    by_record: dict[int, dict[int, str]] = {}
    for row, reason in faults:
        by_record.setdefault(int(index[row]), {}).setdefault(row, reason)
    for record, reasons in by_record.items():
        more = f" (and {len(reasons) - 1} more of its rows)" if len(reasons) > 1 else ""
        rejects.append(Reject(record, reasons[min(reasons)] + more, len(reasons)))
    pick = np.delete(np.arange(len(rows)), list({row for row, _ in faults}))
    return Decoded(rows.take(pick), index[pick], sorted(rejects, key=_place))


def _place(reject: Reject) -> int:
    return reject.index
