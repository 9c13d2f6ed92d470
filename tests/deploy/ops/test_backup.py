"""Backups are restored and equal what was there: on a real server by the script that ships, and in the embedded store."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from streams.sinks.base import Store
from streams.sinks.ddl import STORED
from streams.sinks.embedded import EmbeddedStore
from streams.sinks.rows import READERS
from streams.sinks.server import ServerStore
from tests.streams.sinks import records
from tests.streams.sinks.server import clickhouse_server
from tests.support.system import program

SCRIPT = Path(__file__).parents[3] / "deploy" / "ops" / "clickhouse" / "backup.sh"


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with clickhouse_server(tmp_path / "server") as url:
        yield url


def fill(store: Store) -> None:
    """Rows in every table but the roll-ups, which are made of windows."""
    store.migrate(["cpu_us"])
    for name, record in (
        *(("windows", records.window(index)) for index in range(40)), ("verdicts", records.verdict()),
        ("decisions", records.decision()), ("probes", records.probe()), ("control", records.applied()),
        ("control", records.annotation()), ("incidents", records.incident(ended=True)), ("incidents", records.incident(1)),
    ):  # fmt: skip
        for table, rows in READERS[name](record.encode()).items():
            store.insert(table, rows)
    store.insert("reports", [records.report()])
    store.insert("events", [records.event()])
    begin_us = records.window(0).start
    store.roll_up(begin_us, records.window(39).start + 1)


def everything(store: Store) -> dict[str, list[Any]]:
    return {name: sorted(map(repr, store.query(f"SELECT * FROM {name}").rows)) for name in STORED}


def backup(url: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    place = urlsplit(url)
    client = f"{program('clickhouse-client', 'clickhouse-client')} --host {place.hostname} --port {place.port}"
    client += f" --user {place.username} --password {place.password}"
    environment = os.environ | {"CLICKHOUSE_CLIENT": client}
    return subprocess.run(
        [SCRIPT, *arguments], env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_a_servers_tables_go_to_files_and_back(url: str, tmp_path: Path) -> None:
    with ServerStore(url) as store:
        nothing = backup(url, tmp_path / "none")
        assert (nothing.returncode, "has no tables of Davy's" in nothing.stderr) == (4, True), nothing
        fill(store)
        before = everything(store)
        assert all(before.values()), before
        done = backup(url, tmp_path / "backup")
        assert (done.returncode, done.stderr) == (0, ""), done
        store.run("DROP DATABASE davy")
        store.migrate(["cpu_us"])
        assert not any(everything(store).values())
        for _ in range(2):  # the second time it changes nothing
            done = backup(url, "--restore", tmp_path / "backup")
            assert (done.returncode, done.stderr) == (0, ""), done
            assert everything(store) == before
        empty = backup(url, "--restore", tmp_path)
        assert (empty.returncode, "no files of a backup" in empty.stderr) == (2, True), empty


def test_the_embedded_stores_folder_is_copied(tmp_path: Path) -> None:
    folder = tmp_path / "clickhouse"
    with EmbeddedStore(folder) as store:
        fill(store)
        before = everything(store)
    subprocess.run(["cp", "-a", folder, tmp_path / "backup"], check=True)
    shutil.rmtree(folder)
    subprocess.run(["cp", "-a", tmp_path / "backup", folder], check=True)
    with EmbeddedStore(folder) as store:
        store.migrate(["cpu_us"])
        assert everything(store) == before
        assert all(before.values()), before
