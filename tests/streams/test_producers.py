"""A final verdict that hangs on one instance is INVALID until a person resumes; where none are told apart it stands."""

from __future__ import annotations

import random

import pytest

from schemas.config import parse_config
from schemas.control import Command, Control, SpecApplied, WeightApplied, WeightIntent
from schemas.delta import Cell, Cells, ControlCopy, Progress
from schemas.verdict import Verdict
from streams import checkpoint
from streams.judge import Judge
from streams.judge_settings import JudgeSettings
from tests.streams.cells import packed_cells

BEGIN_US, WINDOW_US = 1_790_000_000_000_000, 5_000_000
SPEC = """\
apiVersion: davy/v1
kind: Experiment
id: e
service: s
environment: p
variants: {{control: {{version: '1'}}, canary: {{version: '2'}}}}
randomization: request
slis: [{{name: errors, type: error_ratio, max_increase: 0.5pp}}]
policy: {{min_duration: 1m, min_requests: 100}}
steps: [{{weight: {weight:g}%, duration: 2m}}]
"""


def cell(version: str, window: int, pod: str, rows: int, errors: int) -> Cell:
    return Cell(
        "e", "s", "p", version, None, (pod,), BEGIN_US + window * WINDOW_US, rows, rows, errors, 0, 0, 0, rows << 20,
        errors << 20, 1 << 20, 1 << 20, 0, b"", b"", b"", (),
    )  # fmt: skip


class Rollout:
    """A judge that hears of pods."""

    def __init__(self, dimension: str = "instance", share: float = 0.5) -> None:
        config = parse_config(f"dimensions: [{dimension}]", "davy.yaml", {})
        self.settings = JudgeSettings.of(config, 0, 1, {"t": "davy.events"})
        self.judge = Judge(self.settings)
        self.upto = self.controls = self.window = 0
        weights = {"control": 1 - share, "canary": share}
        spec = SPEC.format(weight=100 * share)
        for word in (SpecApplied(spec, "e.yaml", "x"), WeightIntent("i", 0, weights), WeightApplied("i", 0, weights)):
            self.control(word)

    def control(self, word: object) -> list[Verdict]:
        body = Control("e", BEGIN_US + self.window * WINDOW_US, "a", "b", word).encode()  # type: ignore[arg-type]
        self.controls += 1
        return verdicts(self.judge.step(ControlCopy(self.controls - 1, body, self.controls - 2)))

    def serve(self, rates: dict[str, float], windows: int, rng: random.Random, rows: int = 200) -> list[Verdict]:
        """So many windows of `rows` requests of every pod, which fails at its rate; c-* are control's."""
        said: list[Verdict] = []
        for _ in range(windows):
            cells = tuple(
                cell("1" if pod[0] == "c" else "2", self.window, pod, rows, sum(rng.random() < p for _ in range(rows)))
                for pod, p in rates.items()
            )
            self.upto += rows * len(rates)
            self.window += 1
            now = BEGIN_US + self.window * WINDOW_US
            said += verdicts(self.judge.step(packed_cells(Cells(self.settings.digest, "t", 0, 0, self.upto, cells))))
            said += verdicts(self.judge.step(Progress(
                self.settings.digest, "t", 0, 0, self.upto, self.upto, self.upto, 0, 0, 1, self.upto, now, now + WINDOW_US
            )))  # fmt: skip
        return said


def verdicts(outputs: list[object]) -> list[Verdict]:
    return [output for output in outputs if isinstance(output, Verdict)]


ONE_BAD = {"c-0": 0.005, "c-1": 0.005, "c-2": 0.005, "x-0": 0.005, "x-1": 0.3, "x-2": 0.005}


def test_one_bad_pod_makes_it_invalid_until_a_person_resumes_also_for_the_judge_that_takes_over() -> None:
    rollout, rng = Rollout(), random.Random(1)
    said = rollout.serve(ONE_BAD, 10, rng)
    assert "ROLLBACK" not in {verdict.action for verdict in said}
    last = said[-1]
    assert (last.action, last.conclusion) == ("HOLD", "INVALID")
    assert "the harm to errors hangs on one producer: instance x-1, 33.3 % of the requests of canary" in last.reason
    rollout.judge = checkpoint.load(checkpoint.dump(rollout.judge), rollout.settings, 2)
    assert rollout.serve(ONE_BAD, 1, rng)[-1].reason == last.reason
    resumed = rollout.control(Command("c", "resume"))  # nothing has changed
    assert resumed[-1].conclusion == "INVALID"
    all_bad = {pod: 0.005 if pod[0] == "c" else 0.1 for pod in ONE_BAD} | {"x-1": 0.1}
    rollout.control(Command("c", "pause"))
    rollout.serve(all_bad, 60, rng)
    final = rollout.control(Command("c", "resume"))
    assert final[-1].action == "ROLLBACK", final[-1].reason


@pytest.mark.parametrize(
    ("dimension", "rates"),
    [
        ("segment", ONE_BAD),
        ("instance", ONE_BAD | {"x-0": 0.2}),
        ("instance", {pod: rate for pod, rate in ONE_BAD.items() if pod not in ("c-2", "x-2")}),
    ],
    ids=["not told apart", "two are bad", "too few"],
)
def test_elsewhere_harm_is_harm(dimension: str, rates: dict[str, float]) -> None:
    said = Rollout(dimension).serve(rates, 10, random.Random(2))
    assert said[-1].action == "ROLLBACK"


def test_a_crowd_of_good_answers_from_one_producer_does_not_promote() -> None:
    rng = random.Random(3)
    rollout = Rollout(share=960 / 1020)
    said: list[Verdict] = []
    for _ in range(60):
        crowd = (cell("2", rollout.window, "x-load", 900, 1),)
        rollout.upto += 900
        rollout.judge.step(packed_cells(Cells(rollout.settings.digest, "t", 0, 0, rollout.upto, crowd)))
        said += rollout.serve({f"c-{i}": 0.02 for i in range(3)} | {f"x-{i}": 0.1 for i in range(3)}, 1, rng, 20)
    assert "PROMOTE" not in {verdict.action for verdict in said}
    assert said[-1].conclusion == "INVALID"
    assert (
        "that errors is safe hangs on one producer: instance x-load, 93.8 % of the requests of canary"
        in said[-1].reason
    )


def test_a_window_in_which_one_instance_failed_is_less_evidence_where_instances_are_told_apart() -> None:
    even = dict.fromkeys(ONE_BAD, 0.01)
    found: list[float] = []
    for dimension in ("segment", "instance"):
        rollout, rng = Rollout(dimension), random.Random(7)
        rollout.serve(even, 12, rng)
        rollout.serve(even | {"x-1": 0.3}, 1, rng)
        (said,) = [verdict for verdict in rollout.serve(even, 1, rng) if verdict.evidence][-1:]
        found.append(said.evidence[0].evidence)
        group = ("e", "s", "p")
        at = rollout.judge.windows.start(BEGIN_US) + 12 * WINDOW_US
        told = rollout.judge.windows.values_at(group, "instance", at)
        assert told == rollout.judge.windows.values(group, "instance", at, at + WINDOW_US).get(at, {})
        assert len(told) == (2 if dimension == "instance" else 0)
    assert found[1] < found[0]
