from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from streams.sinks.embedded import EmbeddedStore, Locked, parse
from streams.sinks.rows import of_window
from tests.streams.sinks import records

KILLED = """
import os, signal, sys
from pathlib import Path
from streams.sinks.embedded import EmbeddedStore
from streams.sinks.rows import of_window
from tests.streams.sinks import records
store = EmbeddedStore(Path(sys.argv[1]))
store.migrate([])
for index in range(20):
    store.insert("windows", of_window(records.window(index).encode())["windows"])
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_inserted_survives_a_kill_and_is_not_doubled(tmp_path: Path) -> None:
    folder = tmp_path / "clickhouse"
    ended = subprocess.run([sys.executable, "-c", KILLED, str(folder)], check=False)
    assert ended.returncode == -9
    with EmbeddedStore(folder) as store:
        store.migrate([])
        assert store.query("SELECT count(), sum(rows) FROM windows").rows == [[20, 200]]
        store.insert("windows", [row for i in range(20) for row in of_window(records.window(i).encode())["windows"]])
        assert store.query("SELECT count(), sum(rows) FROM windows").rows == [[20, 200]]


def test_a_folder_has_one_process_at_a_time(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path / "clickhouse"), pytest.raises(Locked, match="another process"):
        EmbeddedStore(tmp_path / "clickhouse")
    EmbeddedStore(tmp_path / "clickhouse").close()


def test_an_answer_is_lines_of_json(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path / "clickhouse") as store:
        answer = store.answer("SELECT number, 'a\nb' AS text FROM numbers(2)")
    assert parse(answer).dicts() == [{"number": 0, "text": "a\nb"}, {"number": 1, "text": "a\nb"}]
    assert parse(b"").rows == []
