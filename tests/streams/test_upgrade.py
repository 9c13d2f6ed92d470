"""A new build takes over from an older one, under load: process by process, where what counts mean has stayed; all at once,
in a new generation of the delta log, where it has not."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from davy.commands.apply import applied, send
from davy.commands.reproduce import content
from schemas import __version__
from schemas.config import Config
from schemas.spec import load_specs
from schemas.verdict import Verdict
from streams.layout import AGGREGATE_VERSION
from tests.streams.builds import OTHER, build, older
from tests.streams.chaos import DAVY, Chaos
from tests.streams.chaos_recount import read
from tests.streams.chaos_recovery import shares
from tests.support.system import until

SEED, WAIT_S, WORK_S = 17, 150, 3.0
REFUSED = 2
SPEC = """\
apiVersion: davy/v1
kind: Experiment
id: {name}
service: cart
environment: test
variants: {{control: {{version: '1'}}, canary: {{version: '2'}}}}
randomization: request
slis: [{{name: errors, type: error_ratio, max_increase: 50%}}, {{name: mean, type: latency_mean, max_increase: 20%}}]
steps: [{{weight: 50%, duration: 1h}}]
"""


def verdicts(config: Config) -> list[Verdict]:
    return [Verdict.decode(message.value() or b"") for message in read(config, config.topic("verdicts"))]


def judged_by(config: Config, version: str) -> list[Verdict]:
    """Of experiments, by this version, not without data."""
    return [v for v in verdicts(config) if v.code_version == f"davy {version}" and v.conclusion != "NO_DATA"]


def shared_by(chaos: Chaos, workers: int) -> None:
    def shared() -> bool:
        found = shares(chaos.config)
        return len(found) == workers and sorted(p for its in found.values() for p in its) == [0, 1, 2, 3]

    until(shared, WAIT_S, f"{workers} workers shared all partitions")
    time.sleep(WORK_S)


def put_in_force(config: Config) -> None:
    specs = load_specs("\n---\n".join(SPEC.format(name=name) for name in ("e0", "e1")))
    send(config, [applied(spec, time.time_ns() // 1000, "ann", "upgrade") for spec in specs])


def davy(python: Sequence[str], *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *python, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def contents(found: Sequence[Verdict]) -> dict[tuple[str, str, int], dict[str, Any]]:
    """By what they are of and their number, then by code version; what names the build is left out. Raises where one build
    said two things under one number."""
    told: dict[tuple[str, str, int], dict[str, Any]] = defaultdict(dict)
    for verdict in found:
        said = {name: value for name, value in content(verdict).items() if name not in ("code_version", "verdict_id")}
        of = told[verdict.experiment_id, verdict.variant, verdict.sequence]
        assert of.setdefault(verdict.code_version, said) == said
    return told


def same_again(config: Path, python: Sequence[str], verdict: Verdict) -> None:
    """A judge that has seen no other build, on the same log."""
    done = davy(python, "replay", "--verdict", verdict.verdict_id, "--config", config)
    assert "the same in every field" in done.stdout, done.stdout + done.stderr


@pytest.mark.timeout(900)
@pytest.mark.usefixtures("alone")
def test_workers_and_judge_go_over_to_a_new_build_under_load(tmp_path: Path) -> None:
    with Chaos(tmp_path, SEED, python=older(), network=False, judge=older()) as chaos:
        put_in_force(chaos.config)
        shared_by(chaos, 2)
        until(lambda: len(verdicts(chaos.config)) > 4, WAIT_S, "the older build judged")
        old = {v.code_version for v in verdicts(chaos.config)}
        for worker in list(chaos.workers):
            assert worker.stop() == 0
            worker.build(DAVY)
            worker.start()
            shared_by(chaos, 2)
        assert chaos.judge.stop() == 0
        chaos.judge.build(DAVY)
        chaos.judge.start()
        until(lambda: bool(judged_by(chaos.config, __version__)), WAIT_S, "the new build judged")
        time.sleep(WORK_S)
        chaos.settle()
        found = chaos.check()  # the second group is still of the older build: whatever both told is compared
        said = verdicts(chaos.config)
        told = contents(said)
        for config, python, verdict in (
            (chaos.first, DAVY, judged_by(chaos.config, __version__)[-1]),
            (chaos.first, older(), next(v for v in said if v.code_version in old)),
        ):
            same_again(config, python, verdict)
        chaos.stop()
    assert found.wrong == []
    assert found.repeated > 0
    assert sum(ledger.produced for ledger in found.ledgers.values()) == chaos.load.produced
    assert old != {f"davy {__version__}"}
    both = [of for of in told.values() if len(of) == 2]
    assert both, "the new build's judge did not say again what the older one's had said"
    if OTHER is None:  # what evidence is made of it may have changed since another checkout; counts may not
        assert all(one == other for one, other in (of.values() for of in both))
    assert chaos.done["ended by itself"] == 0


@pytest.mark.timeout(900)
@pytest.mark.usefixtures("alone")
@pytest.mark.full
def test_where_counts_mean_something_else_a_new_generation_counts_all_of_it_again(tmp_path: Path) -> None:
    new = build("0.2.0", AGGREGATE_VERSION + 1)
    with Chaos(tmp_path, SEED, network=False, second_group=False) as chaos:
        put_in_force(chaos.config)
        shared_by(chaos, 2)
        until(lambda: bool(judged_by(chaos.config, __version__)), WAIT_S, "the older build judged")
        leaves, stays = chaos.workers
        assert leaves.stop() == 0
        leaves.build(new)
        leaves.start()
        until(lambda: not leaves.running, WAIT_S, "a worker of the new build gave up")
        assert "davy recount" in leaves.last_words()
        done = davy(new, "recount", "--yes", "--config", chaos.first)
        assert (done.returncode, "stop every ingest first" in done.stderr) == (REFUSED, True), done.stderr
        assert (stays.stop(), chaos.judge.stop()) == (0, 0)
        before = verdicts(chaos.config)
        assert davy(new, "recount", "--config", chaos.first).returncode == REFUSED
        assert davy(new, "recount", "--yes", "--config", chaos.first).returncode == 0
        for worker in (leaves, stays, chaos.judge):
            worker.build(new)
            worker.start()
        until(lambda: bool(judged_by(chaos.config, "0.2.0")), WAIT_S, "the new build judged")
        chaos.settle()
        found = chaos.check()
        after = judged_by(chaos.config, "0.2.0")
        same_again(chaos.first, new, after[-1])
        chaos.stop()
    assert found.wrong == []
    assert sum(ledger.produced for ledger in found.ledgers.values()) == chaos.load.produced
    assert min(v.epoch for v in after) > max(v.epoch for v in before), "readers would take them for superseded"
