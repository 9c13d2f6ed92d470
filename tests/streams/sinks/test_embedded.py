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

PARTS, PARTS_MAX_S = 150, 60.0
"""More than the engine's own limit, above which 128 threads remove them."""
MANY_PARTS = """
import os, sys, time
from pathlib import Path
from streams.sinks.embedded import EmbeddedStore
with EmbeddedStore(Path(sys.argv[1])) as store:
    store.run("CREATE TABLE davy.many (k Int64) ENGINE = MergeTree ORDER BY k SETTINGS cleanup_delay_period = 1, "
        "cleanup_delay_period_random_add = 0, max_cleanup_delay_period = 1")
    store.run("SYSTEM STOP CLEANUP davy.many")
    for k in range(int(sys.argv[2])):
        store.run(f"INSERT INTO davy.many VALUES ({k})")
    store.run("OPTIMIZE TABLE davy.many FINAL")
    before = len(os.listdir("/proc/self/task"))
    store.run("SYSTEM START CLEANUP davy.many")
    deadline = time.monotonic() + float(sys.argv[3])
    asked = "SELECT count() FROM system.parts WHERE table = 'many' AND NOT active"
    while store.query(asked).rows[0][0] and time.monotonic() < deadline:
        time.sleep(0.1)
    print(before, len(os.listdir("/proc/self/task")), store.query(asked).rows[0][0])
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


def test_old_parts_go_without_threads_that_stay(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MANY_PARTS, str(tmp_path / "clickhouse"), str(PARTS), str(PARTS_MAX_S)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    before, after, left = map(int, said)
    assert left == 0
    assert after < before + 10


def test_a_config_xml_that_lies_about_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.xml").write_text("no configuration")
    monkeypatch.chdir(tmp_path)
    EmbeddedStore(tmp_path / "clickhouse").close()


def test_an_answer_is_lines_of_json(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path / "clickhouse") as store:
        answer = store.answer("SELECT number, 'a\nb' AS text FROM numbers(2)")
    assert parse(answer).dicts() == [{"number": 0, "text": "a\nb"}, {"number": 1, "text": "a\nb"}]
    assert parse(b"").rows == []
