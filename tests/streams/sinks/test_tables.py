from __future__ import annotations

import pytest

from schemas import codec
from streams.sinks import migrations
from streams.sinks.ddl import STORED, creations, views
from streams.sinks.tables import MODERN, OLD, TABLES, dialect_of


@pytest.mark.parametrize(
    ("version", "modern"), [("18.16.1", False), ("22.2.9", False), ("22.3.1", True), ("26.9.2.1", True)]
)
def test_the_dialect_follows_from_the_version(version: str, modern: bool) -> None:
    assert dialect_of(version) is (MODERN if modern else OLD)


@pytest.mark.parametrize(
    ("table", "schema"),
    [
        ("windows", "WindowSummary"),
        ("verdicts", "Verdict"),
        ("decisions", "Decision"),
        ("probes", "ProbeResult"),
        ("events", "RequestEvent"),
    ],
)
def test_columns_are_the_fields_in_their_order(table: str, schema: str) -> None:
    fields = [field["name"] for field in codec.document(schema)["fields"] if field["name"] != "evidence"]
    more = ["received", "fate", "topic", "partition", "offset", "row"] if table == "events" else []
    assert list(TABLES[table].columns) == fields + more


def test_evidence_has_its_fields_and_where_it_belongs() -> None:
    field = next(field for field in codec.document("Verdict")["fields"] if field["name"] == "evidence")
    names = {item["name"] for item in field["type"]["items"]["fields"]}
    assert names <= set(TABLES["evidence"].columns)
    assert {"verdict_id", "experiment_id", "event_time"} <= set(TABLES["evidence"].columns)


@pytest.mark.parametrize("table", STORED.values(), ids=lambda table: table.name)
def test_a_key_keeps_to_one_partition_and_to_columns_that_are_there(table: object) -> None:
    from streams.sinks.tables import Table

    assert isinstance(table, Table)
    assert set(table.key) <= set(table.columns)
    assert table.month is None or table.month in table.key, "rows of one key must meet in one partition"
    assert table.version is None or table.version in table.columns


def test_an_old_server_is_asked_for_nothing_that_it_lacks() -> None:
    text = " ".join([*creations(OLD), *views(OLD, ["cpu_us"]), *migrations.upgrades(OLD)])
    assert not [word for word in ("DateTime64", "LowCardinality", "CODEC", "TTL", "Map(", "SETTINGS") if word in text]
