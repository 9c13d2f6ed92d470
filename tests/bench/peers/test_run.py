"""Rounds become a table; the peers themselves count what the recount counts, on a real Kafka."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.peers.peer import Task, Windows, peers
from bench.peers.run import Figure, Topics, figure, keep, kept, table
from bench.peers.timed import Failed
from tests.support.kafka import KafkaBroker

FEW = 5_000


def test_the_table_has_medians_and_no_figure_for_a_failure(tmp_path: Path) -> None:
    bare = [Figure("bare", n, 10, 1000.0 * n, 1.0, 0.5, 1.0) for n in (1, 2, 3)]
    davy = [Figure("davy", n, 10, 900.0, 2.0 + n, 0.5, ratio) for n, ratio in ((1, 0.7), (2, 0.9), (3, 0.8))]
    slow = Figure("quix", 1, 10, 2.0, 400.0, 1.0, 0.0123)
    for found in (*bare, *davy, slow):
        keep(tmp_path / "kept.jsonl", found)
    figures = kept(tmp_path / "kept.jsonl")
    assert figures == [*bare, *davy, slow]
    lines = table([*figures, Figure("faust", 1, 10, 1.0, 1.0, 1.0, 1.0)], peers(), {"faust": "wrong: no"}).splitlines()[
        2:
    ]
    assert lines == [
        "| bare consumer | 10 | 2,000 | 1.00 | 1.00 to 1.00 | 1.00 | 0.5 |",
        "| Davy | 10 | 900 | 0.80 | 0.70 to 0.90 | 4.00 | 0.5 |",
        "| Faust | | no figure: wrong: no | | | | |",
        "| Quix Streams | 10 | 2 | 0.0123 | 0.0123 to 0.0123 | 400.00 | 1.0 |",
    ]


def test_every_file_is_a_peer() -> None:
    assert list(peers()) == ["bare", "davy", "faust", "flink", "kafka_streams", "quix"]


def _told(sentence: str) -> None:
    print(sentence)


@pytest.mark.parametrize("name", ["bare", "davy"])
def test_a_peer_has_a_figure(kafka: KafkaBroker, name: str) -> None:
    found = figure(Topics(kafka.bootstrap, _told, f"figure-{name}"), name, peers()[name], 1, FEW, 100_000.0)
    assert (found.peer, found.events, found.bare_ratio) == (name, FEW, found.rate / 100_000.0)
    assert found.rate > 0


@pytest.mark.full
@pytest.mark.parametrize("name", ["blocks", "faust", "flink", "kafka_streams", "quix"])
def test_other_peers_count_the_same(kafka: KafkaBroker, name: str) -> None:
    peers()[name].prepare()
    took = Topics(kafka.bootstrap, _told, f"full-{name}").measure(name, peers()[name], FEW)
    assert took.cpu_s > 0


def test_a_wrong_peer_is_not_timed(kafka: KafkaBroker) -> None:
    class Wrong(type(peers()["bare"])):
        def windows(self, task: Task) -> Windows | int:
            return FEW - 1

    with pytest.raises(Failed, match="it read 4,999 events, 5,000 were written"):
        Topics(kafka.bootstrap, _told, "wrong").measure("bare", Wrong(), FEW)
