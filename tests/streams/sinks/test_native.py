"""Columns as bytes: those that the driver itself makes of the same values, for every type that a table of ours has."""

from __future__ import annotations

from io import BytesIO
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from clickhouse_driver.bufferedwriter import CompressedBufferedWriter  # pyright: ignore
from clickhouse_driver.columns.service import write_column  # pyright: ignore
from clickhouse_driver.context import Context  # pyright: ignore
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.config import Config
from streams.sinks.base import Store, StoreUnavailable
from streams.sinks.columns import of_rows
from streams.sinks.ddl import STORED
from streams.sinks.native import Block, encode
from streams.sinks.server import ServerStore
from streams.sinks.tables import MODERN, OLD, WINDOWS
from tests.streams.sinks import records

TEXT = st.text(max_size=6) | st.sampled_from(["", "canary", "x" * 127, "x" * 128, "ü" * 9000])
LONG = st.integers(-(2**63), 2**63 - 1)
DOUBLE = st.floats(allow_nan=False)
TIME = st.integers(0, (2**32 - 1) * 1_000_000)
"""What a DateTime holds; other times are tested apart."""
TIMES = pa.timestamp("us", "UTC")
SPECS = sorted(
    {part.type for dialect in (MODERN, OLD) for table in STORED.values() for _, _, part in dialect.parts(table)}
)


def of(spec: str) -> tuple[st.SearchStrategy[Any], Any]:
    """Values of an engine's type, and Arrow's type for them."""
    outer, _, inner = spec.removesuffix(")").partition("(")
    match outer:
        case "Nullable":
            values, kind = of(inner)
            return st.none() | values, kind
        case "LowCardinality":
            return of(inner)
        case "Array":
            values, kind = of(inner)
            return st.lists(values, max_size=4), pa.list_(kind)
        case "Map":
            key, _, value = inner.partition(", ")
            (keys, key_kind), (values, kind) = of(key), of(value)
            return st.dictionaries(keys, values, max_size=4), pa.map_(key_kind, kind)
        case _:
            return {
                "String": (TEXT, pa.string()), "Int64": (LONG, pa.int64()), "Float64": (DOUBLE, pa.float64()),
                "Bool": (st.booleans(), pa.bool_()), "UInt8": (st.booleans(), pa.bool_()), "DateTime": (TIME, TIMES),
                "DateTime64": (TIME, TIMES),
            }[outer]  # fmt: skip


def theirs(spec: str, values: list[Any]) -> bytes:
    """What the driver writes; times go in as it takes them: whole seconds, or ticks."""
    out = BytesIO()
    if "DateTime(" in spec:
        values = [value if value is None else value // 1_000_000 for value in values]
    context: Any = Context()
    context.client_settings = {"strings_as_bytes": False, "strings_encoding": "utf-8", "use_numpy": False}
    context.server_info = SimpleNamespace(get_timezone=lambda: "UTC", used_revision=54400)
    buffer = CompressedBufferedWriter(out, 1 << 20)  # pyright: ignore
    write_column(context, "x", spec, values, buffer)  # pyright: ignore
    buffer.flush()  # pyright: ignore
    return out.getvalue()


@pytest.mark.parametrize("spec", SPECS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_the_bytes_are_the_drivers(spec: str, data: st.DataObject) -> None:
    value, kind = of(spec)
    values = data.draw(st.lists(value, min_size=1, max_size=12))
    whole = pa.array(values * 2, kind)
    begin = data.draw(st.integers(0, len(values)))
    assert encode(spec, whole[begin : begin + len(values)]) == theirs(spec, (values * 2)[begin : begin + len(values)])


@pytest.mark.parametrize("n", [255, 256, 70_000])
def test_keys_of_any_number(n: int) -> None:
    values = [f"v{i}" for i in range(n)]
    assert encode("LowCardinality(String)", pa.array(values)) == theirs("LowCardinality(String)", values)


def test_a_time_beyond_a_datetime_is_its_last() -> None:
    times = pa.array([-5, 2**32 * 1_000_000], TIMES)
    assert encode("DateTime('UTC')", times) == bytes(4) + b"\xff" * 4


def test_old_servers_have_maps_in_two_columns() -> None:
    rows = [records.window(i, None, **({"a": 1.5, "b": 2.0} if i else {})).to_avro() for i in range(3)]  # pyright: ignore[reportArgumentType]
    columns = {name: values.to_pylist() for name, _, values in Block.of(WINDOWS, OLD, of_rows(WINDOWS, rows)).columns}
    assert columns["measures.key"] == [[], ["a", "b"], ["a", "b"]]
    assert columns["measures.value"] == [[], [1.5, 2.0], [1.5, 2.0]]


def test_a_column_of_another_type_is_said(server_url: str) -> None:
    with ServerStore(f"{server_url.rpartition('/')[0]}/other_type") as store:
        store.migrate([])
        store.run("ALTER TABLE probes_raw MODIFY COLUMN latency_us Nullable(Float64)")
        for _ in range(2):
            with pytest.raises(
                StoreUnavailable, match=r"latency_us is Nullable\(Float64\) there, and Nullable\(Int64\)"
            ):
                store.insert("probes", [records.probe().to_avro()])


def test_an_engine_names_types_as_we_do(store: Store, config: Config) -> None:
    """A block whose types are spelt otherwise is refused; the embedded engine is a present ClickHouse."""
    dialect = OLD if config.clickhouse else MODERN
    found = store.query("SELECT table, name, type FROM system.columns WHERE database = currentDatabase()").dicts()
    types = {(row["table"], row["name"]): row["type"] for row in found}
    for table in STORED.values():
        for column, _, part in dialect.parts(table):
            assert types[table.raw, column] == part.type, f"{table.raw}.{column}"
