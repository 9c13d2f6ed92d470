"""Records of a flat Avro schema, of whatever version, to `Rows`.

>>> import json
>>> program = Program.of(json.loads('{"type": "record", "name": "E", "fields": [{"name": "status", "type": "int"}]}'))
>>> rows, fault = program.walk(np.frombuffer(bytes([144, 3, 255]), np.uint8), np.array([0, 2]), np.array([2, 3]), ())
>>> rows.longs[LONGS.index("status")].tolist(), [FAULTS[f] for f in fault.tolist()]
([200, 0], ['', 'the record ends early'])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt

from schemas.frozen import frozen
from streams.kernels import avro_walk as kernel
from streams.rows import LONGS, TEXTS, Rows

FAULTS = (
    "", "the record ends early", "there are bytes behind the record", "a number in it has no end",
    "a union's branch does not exist", "a boolean is neither 0 nor 1", "a length is negative or beyond all bounds",
    "a text is not UTF-8", "an int has more than 32 bits",
)  # fmt: skip
"""By the fault that `Program.walk` gives; none is empty."""
_KINDS = {
    "long": kernel.LONG, "int": kernel.INT, "boolean": kernel.BOOL, "double": kernel.DOUBLE, "float": kernel.FLOAT,
    "string": kernel.TEXT, "bytes": kernel.BYTES, "map": kernel.MAP, "fixed": kernel.FIXED, "enum": kernel.INT,
}  # fmt: skip


class NotFlat(ValueError):
    """The schema has a field that the walk does not know: a nested record, an array, a union of several types."""


@frozen()
class Program:
    """What to read in which order, int64 (fields, 4); see `streams.kernels.avro_walk`."""

    steps: npt.NDArray[np.int64]

    @classmethod
    def of(cls, schema: Mapping[str, Any]) -> Self:
        """From a writer's schema; fields that `Rows` has no place for are passed over. Raises `NotFlat`."""
        return cls(np.array([_step(field) for field in schema["fields"]], np.int64).reshape(-1, 4))

    def walk(
        self, data: npt.NDArray[np.uint8], begin: npt.NDArray[np.int64], end: npt.NDArray[np.int64], measures: Sequence[str]
    ) -> tuple[Rows, npt.NDArray[np.uint8]]:  # fmt: skip
        """The records [begin, end), int64 (n,), in `data`, and the fault of each, uint8 (n,): see `FAULTS`.
        A row with a fault means nothing."""
        rows = Rows.empty(data, len(begin), len(measures))
        fault = np.empty(len(begin), np.uint8)
        names = [name.encode() for name in measures]
        kernel.walk(
            data, begin, end, self.steps, np.frombuffer(b"".join(names), np.uint8),
            np.cumsum([0, *map(len, names)]), rows.start, rows.length, rows.longs, rows.present,
            rows.rate.view(np.uint64), rows.values.view(np.uint64), rows.has, fault,
        )  # fmt: skip
        return rows, fault


def _step(field: Mapping[str, Any]) -> tuple[int, int, int, int]:
    """Kind, place of null, target and column of a field."""
    kind, null = field["type"], -1
    if isinstance(kind, list):
        branches = cast("list[Any]", kind)
        if len(branches) != 2 or "null" not in branches:
            raise NotFlat(f"{field['name']}: a union of other than null and one type")
        null = branches.index("null")
        kind = branches[1 - null]
    node = cast("Mapping[str, Any]", kind) if isinstance(kind, dict) else {"type": kind}
    name, code = field["name"], _KINDS.get(node["type"])
    if code is None or (code == kernel.MAP and node["values"] != "double"):
        raise NotFlat(f"{name}: {node['type']}")
    if code == kernel.FIXED:
        return code, null, kernel.NOWHERE, node["size"]
    if code == kernel.TEXT and name in TEXTS:
        return code, null, kernel.TO_TEXTS, TEXTS.index(name)
    if code in (kernel.LONG, kernel.INT, kernel.BOOL) and node["type"] != "enum" and name in LONGS:
        return code, null, kernel.TO_LONGS, LONGS.index(name)
    if name == "sample_rate" and code in (kernel.LONG, kernel.INT, kernel.FLOAT, kernel.DOUBLE):
        return code, null, kernel.TO_RATE, 0
    return code, null, kernel.TO_MEASURES if name == "measures" and code == kernel.MAP else kernel.NOWHERE, 0
