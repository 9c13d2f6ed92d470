"""A judge's state and epoch, on the embedded broker: what is saved comes back whole, and nobody has another's epoch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from schemas.config import Config, load_config
from schemas.delta import Claim, ControlCopy, decode_delta
from streams import judge_state, kafka
from streams.embedded import EmbeddedBroker
from streams.judge_settings import JudgeSettings
from streams.judge_state import JudgeState
from streams.outbox import Outbox
from streams.topics import ensure_topics

PARTITION = 1


@pytest.fixture
def config(tmp_path: Path, tansu: EmbeddedBroker) -> Config:
    path = tmp_path / "davy.yaml"
    path.write_text(f"kafka: {{bootstrap.servers: '{tansu.bootstrap}'}}\nembedded: true\ndata_dir: {tmp_path}\n")
    loaded = load_config(path)
    ensure_topics(loaded)
    return loaded


def state(config: Config, member: str) -> JudgeState:
    return JudgeState(config, Outbox(config), member)


def settings(config: Config) -> JudgeSettings:
    return JudgeSettings.of(config, PARTITION, config.limits.delta_partitions, {})


def test_a_state_in_several_chunks_comes_back_under_a_new_epoch(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judge_state, "STATE_CHUNK_BYTES", 10)
    first = state(config, "first")
    owned = first.restore(PARTITION, settings(config))
    assert (owned.next_offset, owned.generation) == (0, 0)
    owned.judge.step(ControlCopy(4, b"no control", -1))
    owned.next_offset = 7
    assert first.save(PARTITION, owned)
    first.outbox.flush(10)
    again = state(config, "second").restore(PARTITION, settings(config))
    assert (again.judge.control_offset, again.next_offset, again.generation) == (4, 7, 1)
    assert again.judge.epoch > owned.judge.epoch
    assert state(config, "second").restore(0, settings(config)).next_offset == 0, (
        "another partition has a state of its own"
    )


def test_judges_that_begin_at_once_have_epochs_of_their_own(config: Config) -> None:
    """Both read the same saved epoch; the log says who came later."""
    states = [state(config, f"judge-{number}") for number in range(3)]
    epochs = [each.restore(PARTITION, settings(config)).judge.epoch for each in states]
    assert epochs == [1, 2, 3]
    log = kafka.to_end(config, config.topic("deltas"), "test", PARTITION)
    claims = [decode_delta(message.value() or b"") for message in log]
    assert claims == [Claim(f"judge-{number}", 1) for number in range(3)]


def test_an_epoch_rises_even_where_the_log_was_made_anew(config: Config) -> None:
    outbox = Outbox(config)
    manifest = {"epoch": 1_000, "base": 1, "generation": 0, "chunks": 0, "layout": "of another time"}
    outbox.put(config.topic("state"), str(PARTITION).encode(), json.dumps(manifest).encode(), 0)
    outbox.flush(10)
    owned = state(config, "judge").restore(PARTITION, settings(config))
    assert (owned.judge.epoch, owned.base, owned.claim) == (1_001, 1_001, 0)


def test_a_state_that_is_not_whole_is_not_used(config: Config) -> None:
    first = state(config, "first")
    owned = first.restore(PARTITION, settings(config))
    owned.next_offset = 7
    assert first.save(PARTITION, owned)
    first.outbox.put(config.topic("state"), f"{PARTITION}/{owned.generation % 2}/0".encode(), b"another's", 0)
    first.outbox.flush(10)
    assert state(config, "second").restore(PARTITION, settings(config)).next_offset == 0
