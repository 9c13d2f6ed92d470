"""What every format gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from schemas.config import Config, Input
from streams.rows import Rows

Ints = npt.NDArray[np.int64]
Values = Sequence[bytes | None]
Headers = Sequence[Any]
"""Per record its headers as the Kafka library gives them: (name, value) pairs, or None where it has none."""


@dataclass(frozen=True, slots=True)
class Reject:
    """What cannot be used of a record: its place in the batch, why, and how many rows that would have been."""

    index: int
    reason: str
    rows: int = 1


@dataclass(frozen=True, slots=True)
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

    def decode(self, values: Values, headers: Headers | None) -> Decoded:
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
