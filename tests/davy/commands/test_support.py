"""The bundle holds what is needed, and no secret, wherever one stood."""

from __future__ import annotations

import json
import stat
import tarfile
from pathlib import Path

import pytest

from davy.commands.support import HIDDEN, support
from schemas.config import Config, load_config
from schemas.errors import UserError
from streams.embedded import EmbeddedBroker

SECRETS = ("kafka-secret", "token-secret", "store-secret", "registry-secret", "header-secret", 'quoted"secret')


@pytest.fixture
def config(tmp_path: Path, tansu: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setenv("QUOTED", 'quoted"secret')
    file = tmp_path / "davy.yaml"
    file.write_text(
        f"kafka: {{bootstrap.servers: '{tansu.bootstrap}', sasl.password: kafka-secret}}\n"
        f"data_dir: {tmp_path / 'data'}\nembedded: true\nhttp: {{token: token-secret}}\n"
        "clickhouse: {url: 'clickhouse://davy:store-secret@localhost:1/davy'}\n"
        "schema_registry: {url: 'http://localhost:1', auth: 'davy:registry-secret'}\n"
        "alerts: {receivers: {chat: {type: slack, url: 'https://hooks/header-secret', key: '${QUOTED}'}}}\n"
    )
    logs = tmp_path / "data" / "logs"
    logs.mkdir(parents=True)
    said = {"event": "odd", "url": "https://hooks/header-secret", "password": "kafka-secret", "other": 'quoted"secret'}
    (logs / "judge.log").write_text(json.dumps(said) + "\n")
    return load_config(file)


def test_everything_that_helps_and_no_secret(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "bundle.tar.gz"
    assert support(config, out) == 0
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    with tarfile.open(out) as bundle:
        bundle.extractall(tmp_path, filter="data")
        names = [member.name for member in bundle.getmembers()]
    files = {name.removeprefix("davy-support/"): (tmp_path / name).read_text() for name in names}
    assert list(files) == ["about.json", "config.json", "doctor.json", "logs/judge.log"]
    whole = "".join(files.values()) + capsys.readouterr().out
    assert [secret for secret in SECRETS if secret in whole or json.dumps(secret)[1:-1] in whole] == []
    shown = json.loads(files["config.json"])
    assert shown["kafka"] == {"bootstrap.servers": config.kafka["bootstrap.servers"], "sasl.password": HIDDEN}
    assert shown["alerts"]["receivers"]["chat"]["type"] == "slack"
    assert json.loads(files["logs/judge.log"])["event"] == "odd"
    assert "confluent-kafka" in json.loads(files["about.json"])["installed"]
    assert {"level": "ok"}.items() <= json.loads(files["doctor.json"])[0].items()


def test_a_file_that_is_there_is_not_overwritten(config: Config, tmp_path: Path) -> None:
    out = tmp_path / "bundle.tar.gz"
    out.write_text("mine")
    with pytest.raises(
        UserError, match=r"bundle\.tar\.gz cannot be written \(file exists\): choose another with --out"
    ):
        support(config, out)
    assert out.read_text() == "mine"
