"""Records and record batches that cannot be used, as they come to a topic, and what must be told of them."""

from __future__ import annotations

import gzip
import random
import struct
import time
from pathlib import Path

from confluent_kafka import KafkaError, Message, Producer, TopicPartition

from schemas import codec
from schemas.config import Config
from schemas.delta import Progress
from streams import deltas, kafka
from streams.deltas import PackedCells
from streams.fold import Fold
from streams.layout import Layout
from tests.support.kafka import KafkaBroker

LARGE_BYTES = 900_000
BOMB_BYTES = 150_000_000
"""What one record of a bomb unpacks to; the client allows 100 MB a batch."""
MAGIC_OFFSET, CRC_OFFSET, ATTRIBUTES_OFFSET = 16, 17, 21
"""In a record batch, version 2."""
GZIP, LZ4, CODEC_BITS = 1, 3, 7


def event(number: int, time_us: int | None = None) -> bytes:
    """A good one."""
    nothing = ("segment", "instance", "endpoint", "error", "cpu_us", "memory_bytes", "measures")
    return codec.encode(
        "RequestEvent",
        dict.fromkeys(nothing) | {
            "timestamp": time_us or time.time_ns() // 1000, "service": "cart", "environment": "test", "version": "1",
            "experiment_id": f"e{number % 3}", "variant": "canary", "unit_id": f"u{number}", "status": 200,
            "duration_us": number % 1000, "sample_rate": 1.0,
        },
    )  # fmt: skip


def broken(kind: str, good: bytes, rng: random.Random) -> tuple[bytes, str]:
    """A record that is broken in that way, and how its reason begins."""
    if kind == "truncated":
        return good[: rng.randrange(codec.HEADER_BYTES, len(good) - 1)], "the record ends early"
    if kind == "trailing":
        return good + b"\0", "there are bytes behind the record"
    if kind == "wrong schema":
        return good[: codec.HEADER_BYTES] + b"\x03" * 20, "a length is negative"
    if kind == "unknown fingerprint":
        return codec.MAGIC + rng.randbytes(8) + good[codec.HEADER_BYTES :], "unknown schema fingerprint"
    if kind == "large":
        return good + bytes(
            LARGE_BYTES
        ), f"the record has {len(good) + LARGE_BYTES} bytes, more than limits.record_bytes"
    if kind == "gzip":
        return gzip.compress(good), "the record is not in Avro single-object encoding"
    raise ValueError(kind)


KINDS = ("truncated", "trailing", "wrong schema", "unknown fingerprint", "gzip")
"""Of single records that are as large as others."""


def bomb(bootstrap: str, topic: str, partition: int, records: int) -> range:
    """Write a batch of zstd that unpacks to more than a client allows; its offsets."""
    return _batch(
        bootstrap, topic, partition, [bytes(BOMB_BYTES)] + [b"x"] * (records - 1),
        {"compression.codec": "zstd", "message.max.bytes": 2 * BOMB_BYTES},
    )  # fmt: skip


def gzip_batch(bootstrap: str, topic: str, partition: int, values: list[bytes]) -> range:
    """Write a batch of gzip; its offsets."""
    return _batch(bootstrap, topic, partition, values, {"compression.codec": "gzip"})


def _batch(bootstrap: str, topic: str, partition: int, values: list[bytes], settings: dict[str, str | int]) -> range:
    offsets: list[int] = []

    def told(error: KafkaError | None, message: Message) -> None:
        assert error is None, error
        offsets.append(int(message.offset() or 0))

    producer = Producer(
        {"bootstrap.servers": bootstrap, "linger.ms": 60_000, "batch.size": 1 << 30, **settings}  # all in one batch
    )
    producer.list_topics(topic, timeout=10)  # else records wait outside of their partition, and flushing may part them
    for value in values:
        producer.produce(topic, value, partition=partition, on_delivery=told)
    producer.flush()
    return range(min(offsets), max(offsets) + 1)


def give_wrong_codec(broker: KafkaBroker, topic: str, partition: int, begin: int) -> None:
    """Say of the gzip batch at `begin`, on the stopped broker's disk, that it is LZ4; its checksum is right again."""
    (path,) = (broker.folder / "data" / f"{topic}-{partition}").glob("*.log")
    data = bytearray(path.read_bytes())
    place = 0
    while place + ATTRIBUTES_OFFSET < len(data):
        first, size = struct.unpack_from(">qi", data, place)
        if first == begin:
            (attributes,) = struct.unpack_from(">h", data, place + ATTRIBUTES_OFFSET)
            assert attributes & CODEC_BITS == GZIP, attributes
            struct.pack_into(">h", data, place + ATTRIBUTES_OFFSET, attributes & ~CODEC_BITS | LZ4)
            crc = _crc32c(data[place + ATTRIBUTES_OFFSET : place + 12 + size])
            struct.pack_into(">I", data, place + CRC_OFFSET, crc)
            Path(path).write_bytes(data)
            return
        place += 12 + size
    raise AssertionError(f"no batch begins at {begin}")


def _crc32c(data: bytes | bytearray) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


# -- what was told -----------------------------------------------------------------------------------------------------


def ends(config: Config) -> dict[tuple[str, int], int]:
    """End of each partition of the events."""
    topic = config.topic("events")
    consumer = kafka.consumer(config, "ends")
    found = {
        (topic, p): consumer.get_watermark_offsets(TopicPartition(topic, p), 10)[1]
        for p in kafka.partitions(config, topic)
    }
    consumer.close()
    return found


def mismatches(config: Config, expected: dict[tuple[int, int], str]) -> list[str]:
    """Of the dead letters with what is expected: by partition and offset, how each reason begins."""
    told: dict[tuple[int, int], str] = {}
    wrong: list[str] = []
    for message in kafka.to_end(config, config.topic("deadletters"), "check"):
        headers = {name: (value or b"").decode() for name, value in message.headers() or []}
        place = (int(headers["davy_partition"]), int(headers["davy_offset"]))
        if place in told:
            wrong.append(f"{place} was told twice")
        told[place] = headers["davy_reason"]
    wrong += [f"{place} was not told: {expected[place]}" for place in expected.keys() - told.keys()]
    wrong += [f"{place} is good, yet it was told: {told[place]}" for place in told.keys() - expected.keys()]
    both = expected.keys() & told.keys()
    return wrong + [f"{p}: {told[p]!r} is not {expected[p]!r}" for p in both if not told[p].startswith(expected[p])]


def counted(config: Config) -> tuple[int, int]:
    """Rows and dead records of the newest progress of every block, all of whose cells add up to its rows."""
    folds: dict[int, Fold] = {}
    newest: dict[tuple[int, int, int], Progress] = {}
    for message in kafka.to_end(config, config.topic("deltas"), "check"):
        d = int(message.partition() or 0)
        fold = folds.setdefault(d, Fold(Layout.of(config).digest, config.limits.block_records))
        (delta,) = deltas.read([message.value()])
        if isinstance(delta, Progress):
            newest[d, delta.partition, delta.block] = delta
            list(fold.progress(delta))
        elif isinstance(delta, PackedCells):
            list(fold.cells(delta))
    for (d, partition, _), last in newest.items():
        (frontier,) = {found.frontier for (_, p), found in folds[d].sources.items() if p == partition}
        assert frontier >= last.upto, f"partition {partition} is verified up to {frontier}, not {last.upto}"
    dead = {(partition, block): last.dead for (_, partition, block), last in newest.items()}  # each partition tells it
    return sum(last.rows_d for last in newest.values()), sum(dead.values())
