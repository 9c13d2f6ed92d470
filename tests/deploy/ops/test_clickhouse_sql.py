"""The SQL files on the engines that they are for; each role's grants, enforced by the engine: enough, and no more."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from clickhouse_driver import Client

from streams.sinks.base import StoreUnavailable
from streams.sinks.embedded import EmbeddedStore
from streams.sinks.rows import of_window
from streams.sinks.server import ServerStore
from tests.streams.sinks import records
from tests.streams.sinks.server import clickhouse_server

SQL = Path(__file__).parents[3] / "deploy" / "ops" / "clickhouse"
INSERT = "INSERT INTO davy.windows_raw (service, environment, version, rows) SELECT 'cart', 'test', '1', 7"
RUN = """
import json, sys
from chdb.session import Session
session = Session(sys.argv[1])
for statement in json.loads(sys.argv[2]):
    try:
        session.query(statement)
        print("done")
    except RuntimeError as error:
        print("refused" if "Not enough privileges" in str(error) else error)
"""


def statements(name: str) -> list[str]:
    text = re.sub(r"^--.*$", "", (SQL / name).read_text(), flags=re.MULTILINE)
    return [statement.strip() for statement in text.split(";\n") if statement.strip()]


def grants(role: str) -> list[str]:
    """What roles.sql gives a role, its roles' grants included."""
    found: list[str] = []
    for statement in statements("roles.sql"):
        given = re.fullmatch(r"GRANT (.*) TO (\w+)", statement)
        if given is None or given[2] != role:
            assert given or statement.startswith(
                ("CREATE ROLE IF NOT EXISTS davy_", "CREATE QUOTA IF NOT EXISTS davy_")
            )
            continue
        found += grants(given[1]) if " ON " not in given[1] else [f"GRANT {given[1]}"]
    return found


def as_role(folder: Path, store: Path, granted: list[str], *said: str) -> list[str]:
    """What becomes of statements on the engine whose only user has these grants."""
    queries = "".join(f"<query>{escape(grant)}</query>" for grant in granted)
    users = (
        "<clickhouse><profiles><default/></profiles><quotas><default/></quotas><users><default><password></password>"
        f"<networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota><grants>{queries}</grants>"
        "</default></users></clickhouse>"
    )
    (folder / "users.xml").write_text(users)
    config = folder / "config.xml"
    config.write_text(f"<clickhouse><users_config>{folder / 'users.xml'}</users_config></clickhouse>")
    arguments = [f"{store}?config-file={config}", json.dumps(said)]
    done = subprocess.run([sys.executable, "-c", RUN, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_roles_may_do_what_they_must_and_no_more(tmp_path: Path) -> None:
    folder = tmp_path / "clickhouse"
    schema = statements("schema.sql")
    made = as_role(
        tmp_path,
        folder,
        grants("davy_migrator"),
        *schema,
        "USE davy",
        *schema,
        "DROP TABLE davy.windows_raw",
        "CREATE DATABASE other",
    )
    assert made == ["done"] * (2 * len(schema) + 1) + ["refused", "refused"]
    others = (
        "DROP TABLE davy.windows_raw", "ALTER TABLE davy.windows_raw DELETE WHERE 1",
        "CREATE TABLE davy.x (a Int8) ENGINE = Memory", "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT * FROM url('http://127.0.0.1/', 'LineAsString')",
    )  # fmt: skip
    wrote = as_role(tmp_path, folder, grants("davy_writer"), INSERT, "SELECT rows FROM davy.windows", *others)
    assert wrote == ["done", "done"] + ["refused"] * len(others)
    read = as_role(tmp_path, folder, grants("davy_reader"), "SELECT rows FROM davy.windows", INSERT, *others)
    assert read == ["done", "refused"] + ["refused"] * len(others)
    with EmbeddedStore(folder) as store:
        assert store.query("SELECT rows FROM windows").rows == [[7]]


def test_an_old_server_takes_its_files(tmp_path: Path) -> None:
    """Users as shipped, with passwords of their own; tables as its file makes them."""
    secrets = iter([hashed("sink"), hashed("reader")])
    users = re.sub("REPLACE", lambda _: next(secrets), (SQL / "users-18.xml").read_text())
    with clickhouse_server(tmp_path, users=users) as url:
        place = url.rpartition("@")[2].partition("/")[0]
        client = Client.from_url(f"clickhouse://davy_sink:sink@{place}/")
        for statement in statements("schema-18.sql"):
            client.execute(statement)
        client.disconnect()
        with ServerStore(f"clickhouse://davy_sink:sink@{place}/davy") as sink:
            sink.insert("windows", of_window(records.window().encode())["windows"])
            sink.roll_up(records.BEGIN_US, records.BEGIN_US + 1)
        with ServerStore(f"clickhouse://davy_reader:reader@{place}/davy") as reader:
            assert reader.query("SELECT rows FROM windows_1d").rows == [[10]]
            with pytest.raises(StoreUnavailable, match="readonly"):
                reader.insert("windows", of_window(records.window().encode())["windows"])
        with ServerStore(f"clickhouse://davy_reader:reader@{place}/default") as reader, pytest.raises(StoreUnavailable):
            reader.query("SELECT name FROM default.x")


def hashed(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()
