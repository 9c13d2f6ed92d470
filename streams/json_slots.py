"""JSON objects to slots.

>>> slots, fault = Tree(["took.total"]).walk(Packed.of([b'{"took": {"total": 7}}', b'{']))
>>> slots.bits.tolist(), [FAULTS[code] for code in fault.tolist()]
([[7, 0]], ['', 'the record ends early'])
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from streams.fields import Slots
from streams.kernels import json_walk as kernel
from streams.packed import Packed

FAULTS = {
    kernel.OK: "",
    kernel.SHORT: "the record ends early",
    kernel.TRAILING: "there is something behind the object",
    kernel.SYNTAX: "the record is not JSON",
    kernel.DEPTH: f"the record is nested deeper than {kernel.DEPTH_MAX} levels",
    kernel.ENCODING: "a text is not UTF-8",
    kernel.NO_OBJECT: "the record is no JSON object",
}
"""By the fault that `Tree.walk` gives; none is empty."""
_SEGMENT = re.compile(r"(?:[^.\\]|\\.)+")


class Tree:
    """The keys that lead to the wanted places."""

    def __init__(self, paths: Sequence[str]) -> None:
        nodes: list[dict[bytes, list[int]]] = [{}]
        for slot, path in enumerate(paths):
            node = 0
            *outer, last = [re.sub(r"\\(.)", r"\1", part).encode() for part in _SEGMENT.findall(path)]
            for key in outer:
                edge = nodes[node].setdefault(key, [-1, -1])
                if edge[0] < 0:
                    edge[0] = len(nodes)
                    nodes.append({})
                node = edge[0]
            nodes[node].setdefault(last, [-1, -1])[1] = slot
        keys, edges = bytearray(), list[tuple[int, int, int, int, int]]()
        first = [0]
        for number, node in enumerate(nodes):
            for key, (below, slot) in node.items():
                edges.append((number, len(keys), len(key), below, slot))
                keys += key
            first.append(len(edges))
        self.slots = len(paths)
        self.first = np.array(first, np.int64)
        self.edges = np.array(edges, np.int64).reshape(-1, 5)
        self.keys = np.frombuffer(bytes(keys), np.uint8)

    def walk(self, values: Packed) -> tuple[Slots, npt.NDArray[np.uint8]]:
        """What stands there in n records, and the fault of each, uint8 (n,), as in `FAULTS`."""
        data = values.data.copy()  # the walk unescapes texts in place
        slots = Slots.empty(data, self.slots, len(values))
        fault = np.zeros(len(values), np.uint8)
        kernel.walk(
            data, values.begin, values.end, self.first, self.edges, self.keys, slots.kind, slots.bits,
            slots.bits.view(np.float64), slots.start, slots.length, fault,
        )  # fmt: skip
        return slots, fault
