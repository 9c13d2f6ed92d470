"""What one fetch brings, as columns: a message object for each record would cost more than everything Davy does with it.

`Blocks` takes librdkafka's own batches and reads them where they lie (`streams.kernels.messages`): confluent-kafka keeps the
group, positions, seeks and commits; its partitions' queues are forwarded to a queue of ours (rdkafka.h:
rd_kafka_queue_get_partition, rd_kafka_queue_forward, rd_kafka_consume_batch_queue). One thing is no public interface:
where confluent-kafka's object keeps its `rd_kafka_t *`. It is its first field in all releases of `MAJOR`;
others, inputs that need headers, and consumers that are not confluent-kafka's get `Messages`, which gives the same from
message objects, more slowly.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import field
from importlib.metadata import version
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition, cimpl

from schemas.frozen import frozen
from streams.kernels import messages as kernel
from streams.packed import Ints, Packed

Source = tuple[str, int]
"""Topic name and partition."""
WIDE: dict[str, str | int] = {
    "fetch.max.bytes": 64 << 20, "max.partition.fetch.bytes": 8 << 20, "fetch.queue.backoff.ms": 10,
}  # fmt: skip
"""Settings of who has much to read: the library's own fetches of a megabyte, and its pauses of a second once its queue is
full, are slower than what becomes of the records."""
MAJOR = "2."
"""Of confluent-kafka's versions, those whose consumers are known."""
HANDLE_OFFSET = object.__basicsize__
"""Of `rd_kafka_t *` in confluent-kafka's object: behind its reference count and its type."""


@frozen()
class Records:
    """n records of one topic in the order in which they came; `partition`, `offset`, `kafka_us` int64 (n,), Kafka's timestamps
    in microseconds; `keyed` bool (n,) tells a record without a key from one whose key is empty."""

    topic: str
    values: Packed
    keys: Packed
    keyed: npt.NDArray[np.bool_]
    partition: Ints
    offset: Ints
    kafka_us: Ints
    headers: Sequence[Any] | None = None
    """Where they were asked for, per record (name, value) pairs, or None where it has none."""

    def __len__(self) -> int:
        return len(self.offset)

    def ends(self) -> dict[Source, int]:
        """Of each partition the offset behind its last record."""
        partitions = np.unique(self.partition).tolist()
        return {(self.topic, p): int(self.offset[self.partition == p].max()) + 1 for p in partitions}

    def key(self, i: int) -> bytes | None:
        """Of one record."""
        return self.keys[i] if self.keyed[i] else None


@frozen()
class Ended:
    """The end of the partition was reached."""

    source: Source
    offset: int


@frozen()
class Failed:
    """Something is wrong with the partition, at that offset if it has one, or, where there is none, with the consumer."""

    source: Source | None
    error: KafkaError
    offset: int = -1


@frozen()
class Fetched:
    """Records by topic, and what else was told meanwhile; of each partition, its end came behind its records."""

    records: list[Records] = field(default_factory=list[Records])
    told: list[Ended | Failed] = field(default_factory=list["Ended | Failed"])

    def __bool__(self) -> bool:
        return bool(self.records or self.told)


class Fetch(Protocol):
    """A way to get records from a consumer."""

    def follow(self, places: Sequence[TopicPartition]) -> None:
        """Those partitions are about to be assigned."""
        ...

    def fetch(self, max_records: int, wait_s: float) -> Fetched:
        """Serve the consumer, and take what is there, waiting for it if there is nothing."""
        ...

    def close(self) -> None:
        """Before the consumer is closed."""
        ...


def fetching(consumer: Any, wants_headers: bool) -> Fetch:
    """The best way for this consumer."""
    known = isinstance(consumer, Consumer) and version("confluent-kafka").startswith(MAJOR)
    return Blocks(consumer) if known and not wants_headers else Messages(consumer, wants_headers)


class Messages:
    """By confluent-kafka's message objects."""

    def __init__(self, consumer: Any, wants_headers: bool) -> None:
        self.consumer = consumer
        self.wants_headers = wants_headers

    def follow(self, places: Sequence[TopicPartition]) -> None:
        """Nothing to do."""

    def fetch(self, max_records: int, wait_s: float) -> Fetched:
        """One `consume`."""
        return of_messages(self.consumer.consume(max_records, wait_s), self.wants_headers)

    def close(self) -> None:
        """Nothing to do."""


def of_messages(messages: Sequence[Message], wants_headers: bool) -> Fetched:
    """Message objects as columns."""
    fetched = Fetched()
    by_topic: dict[str, list[Message]] = {}
    for message in messages:
        error, topic = message.error(), message.topic() or ""
        if error is None:
            by_topic.setdefault(topic, []).append(message)
        else:
            fetched.told.append(_told(topic, int(message.partition() or 0), int(message.offset() or 0), error))
    for topic, held in by_topic.items():
        keys = [message.key() for message in held]
        fetched.records.append(
            Records(
                topic, Packed.of([_bytes(message.value()) for message in held]), Packed.of([_bytes(key) for key in keys]),
                np.array([key is not None for key in keys], np.bool_), _ints(held, Message.partition),
                _ints(held, Message.offset), _ints(held, lambda message: message.timestamp()[1]) * 1000,
                [message.headers() for message in held] if wants_headers else None,
            )
        )  # fmt: skip
    return fetched


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value


def _ints(messages: Sequence[Message], of: Callable[[Message], Any]) -> Ints:
    return np.fromiter(map(of, messages), np.int64, len(messages))


def _told(topic: str, partition: int, offset: int, error: KafkaError) -> Ended | Failed:
    if not topic:
        return Failed(None, error)
    ended = error.code() == KafkaError._PARTITION_EOF  # pyright: ignore[reportPrivateUsage]  # its public name
    return Ended((topic, partition), offset) if ended else Failed((topic, partition), error, offset)


class Library:
    """The functions of the librdkafka that confluent-kafka is linked with."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(cimpl.__file__)
        pointer = ctypes.c_void_p
        self.queue_new = self._function("rd_kafka_queue_new", pointer, pointer)
        self.queue_destroy = self._function("rd_kafka_queue_destroy", None, pointer)
        self.queue_forward = self._function("rd_kafka_queue_forward", None, pointer, pointer)
        self.partition_queue = self._function(
            "rd_kafka_queue_get_partition", pointer, pointer, ctypes.c_char_p, ctypes.c_int32
        )
        self.consume = self._function(
            "rd_kafka_consume_batch_queue", ctypes.c_ssize_t, pointer, ctypes.c_int, pointer, ctypes.c_size_t
        )
        self.topic_name = self._function("rd_kafka_topic_name", ctypes.c_char_p, pointer)

    def _function(self, name: str, answer: Any, *arguments: Any) -> Any:
        function = getattr(self._library, name)
        function.restype, function.argtypes = answer, arguments
        return function

    def address(self, name: str) -> int:
        """For compiled code."""
        return ctypes.cast(getattr(self._library, name), ctypes.c_void_p).value or 0


class Blocks:
    """By librdkafka's batches. What the consumer itself is told (rebalances, errors) comes from its own queue, as ever."""

    def __init__(self, consumer: Consumer) -> None:
        self.consumer = consumer
        self.library = Library()
        self._handle = ctypes.c_void_p.from_address(id(consumer) + HANDLE_OFFSET).value
        self._queue: int | None = self.library.queue_new(self._handle)
        self._timestamp = self.library.address("rd_kafka_message_timestamp")
        self._destroy = self.library.address("rd_kafka_message_destroy")
        self._pointers = np.empty(0, np.int64)

    def follow(self, places: Sequence[TopicPartition]) -> None:
        """Their records go to our queue. librdkafka remembers that over assignments, and never leads them back."""
        for place in places:
            queue = self.library.partition_queue(self._handle, place.topic.encode(), place.partition)
            self.library.queue_forward(queue, self._queue)
            self.library.queue_destroy(queue)  # our hold on it, not the queue

    def fetch(self, max_records: int, wait_s: float) -> Fetched:
        """One batch; what the consumer tells by itself comes first."""
        message = self.consumer.poll(0)
        if message is not None:
            return of_messages([message], wants_headers=False)
        if len(self._pointers) < max_records:
            self._pointers = np.empty(max_records, np.int64)
        n = self.library.consume(self._queue, int(wait_s * 1000), self._pointers.ctypes.data, max_records)
        return self._columns(self._pointers[:n]) if n > 0 else Fetched()

    def _columns(self, messages: Ints) -> Fetched:
        n = len(messages)
        fields = np.empty((n, kernel.COLUMNS), np.int64)
        data = np.empty(kernel.look(messages, self._timestamp, fields), np.uint8)
        topics = fields[:, kernel.TOPIC].copy()
        different = [int(topics[0])] if (topics == topics[0]).all() else dict.fromkeys(topics.tolist())
        names: dict[int, str] = {topic: self.library.topic_name(topic).decode() if topic else "" for topic in different}
        begin, end = np.empty((2, n), np.int64), np.empty((2, n), np.int64)
        kernel.take(messages, self._destroy, fields, data, begin, end)
        data.flags.writeable = False
        whole = Records(
            next(iter(names.values())), Packed(data, begin[0], end[0]), Packed(data, begin[1], end[1]),
            fields[:, kernel.KEY_LENGTH] != kernel.NO_KEY, fields[:, kernel.PARTITION].copy(),
            fields[:, kernel.OFFSET].copy(), fields[:, kernel.TIMESTAMP] * 1000,
        )  # fmt: skip
        if len(names) == 1 and not fields[:, kernel.ERR].any():
            return Fetched([whole])
        fetched = Fetched()
        for i in np.flatnonzero(fields[:, kernel.ERR]).tolist():
            error = KafkaError(int(fields[i, kernel.ERR]))
            fetched.told.append(_told(names[int(topics[i])], int(whole.partition[i]), int(whole.offset[i]), error))
        for topic, name in names.items():
            mine = np.flatnonzero((topics == topic) & (fields[:, kernel.ERR] == 0))
            if len(mine):
                fetched.records.append(_some(whole, name, mine))
        return fetched

    def close(self) -> None:
        """Give the queue back, and what lies in it."""
        if self._queue is not None:
            self.library.queue_destroy(self._queue)
            self._queue = None


def _some(records: Records, topic: str, index: Ints) -> Records:
    return Records(
        topic, records.values.take(index), records.keys.take(index), records.keyed[index],
        records.partition[index], records.offset[index], records.kafka_us[index],
    )  # fmt: skip
