"""What a consumer without message objects would cost: librdkafka's own batches, read as columns by numpy and Arrow.

An experiment, not a way that Davy reads. confluent-kafka keeps the group; messages come from its partition queues
(`rd_kafka_queue_get_partition`, forwarding off) by `rd_kafka_consume_batch_queue`, which fills an array of pointers to
`rd_kafka_message_t`. That struct is public and is read where it lies; payloads become an Arrow view of librdkafka's own
buffers, copied once into the bytes that decoding takes. Two things are no public interfaces: where the Python object
keeps its `rd_kafka_t *`, and reading memory by address.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

from bench.peers.peer import Framing, Task, Windows

HANDLE_OFFSET = 16
"""Of `rd_kafka_t *` in confluent-kafka's object: behind its reference count and its type."""
ERR, PAYLOAD, LENGTH, OFFSET = 0, 3, 4, 7
"""Of `rd_kafka_message_t`, in words of eight bytes."""
MEMORY_BASE = 4096
MEMORY_WORDS = (1 << 44) - 1024
PIECE_BITS = 30
"""Arrow's views have 31-bit offsets: memory is told in pieces of 1 GiB."""
INLINE_MAX = 12
"""Arrow keeps shorter values in the view itself."""


class Blocks:
    title = "librdkafka in blocks"
    events = 2_000_000
    framing: Framing = "single-object"
    does = "an experiment: payloads as bytes, offsets and Kafka's timestamps of all records, without a message object for each"

    def prepare(self) -> str:
        import confluent_kafka

        return f"librdkafka {confluent_kafka.libversion()[0]} of confluent-kafka {confluent_kafka.version()}"

    def command(self, task: Task) -> list[str]:
        return [sys.executable, "-m", __name__, task.json]

    def windows(self, task: Task) -> Windows | int:
        return int((Path(task.folder) / "read").read_text("ascii"))


PEER = Blocks()


class Library:
    """The functions of librdkafka that confluent-kafka was linked with; those that only take an instant keep the GIL."""

    def __init__(self) -> None:
        from confluent_kafka import cimpl

        free, held = ctypes.CDLL(cimpl.__file__), ctypes.PyDLL(cimpl.__file__)
        pointer = ctypes.c_void_p
        self.partition_queue = free.rd_kafka_queue_get_partition
        self.partition_queue.restype, self.partition_queue.argtypes = (
            pointer,
            [pointer, ctypes.c_char_p, ctypes.c_int32],
        )
        self.forward = free.rd_kafka_queue_forward
        self.forward.restype, self.forward.argtypes = None, [pointer, pointer]
        self.consume = free.rd_kafka_consume_batch_queue
        self.consume.restype, self.consume.argtypes = (
            ctypes.c_ssize_t,
            [pointer, ctypes.c_int, pointer, ctypes.c_size_t],
        )
        self.release = free.rd_kafka_queue_destroy
        self.release.restype, self.release.argtypes = None, [pointer]
        self.timestamp = held.rd_kafka_message_timestamp
        self.timestamp.restype, self.timestamp.argtypes = ctypes.c_int64, [pointer, pointer]
        self.destroy = held.rd_kafka_message_destroy
        self.destroy.restype, self.destroy.argtypes = None, [pointer]


def read(task: Task) -> int:
    """Read the topic; how many records came at the offsets where they belong."""
    from collections import deque
    from itertools import repeat

    import numpy as np
    import pyarrow as pa
    from confluent_kafka import TopicPartition

    from bench.peers.configured import configured
    from streams import kafka
    from streams.ingest_loop import FETCH_MAX, READ_SETTINGS

    library, poll_ms = Library(), 20
    task.mark("started")
    consumer = kafka.consumer(configured(task), task.run, **{**READ_SETTINGS, "enable.partition.eof": False})
    consumer.assign([TopicPartition(task.topic, p, 0) for p in range(task.partitions)])
    handle = ctypes.c_void_p.from_address(id(consumer) + HANDLE_OFFSET)
    queues = [library.partition_queue(handle, task.topic.encode(), p) for p in range(task.partitions)]
    for queue in queues:
        library.forward(queue, None)
    memory = np.ctypeslib.as_array((ctypes.c_int64 * MEMORY_WORDS).from_address(MEMORY_BASE))
    pointers, positions, seen = np.empty(FETCH_MAX, np.int64), [0] * task.partitions, 0
    while seen < task.events:
        consumer.poll(0)  # what else librdkafka has to say
        for partition, queue in enumerate(queues):
            n = library.consume(queue, poll_ms, pointers.ctypes.data, FETCH_MAX)
            if n <= 0:
                continue
            places = pointers[:n].tolist()
            words = (pointers[:n] - MEMORY_BASE) >> 3
            payload, length, offsets = (memory[words + field] for field in (PAYLOAD, LENGTH, OFFSET))
            if memory[words + ERR].astype(np.int32).any() or int(length.min()) <= INLINE_MAX:
                raise RuntimeError("an error or a record of at most 12 bytes, which this experiment does not handle")
            pieces, piece = np.unique(payload >> PIECE_BITS, return_inverse=True)
            views = np.zeros((n, 4), np.int32)  # length, prefix (only comparing needs it), buffer, offset in it
            views[:, 0], views[:, 2], views[:, 3] = length, piece, payload & ((1 << PIECE_BITS) - 1)
            buffers = [pa.foreign_buffer(int(place) << PIECE_BITS, 2 << PIECE_BITS) for place in pieces]
            lying = pa.Array.from_buffers(pa.binary_view(), n, [None, pa.py_buffer(views), *buffers])
            values = lying.to_pylist()
            stamps_ms = np.fromiter(map(library.timestamp, places, repeat(None)), np.int64, n)
            deque(map(library.destroy, places), maxlen=0)
            expected = positions[partition] + np.arange(n)
            good = (offsets == expected) & (np.fromiter(map(len, values), np.int64, n) == length) & (stamps_ms > 0)
            seen += int(good.sum())
            positions[partition] = int(offsets[-1]) + 1
    for queue in queues:
        library.release(queue)
    consumer.close()
    return seen


def main() -> None:
    task = Task.argument()
    seen = read(task)
    task.mark("done")
    (Path(task.folder) / "read").write_text(str(seen), "ascii")


if __name__ == "__main__":
    main()
