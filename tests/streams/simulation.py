"""Ingest and judge as they run, on a simulated Kafka and clock, under a seeded schedule of faults, against a recount.

The oracle counts the log with plain Python: every verdict at its own offsets, every window after the faults are over.
"""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from analyzers.arm import ArmWindow, PairWindow
from analyzers.sli import Plan
from analyzers.slis.error_ratio import SLI as ERROR_RATIO
from schemas import codec
from schemas.config import Config
from schemas.control import Command, Control, SpecApplied, WeightApplied, WeightIntent
from schemas.errors import InfrastructureError
from schemas.spec import load_specs
from schemas.verdict import Verdict
from schemas.window import WindowSummary
from streams import ingest_loop, judge_loop, reader
from streams.clock import Clock
from streams.ingest_loop import IngestLoop
from streams.judge import Alarm, Judge
from streams.judge_loop import JudgeLoop
from streams.traffic import Traffic, share
from tests.support.simulated_kafka import Crash, Place, SimBroker, SimConsumer, SimProducer

BEGIN_US = 1_790_000_000_000_000
BLOCK = 16
SECONDS = 60
"""Of simulated time in which events come and things go wrong."""
EVENTS, DELTAS, CONTROL, STATE = "davy.events", "davy.deltas", "davy.control", "davy.state"
READ_BATCHES_MAX = 2
SPEC = """\
apiVersion: davy/v1
kind: Experiment
id: sim
service: cart
environment: test
variants: {control: {version: '1'}, canary: {version: '2'}}
randomization: request
slis: [{name: errors, type: error_ratio, max_increase: 50%}]
policy: {alpha: 0.0001, beta: 0.0001, min_duration: 1h, min_requests: 1000000, max_duration: 2h}
steps: [{weight: 50%, duration: 1h}]
"""
(LOADED,) = load_specs(SPEC)
FAULTS = {
    "crash": 0.004, "hole": 0.02, "not delivered": 0.004, "acknowledgement lost": 0.004, "rebalance": 0.01, "freeze": 0.01,
    "delta lost": 0.001, "delta repeated": 0.02, "partition added": 0.002, "retention": 0.002, "state lost": 0.002,
}  # fmt: skip
"""Odds of each fault per chance that it has."""


@dataclass(frozen=True, slots=True)
class Row:
    """What was produced at one offset, as the oracle sees it; `fate` is counted, late, quarantined or dead."""

    version: str
    window: int
    error: bool
    fate: str


@dataclass(slots=True)
class Process:
    """One process: its loop, or None while it is down; frozen ones stand still until that time."""

    role: str
    loop: IngestLoop | JudgeLoop | None = None
    producer: SimProducer | None = None
    consumers: list[SimConsumer] = field(default_factory=list[SimConsumer])
    frozen_until: float = 0.0


class World:
    """One schedule."""

    def __init__(self, seed: int, faults: dict[str, float] | None = None) -> None:
        self.random = random.Random(seed)
        self.seconds = 0.0
        self.broker = SimBroker(seed + 1, lambda: self.now_us // 1000)
        self.faults = FAULTS if faults is None else faults
        self.config = _config(self.random)
        self.window_us = self.config.limits.window_us
        self.rows: dict[Place, dict[int, Row]] = defaultdict(dict)
        self.lost: dict[str, list[tuple[int, int]]] = defaultdict(list)
        """Ranges that retention took, by "topic/partition", as the judge says them."""
        self.repaired: set[tuple[int, int]] = set()
        """Partitions and blocks whose counts did not come by themselves."""
        self.impure: list[str] = []
        self.creating: Process | None = None
        self.processes = [Process("ingest") for _ in range(self.random.choice((1, 2, 2)))]
        self.processes += [Process("judge") for _ in range(self.random.choice((1, 1, 2)))]
        self.partitions = self.partitions_at_first = self.random.choice((1, 2, 3))
        self.broker.create(EVENTS, self.partitions)
        self.broker.create(DELTAS, self.config.limits.delta_partitions)
        for topic in (CONTROL, STATE, "davy.windows", "davy.verdicts", "davy.deadletters"):
            self.broker.create(topic, 1)

    @property
    def now_us(self) -> int:
        return BEGIN_US + round(self.seconds * 1e6)

    # -- the schedule --------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Faults for a minute, then none until everything is counted; checks at the end."""
        with self._in_place():
            self._say(SpecApplied(SPEC, "sim.yaml", "x"))
            self.broker.rates = self.faults
            while self.seconds < SECONDS:
                self._step()
            self.broker.rates = {}
            self._settle()
        self._check()

    def _step(self) -> None:
        self.seconds += self.random.uniform(0.0, 0.25)
        for _ in range(self.random.randrange(3)):
            self._event()
        process = self.random.choice(self.processes)
        if self.broker.happens("freeze"):
            process.frozen_until = self.seconds + self.random.uniform(1, 15)
            self._lose_session(process)
        self._advance(process)
        producer = self.random.choice(self.processes).producer
        if producer is not None:
            producer.deliver(self.random.choice((1, 5, 50)))
        if self.broker.happens("rebalance"):
            self.broker.rebalance(self.random.choice(("davy.ingest", "davy.judge")))
        if self.broker.happens("delta lost"):
            self._lose_a_delta()
        if self.broker.happens("delta repeated"):
            self._repeat_a_delta()
        if self.broker.happens("partition added"):
            self.partitions += 1
            self.broker.create(EVENTS, self.partitions)
        if self.broker.happens("retention"):
            self._retain(self.random.randrange(self.partitions))
        if self.broker.happens("state lost"):
            self.broker.logs[STATE, 0].entries.clear()
        if self.random.random() < 0.01:
            self._person()

    def _advance(self, process: Process) -> None:
        """One step of one process; whatever it has queued when it is killed may or may not be in the log."""
        if process.frozen_until > self.seconds:
            return
        try:
            if process.loop is None:
                self._start(process)
            elif isinstance(process.loop, IngestLoop):
                self._advance_ingest(process.loop)
            else:
                process.loop.once()
        except (Crash, InfrastructureError):
            self._kill(process)

    def _advance_ingest(self, loop: IngestLoop) -> None:
        if self.random.random() < 0.5 and len(loop.reader.items) < READ_BATCHES_MAX:
            loop.reader.once()
        else:
            loop.once()

    def _start(self, process: Process) -> None:
        self.creating = process
        process.consumers, process.producer = [], None
        try:
            if process.role == "ingest":
                loop = IngestLoop(self.config)
                loop.refresh_partitions()
                loop.reader.begin()
            else:
                loop = JudgeLoop(self.config)
                loop.begin()
        finally:
            self.creating = None
        process.loop = loop

    def _kill(self, process: Process) -> None:
        if process.producer is not None:
            for _ in range(self.random.randrange(4)):
                process.producer.deliver(self.random.choice((1, 5)))
        process.loop = process.producer = None
        for consumer in process.consumers:
            self.broker.leave(consumer)

    def _lose_session(self, process: Process) -> None:
        """The group gives its partitions to others, and it does not know: a zombie, once it wakes up."""
        for consumer in process.consumers:
            group = self.broker.group(consumer.group_id)
            if len(group.members) > 1 and consumer in group.members:
                others = [member for member in group.members if member is not consumer]
                for place, owner in list(group.owners.items()):
                    if owner is consumer:
                        group.owners[place] = self.random.choice(others)

    def _retain(self, partition: int) -> None:
        """Retention takes the beginning of a partition that was heard of: what was gone before Davy came is no loss."""
        judges = [process.loop for process in self.processes if isinstance(process.loop, JudgeLoop)]
        heard = [("id-" + EVENTS, partition) in o.judge.fold.sources for loop in judges for o in loop.owned.values()]
        if heard and all(heard):
            log = self.broker.logs[EVENTS, partition]
            log.low = self.random.randint(log.low, log.end)

    def _lose_a_delta(self) -> None:
        place = (DELTAS, self.random.randrange(self.config.limits.delta_partitions))
        log = self.broker.logs[place]
        unread = log.end - self.random.randrange(1, 4)
        entry = log.entries[unread] if unread >= 0 else None
        if entry is not None and entry.key != b"control" and self._nobody_read(place, unread):
            log.entries[unread] = None  # a lost control record cannot be noticed

    def _nobody_read(self, place: Place, offset: int) -> bool:
        """A record that one judge has and another will never see would make two histories; a broker that loses a record
        after it was read does that, and is told of by the epoch."""
        consumers = [consumer for process in self.processes for consumer in process.consumers]
        return all(consumer.positions.get(place, 0) <= offset for consumer in consumers)

    def _repeat_a_delta(self) -> None:
        place = (DELTAS, self.random.randrange(self.config.limits.delta_partitions))
        entries = [entry for entry in self.broker.logs[place].entries if entry is not None and entry.key != b"control"]
        if entries:
            entry = self.random.choice(entries)
            self.broker.append(place, entry.key, entry.value)

    # -- what comes in -------------------------------------------------------------------------------------------

    def _event(self) -> None:
        place = (EVENTS, self.random.randrange(self.partitions))
        kind = self.random.random()
        if kind < 0.03:
            self.broker.logs[place].entries.append(None)
            return
        if kind < 0.06:
            offset = self.broker.append(place, None, self.random.choice((b"", b"junk", b"\xc3\x01" + b"x" * 20)))
            self.rows[place][offset] = Row("", 0, False, "dead")
            return
        delay = self.random.choice((0.0, 0.5, 1.0, 2.0, 4.0, 7.0, 30.0, -2.0, -90.0))
        event_us = self.now_us - round(delay * 1e6)
        version, error = self.random.choice("12"), self.random.random() < 0.2
        offset = self.broker.append(place, None, _event(event_us, version, error))
        arrival_us = self.now_us // 1000 * 1000
        fate = "counted"
        if event_us > arrival_us + self.config.limits.future_us:
            fate = "quarantined"
        elif event_us < arrival_us - self.config.limits.lateness_us:
            fate = "late"
        time_us = event_us if fate == "counted" else arrival_us
        self.rows[place][offset] = Row(version, time_us // self.window_us * self.window_us, error, fate)

    def _person(self) -> None:
        number = self.broker.logs[CONTROL, 0].end
        if self.random.random() < 0.5:
            self._say(Command(f"c{number}", self.random.choice(("pause", "resume"))))
            return
        weights = {"canary": 0.5, "control": 0.5}
        self._say(WeightIntent(f"i{number}", 0, weights))
        if self.random.random() < 0.8:
            self.seconds += self.random.uniform(0, 2)
            self._say(WeightApplied(f"i{number}", 0, weights))

    def _say(self, body: Any) -> None:
        self.broker.append((CONTROL, 0), b"sim", Control("sim", self.now_us, "sim", "because", body).encode())

    # -- the end -------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """No more faults: everyone is up and works until all is counted."""
        for process in self.processes:
            process.frozen_until = 0.0
        for name in ("davy.ingest", "davy.judge"):
            self.broker.rebalance(name)
        for _ in range(400):
            self.seconds += 0.5
            for process in self.processes:
                for _ in range(2):
                    self._advance(process)
                while process.producer is not None and any(process.producer.waiting.values()):
                    process.producer.deliver(1000)
            if self.seconds > SECONDS + 40:
                self._repair()
            if self.seconds > SECONDS + 60 and self._counted():
                return
        raise AssertionError(f"not all was counted: {self._frontiers()} of {self._ends()}")

    def _repair(self) -> None:
        """What `davy repair` does, where a judge still asks for it once everyone is up."""
        asked = {(p, block) for judge in self._judges() for (_, p), block in judge.stuck.items()}
        for partition, block in sorted(asked - self.repaired):
            process, source, end = Process("repair"), (EVENTS, partition), self.broker.logs[EVENTS, partition].end
            self.creating = process
            loop = IngestLoop(self.config, {source: block * BLOCK})
            self.creating = None
            loop.refresh_partitions()
            loop.reader.begin()
            while loop.ingest.position(source) < end:
                loop.reader.once()
                loop.once()
            loop.finish()
        self.repaired |= asked

    def _judges(self) -> Iterator[Judge]:
        for process in self.processes:
            if isinstance(process.loop, JudgeLoop):
                for partition, owned in process.loop.owned.items():
                    if process.consumers and (DELTAS, partition) in process.consumers[0].held:
                        yield owned.judge

    def _frontiers(self) -> list[dict[int, int]]:
        return [{p: source.frontier for (_, p), source in judge.fold.sources.items()} for judge in self._judges()]

    def _ends(self) -> dict[int, int]:
        return {p: self.broker.logs[EVENTS, p].end for p in range(self.partitions)}

    def _counted(self) -> bool:
        ends, frontiers = self._ends(), self._frontiers()
        whole = len(frontiers) == self.config.limits.delta_partitions
        return whole and all(f.get(p, -1) >= end for f in frontiers for p, end in ends.items())

    # -- the oracle ----------------------------------------------------------------------------------------------

    def _check(self) -> None:
        assert not self.impure, self.impure
        assert not self.repaired or "delta lost" in self.broker.survived, "counts were missing that nobody had lost"
        self._check_dead_letters()
        self._check_windows()
        self._check_verdicts()

    def _counts(self, upto: dict[int, int]) -> dict[tuple[int, str], Counter[str]]:
        """Rows by fate, and errors, per window and version, of the offsets below `upto` of each partition."""
        found: dict[tuple[int, str], Counter[str]] = defaultdict(Counter)
        for (topic, partition), rows in self.rows.items():
            gone = self.lost[f"{topic}/{partition}"]
            for offset, row in rows.items():
                if offset >= upto.get(partition, 0) or row.fate == "dead":
                    continue
                if any(start <= offset < end for start, end in gone if start < upto[partition]):
                    continue
                counts = found[row.window, row.version]
                counts[row.fate] += 1
                counts["errors"] += row.fate == "counted" and row.error
        return found

    def _check_dead_letters(self) -> None:
        dead = sum(row.fate == "dead" for rows in self.rows.values() for row in rows.values())
        if not any(self.lost.values()) and not self.broker.survived.get("retention"):
            letters = {entry.value for _, _, entry in self.broker.records("davy.deadletters")}
            assert bool(letters) == bool(dead)

    def _check_windows(self) -> None:
        """The newest revision of each window is what a recount gives; it may lack only the last, open ones."""
        newest: dict[tuple[int, str], WindowSummary] = {}
        for _, _, entry in self.broker.records("davy.windows"):
            summary = WindowSummary.decode(entry.value or b"")
            key = (summary.start, summary.version)
            if key not in newest or summary.revision >= newest[key].revision:
                newest[key] = summary
        expected = self._counts(self._ends())
        assert set(newest) == set(expected)
        for key, counts in expected.items():
            said = newest[key]
            told = Counter(counted=said.rows, errors=said.errors, late=said.late, quarantined=said.quarantined)
            assert +told == +counts, f"window {key} holds {dict(told)}, not {dict(counts)}"

    def _check_verdicts(self) -> None:
        by_id: dict[str, dict[str, Any]] = {}
        by_sequence: dict[tuple[str, int], str] = {}
        checked = 0
        for _, _, entry in self.broker.records("davy.verdicts"):
            verdict = Verdict.decode(entry.value or b"")
            content = {**verdict.to_avro(), "epoch": 0}
            if verdict.verdict_id in by_id:
                held = by_id[verdict.verdict_id]
                assert held == content, (
                    f"one id, two contents: {[(k, held[k], content[k]) for k in held if held[k] != content[k]]}"
                )
                continue
            by_id[verdict.verdict_id] = content
            assert by_sequence.setdefault((verdict.variant, verdict.sequence), verdict.verdict_id) == verdict.verdict_id
            self._check_verdict(verdict)
            checked += 1
        self.verdicts = checked

    def _check_verdict(self, verdict: Verdict) -> None:
        upto = {
            int(place.rpartition("/")[2]): end for place, end in verdict.offsets.items() if place.startswith(EVENTS)
        }
        assert not verdict.event_time or len(upto) >= self.partitions_at_first, (
            f"verdict {verdict.sequence} did not wait for all"
        )
        counts = self._counts(upto)
        traffic = self._traffic(verdict.offsets[CONTROL])
        plan = Plan(False, LOADED.policy.alpha, LOADED.policy.beta, 1, LOADED.steps[0].duration_us)
        state = ERROR_RATIO.start(LOADED.slis[0], plan)
        firsts = [window for window, _ in counts]
        if traffic.first_applied_us is not None:
            firsts.append(traffic.first_applied_us // self.window_us * self.window_us)
        for start in range(min(firsts, default=0), verdict.event_time if firsts else 0, self.window_us):
            end, shift = start + self.window_us, traffic.at(start)
            weight = share(shift.weights, "canary", "control") if shift else None
            arms = [_arm(counts.get((start, version))) for version in "12"]
            steady = traffic.steady(start, end)
            state = ERROR_RATIO.step(state, PairWindow(start, end, *arms, weight, 0, steady, 0, 0))
        expected, (found,) = ERROR_RATIO.read(state), verdict.evidence
        for name in ("n_baseline", "n_candidate", "baseline", "candidate", "log_evidence"):
            told, right = getattr(found, name), getattr(expected, {"log_evidence": "log_harm"}.get(name, name))
            same = told == right or (
                None not in (told, right) and math.isclose(told, right, rel_tol=1e-4, abs_tol=1e-5)
            )
            assert same, (
                f"verdict {verdict.sequence} at {verdict.offsets}, {verdict.event_time}: {name} {told}, not {right}"
            )

    def _traffic(self, control_offset: int) -> Traffic:
        traffic = Traffic()
        for _, offset, entry in self.broker.records(CONTROL):
            if offset <= control_offset:
                control = Control.decode(entry.value or b"")
                if isinstance(control.body, WeightIntent):
                    traffic = traffic.intent(control.time, control.body)
                elif isinstance(control.body, WeightApplied):
                    traffic = traffic.applied(control.time, control.body)
        return traffic

    # -- in place of Kafka and the clock -------------------------------------------------------------------------

    def _consumer(self, config: Config, group: str, **more: Any) -> SimConsumer:
        consumer = SimConsumer(self.broker, group)
        if self.creating is not None and not group.endswith("-state"):
            self.creating.consumers.append(consumer)
        return consumer

    def _producer(self, config: Config, **more: Any) -> SimProducer:
        producer = SimProducer(self.broker, endless=more.get("message.timeout.ms") == 0)
        assert self.creating is not None
        self.creating.producer = producer
        return producer

    @contextmanager
    def _in_place(self) -> Generator[None]:
        step = Judge.step
        world = self

        def watched(judge: Judge, delta: Any) -> Any:
            outputs = step(judge, delta)
            if judge.settings.owns("cart", "test"):
                for output in outputs:
                    world.heard(output)
            return outputs

        clock = SimpleNamespace(monotonic=lambda: self.seconds, time_ns=lambda: self.now_us * 1000)
        with ExitStack() as stack:
            simulated = {
                "time": clock, "member": lambda config, role: {}, "topic_names": lambda config: {"id-" + EVENTS: EVENTS},
                "log": SimpleNamespace(info=_quiet, warning=_quiet, error=_quiet),
            }  # fmt: skip
            for module in (ingest_loop, judge_loop, reader):
                for name in simulated.keys() & vars(module).keys():
                    stack.enter_context(patch.object(module, name, simulated[name]))
            stack.enter_context(patch("streams.kafka.consumer", self._consumer))
            stack.enter_context(patch("streams.kafka.producer", self._producer))
            stack.enter_context(patch("streams.kafka.partitions", lambda config, topic: self.broker.partitions(topic)))
            stack.enter_context(patch.object(Clock, "now_us", lambda clock: self.now_us))
            stack.enter_context(patch.object(Judge, "step", watched))
            yield

    def heard(self, output: object) -> None:
        """What the experiment's judge says beside windows and verdicts."""
        match output:
            case Alarm(text) if "were lost before" in text:
                words = text.split()
                self.lost[words[5]].append((int(words[1]), int(words[3])))
            case Alarm(text) if "two contents" in text:
                self.impure.append(text)
            case _:
                pass


def _arm(counts: Counter[str] | None) -> ArmWindow:
    if counts is None:
        return ArmWindow()
    n, errors = counts["counted"], counts["errors"]
    one = (1 << 20) if n else 0
    return ArmWindow(n, errors, counts["late"], counts["quarantined"], 0, n << 20, errors << 20, one, one)


def _event(event_us: int, version: str, error: bool) -> bytes:
    nothing = ("segment", "unit_id", "instance", "endpoint", "error", "cpu_us", "memory_bytes", "measures", "variant")
    return codec.encode(
        "RequestEvent",
        dict.fromkeys(nothing) | {
            "timestamp": event_us, "service": "cart", "environment": "test", "version": version, "experiment_id": "sim",
            "status": 500 if error else 200, "duration_us": 1000, "sample_rate": 1.0,
        },
    )  # fmt: skip


def _config(rng: random.Random) -> Config:
    config = Config()
    limits = config.limits.model_copy(
        update={"block_records": BLOCK, "delta_partitions": rng.choice((1, 1, 2)), "gap_timeout_us": 8_000_000}
    )
    return config.model_copy(update={"limits": limits})


def _quiet(*_: object, **__: object) -> None:
    """No log."""
