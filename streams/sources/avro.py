"""Avro object container files, of any writer's schema that has the fields of RequestEvent, in any codec.

Theory of operation. A block of N records is, byte for byte, what Avro writes for an array of N items, less
the count in front and the zero behind. So each block is decoded at once, as one array, into columns of the
writer's schema; these are then cast to ours by name. A block that this cannot read (broken, or of a schema
with types it does not know) is read again record by record, up to the first broken one.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any, cast

import fastavro
import pyarrow as pa
import pyruhvro
from fastavro.read import HEADER_SCHEMA

from schemas.errors import UserError
from schemas.frozen import frozen
from streams.encode import bodies, schema_text
from streams.sources.base import Reject, columns, conform

UNREADABLE = (EOFError, IndexError, KeyError, ValueError, OverflowError, MemoryError, TypeError, OSError)
"""What bytes that are not what they should be make fastavro raise."""
BLOCKS_AT_ONCE = 256
"""Blocks that are decoded together: writers make them of some 16 KB."""
ROWS_A_BLOCK = 1024
UNSAFE_TYPES = frozenset({"bytes", "fixed"})
"""The columnar decoder gives up the whole process on these."""


class Avro:
    """The source."""

    extension = ".avro"

    def read(self, path: Path) -> tuple[pa.Table, list[Reject]]:
        """Broken records end their block, a broken frame ends the file; both are rejects."""
        with path.open("rb") as file:
            reading = _Reading(path, file, [])
            tables = [conform(path, part, first, reading.rejects) for first, part in reading.parts()]
        return pa.concat_tables(tables) if tables else conform(path, columns([]), 1, []), reading.rejects

    def write(self, path: Path, batches: Iterable[pa.RecordBatch]) -> None:
        """Blocks of `ROWS_A_BLOCK` rows, deflated; the same rows in the same batches give the same bytes."""
        schema = schema_text()
        sync = hashlib.sha256(schema.encode()).digest()[:16]
        header = {
            "magic": b"Obj\x01",
            "meta": {"avro.schema": schema.encode(), "avro.codec": b"deflate"},
            "sync": sync,
        }
        with path.open("wb") as file:
            fastavro.schemaless_writer(file, HEADER_SCHEMA, header)  # pyright: ignore[reportUnknownMemberType]  # its stubs are open
            for batch in batches:
                for start in range(0, batch.num_rows, ROWS_A_BLOCK):
                    rows = batch.slice(start, ROWS_A_BLOCK)
                    deflater = zlib.compressobj(1, wbits=-15)  # Avro's deflate is without zlib's header
                    data = deflater.compress(b"".join(bodies(rows).to_pylist())) + deflater.flush()
                    file.write(_varint(rows.num_rows) + _varint(len(data)) + data + sync)


SOURCE = Avro()


@frozen()
class _Reading:
    path: Path
    file: IO[bytes]
    rejects: list[Reject]

    def parts(self) -> Iterator[tuple[int, pa.Table]]:
        """Rows in the writer's columns, each part with the number of its first row, from 1 on."""
        number, row = 1, 1
        blocks = self._blocks()
        while group := list(islice(blocks, BLOCKS_AT_ONCE)):
            together = _columnar(group)
            parts = [together] if together is not None else self._apart(group, number)
            for part in parts:
                yield row, part
                row += part.num_rows
            number += len(group)

    def _blocks(self) -> Iterator[Any]:
        """The file's blocks, as far as their frames can be read."""
        number = 1
        try:
            for block in fastavro.block_reader(self.file):
                yield block
                number += 1
        except UNREADABLE as error:
            reason = f"{error or 'it ends early'}; nothing behind it was read"
            if number == 1:
                raise UserError(f"{self.path}: it is not an Avro object container file: {reason}") from error
            self.rejects.append(Reject(f"{self.path} block {number}", reason))

    def _apart(self, group: Sequence[Any], number: int) -> list[pa.Table]:
        """Block by block, the broken ones slowly."""
        parts = [_columnar([block]) for block in group]
        return [
            self._slowly(block, number + i) if part is None else part
            for i, (block, part) in enumerate(zip(group, parts, strict=True))
        ]

    def _slowly(self, block: Any, number: int) -> pa.Table:
        """Record by record, up to the first one that cannot be read."""
        rows: list[dict[str, Any]] = []
        try:
            rows.extend(block)  # keeps what came before an error
        except UNREADABLE as error:
            lost = int(block.num_records) - len(rows)
            reason = f"{error or 'it ends early'}; {lost} rows were left out"
            self.rejects.append(Reject(f"{self.path} block {number}", reason, lost))
        try:
            return columns(rows)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise UserError(f"{self.path}: its schema is not that of RequestEvent: {error}") from error


def _columnar(blocks: Sequence[Any]) -> pa.Table | None:
    """All rows of some blocks in the writer's columns; None where that cannot be done."""
    writer = blocks[0].writer_schema
    if not _safe(writer):
        return None
    array = {"name": "rows", "type": {"type": "array", "items": writer}}
    schema = json.dumps({"type": "record", "name": "Block", "fields": [array]})
    datums = [_varint(block.num_records) + block.bytes_.getvalue() + b"\0" for block in blocks]
    try:
        rows = pyruhvro.deserialize_array(datums, schema).column(0)
    except (ValueError, TypeError):
        return None
    # the decoder passes over bytes behind the array, and a broken block may hold a zero that ends it early
    if rows.value_lengths().to_pylist() != [block.num_records for block in blocks]:
        return None
    return pa.Table.from_batches([pa.RecordBatch.from_struct_array(rows.flatten())])


def _safe(schema: Any) -> bool:
    """Whether no type that the columnar decoder cannot bear occurs."""
    if isinstance(schema, dict):
        node = cast("dict[str, Any]", schema)
        return all(_safe(node[key]) for key in ("type", "fields", "items", "values") if key in node)
    if isinstance(schema, list):
        return all(_safe(part) for part in cast("list[Any]", schema))
    return schema not in UNSAFE_TYPES


def _varint(count: int) -> bytes:
    """Avro's long: zigzag, seven bits a byte."""
    rest, out = count << 1, bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)
