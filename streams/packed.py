"""Many records' bytes end to end: what decoders take, so that no record needs an object of its own.

>>> packed = Packed.of([b"one", None, b"three"])
>>> len(packed), packed[2], packed.size.tolist()
(3, b'three', [3, 0, 5])
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from schemas.frozen import frozen

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]


@frozen()
class Packed:
    """Record i lies in ``[begin[i], end[i])`` of `data`: uint8, not writeable; `begin` and `end` int64 (n,)."""

    data: Bytes
    begin: Ints
    end: Ints

    @classmethod
    def of(cls, values: Sequence[bytes | None]) -> Packed:
        """From single records; none is as one without bytes."""
        held = cast("Sequence[bytes]", values if all(values) else [value or b"" for value in values])
        size = np.fromiter(map(len, held), np.int64, len(held))
        end = np.cumsum(size)
        return cls(np.frombuffer(b"".join(held), np.uint8), end - size, end)

    @classmethod
    def joined(cls, parts: Sequence[Packed]) -> Packed:
        """The records of all parts in a buffer that holds nothing else.

        >>> parts = Packed.of([b"one", b"two"]), Packed.of([b"three"])
        >>> list(Packed.joined([part.take(slice(1)) for part in parts]))
        [b'one', b'three']
        """
        size = np.concatenate([part.size for part in parts])
        end = np.cumsum(size)
        data = np.concatenate([gathered(part.data, part.begin, part.size) for part in parts])
        data.flags.writeable = False
        return cls(data, end - size, end)

    def __len__(self) -> int:
        return len(self.begin)

    def __getitem__(self, i: int) -> bytes:
        return self.data[self.begin[i] : self.end[i]].tobytes()

    def __iter__(self) -> Iterator[bytes]:
        data = self.data.tobytes()
        return (data[a:b] for a, b in zip(self.begin.tolist(), self.end.tolist(), strict=True))

    @property
    def size(self) -> Ints:
        """Bytes of each record, int64 (n,)."""
        return self.end - self.begin

    def take(self, index: Any) -> Packed:
        """Those records, in the same buffer; all of them where `index` says so."""
        return replace(self, begin=self.begin[index], end=self.end[index])


def gathered(data: Bytes, begin: Ints, size: Ints) -> Bytes:
    """The bytes at some places of a buffer, end to end."""
    end = np.cumsum(size)
    return data[np.repeat(begin - (end - size), size) + np.arange(end[-1] if len(end) else 0)]
