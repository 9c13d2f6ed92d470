"""`davy replay --verdict` of a HOLD for an error budget: the same again from a whole log, or what is missing."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from davy.commands.reproduce import SAME, UNKNOWN, reproduce
from schemas.budget import BudgetStatus
from schemas.config import Config
from schemas.control import Control, SpecApplied, WeightApplied
from schemas.delta import Cell, Cells, ControlCopy, Progress, encode_delta
from schemas.verdict import Verdict
from streams import deltas
from streams.judge import Judge
from streams.judge_settings import JudgeSettings
from streams.route import delta_partition
from streams.topics import ensure_topics, topic_names
from tests.support.kafka import KafkaBroker

WINDOW_US = 5_000_000
BEGIN_US = (time.time_ns() // 1000 - 200_000_000) // WINDOW_US * WINDOW_US
"""Lately, or the broker would delete what is kept for a week; windows begin at multiples of their length."""
SPEC = """\
id: e
service: s
environment: p
randomization: request
variants: {control: {version: '1'}, canary: {version: '2'}}
slis: [{name: errors, type: error_ratio, max_increase: 50%}]
error_budget: {objective: 99%, window: 1h, hold_below: 10%}
steps: [{weight: 50%, duration: 1m}, {weight: 60%, duration: 1h}]
"""


@pytest.fixture
def config(kafka: KafkaBroker, tmp_path: Path) -> Config:
    config = Config(kafka={"bootstrap.servers": kafka.bootstrap}, prefix=f"{tmp_path.name}.", data_dir=str(tmp_path))
    ensure_topics(config)
    return config


def log_of(settings: JudgeSettings) -> list[tuple[int, bytes]]:
    """Of a service that fails in nearly all of its requests, the canary on half of them: times and records."""
    applied = Control("e", BEGIN_US, "a", "b", SpecApplied(SPEC, "e.yaml", "x"))
    shifted = Control("e", BEGIN_US, "a", "b", WeightApplied("i", 0, {"control": 0.5, "canary": 0.5}))
    log = [(BEGIN_US, ControlCopy(0, applied.encode(), -1)), (BEGIN_US, ControlCopy(1, shifted.encode(), 0))]
    records: list[tuple[int, bytes]] = [(time, encode_delta(copy)) for time, copy in log]
    upto = 0
    for window in range(20):
        start = BEGIN_US + window * WINDOW_US
        cells = [
            Cell("e", "s", "p", version, None, (), start, 100, 100, 99, 0, 0, 0, 100 << 20, 99 << 20, 1 << 20, 1 << 20,
                 0, b"", b"", b"", ())
            for version in "12"
        ]  # fmt: skip
        upto += 200
        end = start + WINDOW_US
        progress = Progress(
            settings.digest, "t", 0, 0, upto, upto, upto, 0, 0, 1, upto, end, end + settings.lateness_us + WINDOW_US
        )
        records += [
            (end, encode_delta(Cells(settings.digest, "t", 0, 0, upto, tuple(cells)))),
            (end, encode_delta(progress)),
        ]
    return records


def shown(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def test_a_hold_for_an_error_budget(config: Config, kafka: KafkaBroker, capsys: pytest.CaptureFixture[str]) -> None:
    partitions = config.limits.delta_partitions
    place = delta_partition("s", "p", partitions)
    settings = JudgeSettings.of(config, place, partitions, topic_names(config))
    judge, producer, said = Judge(settings, epoch=7), Producer({"bootstrap.servers": kafka.bootstrap}), list[Verdict]()
    for at_us, record in log_of(settings):
        producer.produce(config.topic("deltas"), record, partition=place, timestamp=at_us // 1000)
        (delta,) = deltas.read([record])
        for output in judge.step(delta):
            said += [output] if isinstance(output, Verdict) else []
            if isinstance(output, BudgetStatus):
                producer.produce(config.topic("budgets"), output.encode(), output.key)
    held = next(verdict for verdict in said if "nothing goes on" in verdict.reason)
    assert held.action == "HOLD"
    for control in (record for _, record in log_of(settings)[:2]):
        (copy,) = deltas.read([control])
        assert isinstance(copy, ControlCopy)
        producer.produce(config.topic("control"), copy.payload)
    for verdict in said:
        producer.produce(config.topic("verdicts"), verdict.encode(), verdict.experiment_id)
    assert producer.flush(30) == 0

    assert reproduce(held.verdict_id, config) == SAME
    assert "HOLD, the same in every field" in capsys.readouterr().out

    gone, admin = TopicPartition(config.topic("deltas"), place, 11), AdminClient({"bootstrap.servers": kafka.bootstrap})
    admin.delete_records([gone])[gone].result(30)
    assert reproduce(held.verdict_id, config) == UNKNOWN
    lines, begin = capsys.readouterr().out.splitlines(), shown(BEGIN_US)
    assert lines[0] == f"{held.verdict_id} (HOLD) cannot be judged again:"
    assert lines[1].startswith(
        f"  the log now begins at its record 11 ({shown(BEGIN_US + 5 * WINDOW_US)}): it is kept for 7d"
    )
    assert lines[2:4] == [
        f"  before that: the spec of e, applied {begin}",
        f"  before that: its shifts of traffic, the latest {begin}",
    ]
    assert lines[4].startswith(
        f"  before that: the counts of the error budget errors-99-1h, which is counted since {begin}: "
    )
    assert reproduce(held.verdict_id, config, as_json=True) == UNKNOWN
    told = json.loads(capsys.readouterr().out)
    assert (told["same"], len(told["missing"])) == (False, 4)
