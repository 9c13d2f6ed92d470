"""Arrow columns as ClickHouse's native protocol carries them, through clickhouse-driver's connection.

The driver makes every value of a column a Python object and packs it again, some five times the work of all else that becomes
of a row. Here each column is written whole: numbers are Arrow's own buffers, of texts each distinct one is made once and laid
out by Arrow's `take`. What is written are the driver's own bytes (the tests compare them, type by type); the connection, its
compression, TLS and errors are the driver's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow  # pyright: ignore[reportMissingTypeStubs]  # has no types
from clickhouse_driver import Client  # pyright: ignore[reportMissingTypeStubs]
from clickhouse_driver import block as driver_block  # pyright: ignore[reportMissingTypeStubs]
from clickhouse_driver import defines as driver_defines  # pyright: ignore[reportMissingTypeStubs]
from clickhouse_driver import varint as driver_varint  # pyright: ignore
from clickhouse_driver import writer as driver_writer  # pyright: ignore[reportMissingTypeStubs]
from clickhouse_driver.errors import Error  # pyright: ignore[reportMissingTypeStubs]
from clickhouse_driver.protocol import ClientPacketTypes  # pyright: ignore[reportMissingTypeStubs]

from schemas.frozen import frozen
from streams.sinks.tables import KEYS, VALUES, Dialect, Table

pa: Any = pyarrow
blocks: Any = driver_block
defines: Any = driver_defines
varint: Any = driver_varint  # pyright: ignore[reportUnknownVariableType]
writer: Any = driver_writer
SECONDS_MAX = 2**32 - 1
"""Of a DateTime: the year 2106."""
_DICTIONARY_VERSION = (1).to_bytes(8, "little")
_NEW_DICTIONARY = 1 << 9 | 1 << 10
"""Of a LowCardinality column: its keys stand in front of it, and are all that it has."""
_NUMBERS = {
    "Int64": np.int64,
    "Float64": np.float64,
    "DateTime64": np.int64,
    "DateTime": np.uint32,
    "Bool": np.uint8,
    "UInt8": np.uint8,
}
Parts = Iterator[bytes]


def encode(spec: str, values: Any) -> bytes:
    """A column of the engine's type `spec` (one that `tables` declares) from an Arrow array, as a block has it."""
    return b"".join((*_prefix(spec), *_data(spec, values)))


def _prefix(spec: str) -> Parts:
    """What stands in front of the whole column."""
    if "LowCardinality(" in spec:
        yield _DICTIONARY_VERSION


def _data(spec: str, values: Any) -> Parts:
    outer, _, inner = spec.removesuffix(")").partition("(")
    match outer:
        case "String":
            yield _texts(_dictionary(values))
        case "Nullable":
            yield _zeros_and_ones(values.is_null())
            yield from _data(inner, values)
        case "LowCardinality":
            yield from _coded(inner, values)
        case "Array":
            yield from _lists(values, (inner, values.flatten()))
        case "Map":
            key, _, value = inner.partition(", ")
            begin, end = _borders(values)
            yield from _lists(values, (key, values.keys[begin:end]), (value, values.items[begin:end]))
        case _:
            yield _numbers(outer, values).tobytes()


def _numbers(name: str, values: Any) -> npt.NDArray[Any]:
    """Nulls are zeros."""
    if pa.types.is_boolean(values.type):
        return np.frombuffer(_zeros_and_ones(values), np.uint8)
    if pa.types.is_timestamp(values.type):
        values = values.cast(pa.int64())
    whole = values.fill_null(0).to_numpy()
    return (
        np.clip(whole // 1_000_000, 0, SECONDS_MAX).astype(np.uint32)
        if name == "DateTime"
        else whole.astype(_NUMBERS[name], copy=False)
    )


def _zeros_and_ones(flags: Any) -> bytes:
    return flags.fill_null(False).cast(pa.uint8()).to_numpy().tobytes()


def _dictionary(values: Any) -> tuple[list[bytes], Any]:
    """Each distinct text with its length in front, behind them that of none; and which of them each row is."""
    coded = values.dictionary_encode()
    words = [_counted(word.encode()) for word in coded.dictionary.to_pylist()]
    return [*words, b"\0"], coded.indices.fill_null(len(words))


def _counted(text: bytes) -> bytes:
    size, found = len(text), bytearray()
    while size > 127:
        found.append(size & 127 | 128)
        size >>= 7
    return bytes((*found, size)) + text


def _texts(dictionary: tuple[list[bytes], Any]) -> bytes:
    words, which = dictionary
    laid = pa.array(words, pa.large_binary()).take(which)
    return memoryview(laid.buffers()[2] or b"").tobytes()


def _coded(inner: str, values: Any) -> Parts:
    """Keys, the empty text for null first of all where there may be nulls; then which of them each row is."""
    if not len(values):
        return
    words, which = _dictionary(values)
    which, keys = which.to_numpy().astype(np.uint64), words[:-1]
    if inner.startswith("Nullable("):
        which = np.where(which == len(keys), 0, which + np.uint64(1))
        keys.insert(0, b"\0")
    size = next(i for i in range(4) if len(keys) < 1 << (8 << i))
    yield np.array((_NEW_DICTIONARY | size, len(keys)), np.int64).tobytes()
    yield b"".join(keys)
    yield np.array((len(values),), np.int64).tobytes()
    yield which.astype(f"<u{1 << size}").tobytes()


def _borders(lists: Any) -> tuple[int, int]:
    offsets = lists.offsets
    return offsets[0].as_py(), offsets[-1].as_py()


def _lists(lists: Any, *columns: tuple[str, Any]) -> Parts:
    """Where each list ends, then what they hold, column by column."""
    offsets = lists.offsets.to_numpy().astype(np.uint64)
    yield (offsets[1:] - offsets[0]).tobytes()
    for spec, values in columns:
        yield from _data(spec, values)


@frozen()
class Block:
    """A table's rows as the engine's columns."""

    rows: int
    columns: Sequence[tuple[str, str, Any]]
    """Name, the type that it has where we make it, values."""

    @classmethod
    def of(cls, table: Table, dialect: Dialect, columns: Any) -> Block:
        """From Arrow columns of one of our tables."""
        found: list[tuple[str, str, Any]] = []
        for column, name, part in dialect.parts(table):
            values = columns.column(name).combine_chunks()
            if part.suffix in (KEYS, VALUES):
                values = pa.ListArray.from_arrays(values.offsets, values.keys if part.suffix == KEYS else values.items)
            found.append((column, part.type, values))
        return cls(len(columns), found)


class ColumnClient(Client):
    """clickhouse-driver's client, which also inserts a `Block`."""

    def insert(self, table: str, block: Block) -> None:
        """Add the rows to a table. Raises as `execute` does."""
        names = ", ".join(f"`{name}`" for name, _, _ in block.columns)
        cast("Any", self).execute(f"INSERT INTO {table} ({names}) VALUES", (block,), columnar=True)

    def send_data(self, sample_block: Any, data: Any, types_check: bool = False, columnar: bool = False) -> Any:
        """As the driver's, for what is not a `Block`."""
        if not (isinstance(data, tuple) and isinstance(data[0], Block)):
            return cast("Any", super()).send_data(sample_block, data, types_check, columnar)
        block, there = data[0], dict(sample_block.columns_with_types)
        for name, spec, _ in block.columns:
            if there[name] != spec:
                raise NotOurs(f"the column {name} is {there[name]} there, and {spec} where Davy makes it")
        client: Any = self
        connection = client.connection
        varint.write_varint(ClientPacketTypes.DATA, connection.fout)
        if connection.server_info.used_revision >= defines.DBMS_MIN_REVISION_WITH_TEMPORARY_TABLES:
            writer.write_binary_str("", connection.fout)
        _write(connection.block_out, block)
        client.receive_profile_events()
        connection.send_data(blocks.ColumnOrientedBlock())  # that was all
        client.receive_profile_events()
        return block.rows


class NotOurs(Error):
    """The table is of another shape."""


def _write(stream: Any, block: Block) -> None:
    """As the driver's `BlockOutputStream.write`."""
    revision, out = stream.context.server_info.used_revision, stream.fout
    if revision >= defines.DBMS_MIN_REVISION_WITH_BLOCK_INFO:
        blocks.BlockInfo().write(out)
    varint.write_varint(len(block.columns), out)
    varint.write_varint(block.rows, out)
    for name, spec, values in block.columns:
        writer.write_binary_str(name, out)
        writer.write_binary_str(spec, out)
        if revision >= defines.DBMS_MIN_REVISION_WITH_CUSTOM_SERIALIZATION:
            writer.write_binary_uint8(0, out)
        out.write(encode(spec, values))
    stream.finalize()
