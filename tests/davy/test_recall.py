"""What the analysts' store has of verdicts comes back as it was said, from each engine."""

from __future__ import annotations

from dataclasses import replace

from davy import recall
from schemas.change import Carrier, ChangeEvent, Link
from schemas.config import Config
from schemas.verdict import Verdict
from streams.sinks import open_store
from streams.sinks.rows import of_control, of_verdict
from tests.streams.sinks import records
from tests.streams.sinks.conftest import config, server_url

__all__ = ["config", "server_url"]

CHANGE = ChangeEvent(
    "errors", records.BEGIN_US, records.BEGIN_US - 5_000_000, records.BEGIN_US + 5_000_000, 0.005, 0.02,
    (Carrier("segment", "eu", 0.9, 0.005, 0.05),), (Link(records.BEGIN_US, "annotation", "it's a deploy"),),
)  # fmt: skip


def watched(sequence: int, variant: str, change: ChangeEvent | None) -> Verdict:
    return replace(records.verdict(sequence, variant=variant), phase="watch", change=change)


def test_verdicts_come_back_as_they_were_said(config: Config) -> None:
    rollout = [records.verdict(0), records.verdict(1, "PROMOTE"), records.verdict(2, "HOLD", variant="bolder")]
    first, last = watched(3, "canary", CHANGE), watched(4, "canary", replace(CHANGE, kind="anomaly"))
    other, unchanged = watched(5, "bolder", CHANGE), watched(6, "canary", None)
    with open_store(config) as store:
        store.migrate([])
        for verdict in (*rollout, last, first, other, unchanged):
            for table, rows in of_verdict(verdict.encode()).items():
                store.insert(table, rows)
        for table, rows in of_control(records.applied().encode()).items():
            store.insert(table, rows)
    assert recall.verdicts(first.verdict_id, config) == [first]
    assert recall.verdicts(records.EXPERIMENT.id, config) == [rollout[2], rollout[1]], "of the rollout, the worst first"
    assert recall.watched(records.EXPERIMENT.id, config) == [other, last], "the latest with a change, of each candidate"
    assert recall.watched("it's another", config) == []
    spec = recall.spec_of(first, config)
    assert spec is not None
    assert spec.digest == records.EXPERIMENT.digest
