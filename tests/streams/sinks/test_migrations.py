"""Stores of every earlier schema become the present one, on each engine; what is not ours is left alone."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from clickhouse_driver import Client

from schemas.config import Clickhouse, Config
from streams.sinks import migrations, open_store
from streams.sinks.base import StoreUnavailable
from streams.sinks.embedded import EmbeddedStore
from streams.sinks.migrations import MIGRATIONS, NUMBER, NUMBERS, VERSION
from streams.sinks.rows import of_verdict
from streams.sinks.server import ServerStore
from tests.streams.sinks import records

SCHEMAS = Path(__file__).parent / "schemas"
"""What earlier versions of Davy ran: NUMBER-modern.sql and NUMBER-old.sql. A new migration adds a pair."""
OLD_ROWS = (
    "INSERT INTO verdicts_raw (verdict_id, experiment_id, reason, sequence, epoch) SELECT 'v1', 'shop', 'it is well', 7, 2",
    "INSERT INTO windows_raw (service, version, rows, revision) SELECT 'cart', '1.2', 40, 1",
)
Engine = EmbeddedStore | ServerStore


@pytest.fixture
def empty(config: Config) -> Iterator[Engine]:
    """A store with a database and nothing in it."""
    if config.clickhouse is not None:
        url = urlsplit(config.clickhouse.url.get_secret_value())
        server = Client.from_url(url._replace(path="/").geturl())
        server.execute(f"CREATE DATABASE {url.path[1:]}")
        server.disconnect()
    with opened(config) as store:
        yield store


def opened(config: Config) -> Engine:
    store = open_store(config)
    assert isinstance(store, EmbeddedStore | ServerStore)
    return store


def as_it_was(store: Engine, number: int) -> None:
    """The tables of an earlier schema, with rows."""
    kind = "modern" if isinstance(store, EmbeddedStore) else "old"
    for statement in (*(SCHEMAS / f"{number}-{kind}.sql").read_text().split(";\n"), *OLD_ROWS):
        if statement.strip():
            store.run(statement)


def shape(store: Engine) -> list[list[object]]:
    """Every column, with its type and how it is compressed."""
    codec = ", compression_codec" if isinstance(store, EmbeddedStore) else ""
    columns = f"SELECT table, name, type{codec} FROM system.columns WHERE database = currentDatabase()"
    return sorted(list(row) for row in store.rows(columns))


def test_they_are_numbered_from_one_without_gaps() -> None:
    assert MIGRATIONS[0].number == 1
    assert all(after.number == before.number + 1 for before, after in pairwise(MIGRATIONS))
    assert {path.name for path in SCHEMAS.iterdir()} == {
        f"{number}-{kind}.sql" for number in range(1, VERSION) for kind in ("modern", "old")
    }


@pytest.mark.parametrize("number", range(1, VERSION))
def test_a_store_of_an_earlier_schema_becomes_as_a_new_one(empty: Engine, number: int, tmp_path: Path) -> None:
    as_it_was(empty, number)
    empty.migrate([])
    assert empty.rows(NUMBER)[0][0] == VERSION
    migrated = shape(empty)
    empty.migrate([])
    assert shape(empty) == migrated
    assert empty.query("SELECT verdict_id, reason, budget FROM verdicts").rows == [["v1", "it is well", None]]
    assert empty.query("SELECT service, rows, duplicates FROM windows").rows == [["cart", 40, 0]]
    empty.insert("verdicts", of_verdict(records.verdict().encode())["verdicts"])
    assert empty.query("SELECT count() FROM verdicts WHERE isNotNull(budget)").rows == [[1]]
    assert empty.query("SELECT count() FROM verdicts WHERE isNull(change)").rows == [[2]]
    drop_all(empty)
    empty.migrate([])
    assert shape(empty) == migrated


def drop_all(store: Engine) -> None:
    for (name,) in store.rows("SELECT name FROM system.tables WHERE database = currentDatabase()"):
        store.run(f"DROP TABLE {name}")


@pytest.mark.parametrize("after", range(1, VERSION))
def test_a_process_that_is_killed_on_the_way_leaves_nothing_half_done(
    empty: Engine, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between a step's statements and its number."""
    as_it_was(empty, 1)
    reached = migrations.reached

    def killed(number: int) -> str:
        if number > after:
            raise KeyboardInterrupt
        return reached(number)

    monkeypatch.setattr(migrations, "reached", killed)
    with pytest.raises(KeyboardInterrupt):
        empty.migrate([])
    monkeypatch.setattr(migrations, "reached", reached)
    assert (empty.rows(NUMBER)[0][0] or 1) == after
    empty.migrate([])
    assert empty.rows(NUMBER)[0][0] == VERSION
    assert empty.query("SELECT verdict_id FROM verdicts").rows == [["v1"]]


def test_a_newer_store_is_left_alone(empty: Engine) -> None:
    empty.migrate([])
    empty.run(migrations.reached(VERSION + 1))
    before = shape(empty)
    with pytest.raises(
        StoreUnavailable, match=rf"schema {VERSION + 1}, and this version of Davy knows {VERSION}: run the newer"
    ):
        empty.migrate(["more"])
    assert shape(empty) == before


@pytest.mark.parametrize(
    ("foreign", "said"),
    [
        ("CREATE TABLE windows (a Int64) ENGINE = MergeTree ORDER BY a", "windows is a MergeTree table there"),
        ("CREATE TABLE windows_raw (a Int64) ENGINE = Log", "windows_raw is a Log there"),
        ("CREATE TABLE probes_raw (a Int64) ENGINE = ReplacingMergeTree ORDER BY a", "probes_raw has other columns"),
    ],
)
def test_tables_of_others_are_left_alone(empty: Engine, foreign: str, said: str) -> None:
    empty.run(foreign)
    before = shape(empty)
    with pytest.raises(StoreUnavailable, match=said) as caught:
        empty.migrate([])
    assert "in use for something else" in str(caught.value)
    assert empty.elsewhere in str(caught.value)
    assert shape(empty) == before


def test_a_table_that_lost_a_column_is_said(empty: Engine) -> None:
    empty.migrate([])
    empty.run("DROP TABLE probes")
    empty.run("ALTER TABLE probes_raw DROP COLUMN error_ratio")
    with pytest.raises(StoreUnavailable, match=r"lacks probes_raw\.error_ratio"):
        empty.migrate([])


def test_who_may_not_migrate_says_what_an_administrator_has_to_do(server_url: str) -> None:
    url = f"{server_url.rpartition('/')[0]}/by_hand"
    config = Config().model_copy(update={"clickhouse": Clickhouse.model_validate({"url": url, "migrate": False})})
    server = Client.from_url(f"{server_url.rpartition('/')[0]}/")
    server.execute("CREATE DATABASE by_hand")
    server.disconnect()
    with opened(config) as store:
        with pytest.raises(StoreUnavailable, match="has no tables, and this version of Davy needs"):
            store.migrate([])
        as_it_was(store, 1)
        with pytest.raises(StoreUnavailable, match=r"has schema 1, and .* deploy/ops/clickhouse/schema\.sql"):
            store.migrate([])
        assert NUMBERS not in {row[0] for row in store.rows(migrations.TABLES_THERE)}
        with ServerStore(url) as administrator:
            administrator.migrate([])
        store.migrate([])
