"""The command that `davy explain` ends with can be run as it is printed."""

from __future__ import annotations

from pathlib import Path

from davy.commands.explain import reproduce
from davy.demo_dir import CONFIG
from schemas.config import Config
from tests.davy.scenes import verdict


def test_it_names_what_the_command_was_given_and_nothing_by_default(tmp_path: Path) -> None:
    said = verdict("ROLLBACK")
    start = f"davy replay --verdict {said.verdict_id}"
    assert reproduce(said, Config()) == start
    assert reproduce(said, Config().with_data_dir(tmp_path)) == f"{start} --dir {tmp_path}"
    assert reproduce(said, Config(), Path("my davy.yaml")) == f"{start} --config 'my davy.yaml'"


def test_a_demos_own_configuration_is_named_since_only_it_knows_the_broker(tmp_path: Path) -> None:
    (tmp_path / CONFIG).write_text("embedded: true")
    again = reproduce(verdict("ROLLBACK"), Config().with_data_dir(tmp_path))
    assert again.endswith(f" --config {tmp_path / CONFIG}")
