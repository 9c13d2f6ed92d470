"""The recount: what the logs hold, in plain Python, against everything that was said of them."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from analyzers.arm import ArmWindow, PairWindow
from analyzers.sli import Plan
from analyzers.slis.error_ratio import SLI as ERROR_RATIO
from schemas.config import Config
from schemas.control import Control, WeightApplied, WeightIntent
from schemas.delta import Progress, Truncated, decode_delta
from schemas.verdict import Verdict
from schemas.window import WindowSummary
from streams.sampling import sampled
from streams.traffic import Traffic, share
from tests.streams.simulation.events import Events
from tests.streams.simulation.heard import Heard
from tests.streams.simulation.setting import CONTROL, DEAD, DELTAS, EVENTS, LOADED, VERDICTS, WINDOWS
from tests.streams.simulation.store import Store
from tests.support.simulated_kafka import SimBroker

TOLD = (b"progress", b"truncated")
Counts = Mapping[tuple[int, str], Counter[str]]
"""Rows by fate, and errors, by window and version."""


class Oracle:
    """Of one schedule that has ended."""

    def __init__(self, config: Config, broker: SimBroker, events: Events, store: Store, heard: Heard) -> None:
        self.limits = config.limits
        self.share = config.raw_events.sample
        self.broker = broker
        self.events = events
        self.store = store
        self.heard = heard
        self.verdicts = 0
        """Recounted."""

    def check(self, epochs: set[int]) -> None:
        """Everything; `epochs` are those of the judges at the end."""
        assert not self.heard.impure, self.heard.impure
        self._check_dead_letters()
        self._check_closings()
        expected = self._counts(self.events.ends)
        self._check_windows(expected)
        verdicts = [Verdict.decode(entry.value or b"") for _, _, entry in self.broker.records(VERDICTS)]
        self._check_verdicts(verdicts)
        self._check_readers(verdicts, epochs)
        self._check_store(expected, verdicts)

    def _counts(self, upto: Mapping[int, int]) -> Counts:
        """Of the offsets below `upto` of each partition, but for those that retention took first."""
        found: dict[tuple[int, str], Counter[str]] = defaultdict(Counter)
        for (topic, partition), rows in self.events.rows.items():
            gone = self.heard.lost[f"{topic}/{partition}"]
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
        dead = sum(row.fate == "dead" for rows in self.events.rows.values() for row in rows.values())
        if not any(self.heard.lost.values()) and not self.broker.survived.get("retention"):
            letters = {entry.value for _, _, entry in self.broker.records(DEAD)}
            assert bool(letters) == bool(dead)

    def _check_windows(self, expected: Counts) -> None:
        """The newest revision of each window is what a recount gives."""
        newest: dict[tuple[int, str], WindowSummary] = {}
        for _, _, entry in self.broker.records(WINDOWS):
            summary = WindowSummary.decode(entry.value or b"")
            key = (summary.start, summary.version)
            if key not in newest or summary.revision >= newest[key].revision:
                newest[key] = summary
        told = {
            key: Counter(counted=said.rows, errors=said.errors, late=said.late, quarantined=said.quarantined)
            for key, said in newest.items()
        }
        _same("davy.windows", told, expected)

    # -- verdicts ------------------------------------------------------------------------------------------------

    def _check_verdicts(self, verdicts: list[Verdict]) -> None:
        by_id: dict[str, dict[str, Any]] = {}
        by_sequence: dict[tuple[str, int], str] = {}
        for verdict in verdicts:
            content = {**verdict.to_avro(), "epoch": 0}
            held = by_id.get(verdict.verdict_id)
            if held is not None:
                differ = [(name, held[name], content[name]) for name in held if held[name] != content[name]]
                assert not differ, f"one id, two contents: {differ}"
                continue
            by_id[verdict.verdict_id] = content
            assert by_sequence.setdefault((verdict.variant, verdict.sequence), verdict.verdict_id) == verdict.verdict_id
            self._check_verdict(verdict)
            self.verdicts += 1

    def _check_verdict(self, verdict: Verdict) -> None:
        upto = {
            int(place.rpartition("/")[2]): end for place, end in verdict.offsets.items() if place.startswith(EVENTS)
        }
        assert not verdict.event_time or len(upto) >= self.events.partitions_at_first, (
            f"verdict {verdict.sequence} did not wait for all"
        )
        counts = self._counts(upto)
        traffic = self._traffic(verdict.offsets[CONTROL])
        plan = Plan(False, LOADED.policy.alpha, LOADED.policy.beta, 1, LOADED.steps[0].duration_us)
        state = ERROR_RATIO.start(LOADED.slis[0], plan)
        length_us = self.limits.window_us
        firsts = [window for window, version in counts if version != "__other__"]
        if traffic.first_applied_us is not None:
            firsts.append(traffic.first_applied_us // length_us * length_us)
        for start in range(min(firsts, default=0), verdict.event_time if firsts else 0, length_us):
            end, shift = start + length_us, traffic.at(start)
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

    def _check_readers(self, verdicts: list[Verdict], epochs: set[int]) -> None:
        """Who refuses an epoch lower than the highest seen misses nothing, and ends with a judge that is there."""
        highest, taken = 0, set[str]()
        for verdict in verdicts:
            if verdict.epoch >= highest:
                highest = verdict.epoch
                taken.add(verdict.verdict_id)
        assert taken == {verdict.verdict_id for verdict in verdicts}, (
            "a superseded judge said what its successor did not"
        )
        assert not verdicts or highest in epochs, f"epoch {highest} is nobody's of {epochs}"

    # -- the watermark -------------------------------------------------------------------------------------------

    def _check_closings(self) -> None:
        """Windows are closed only up to what every partition that was told of had reached by then, less lateness."""
        length_us = self.limits.window_us
        for d in range(self.limits.delta_partitions):
            ahead = self._progress(d)
            newest = next(delta for _, delta in ahead if isinstance(delta, Progress))
            assert newest.n_partitions == self.events.partitions, "nobody told the judge that the source has grown"
            told: dict[int, list[Progress | Truncated]] = defaultdict(list)
            for offset, closed in sorted((at, closed) for (p, at), closed in self.heard.closings.items() if p == d):
                while ahead and ahead[-1][0] <= offset:
                    delta = ahead.pop()[1]
                    told[delta.partition].append(delta)
                known = max(
                    delta.n_partitions for held in told.values() for delta in held if isinstance(delta, Progress)
                )
                assert len(told) >= known, f"at {d}/{offset} {known} partitions were known, {len(told)} heard of"
                reached = min(self._reached(partition, held) for partition, held in told.items())
                bound = (reached - self.limits.lateness_us) // length_us * length_us
                assert closed <= bound, f"at {d}/{offset} windows were closed up to {closed}, beyond {bound}"

    def _progress(self, d: int) -> list[tuple[int, Progress | Truncated]]:
        """What the delta log says of how far ingest is, the last first."""
        entries = [(offset, entry) for (_, p), offset, entry in self.broker.records(DELTAS) if p == d]
        deltas = [(offset, decode_delta(entry.value or b"")) for offset, entry in entries if entry.key in TOLD]
        return [(offset, delta) for offset, delta in reversed(deltas) if isinstance(delta, Progress | Truncated)]

    def _reached(self, partition: int, told: Sequence[Progress | Truncated]) -> int:
        """Event time up to which a partition's records speak: that of its rows, or, where all that was there at some moment
        is accounted for, that moment."""
        upto = max(delta.upto if isinstance(delta, Progress) else delta.end for delta in told)
        rows = self.events.rows[EVENTS, partition].items()
        times = [row.event_us for offset, row in rows if offset < upto and row.fate == "counted"]
        moments = [d.wall_time for d in told if isinstance(d, Progress) and d.high_watermark <= upto]
        return max([*times, *moments], default=0)

    # -- the analysts' store -------------------------------------------------------------------------------------

    def _check_store(self, expected: Counts, verdicts: list[Verdict]) -> None:
        """What analysts see is the recount, every verdict once, and every word of control."""
        told = {
            (row["start"], row["version"]): Counter(
                counted=row["rows"], errors=row["errors"], late=row["late"], quarantined=row["quarantined"]
            )
            for row in self.store.tables["windows"].values()
        }
        _same("the store", told, expected)
        newest: dict[str, int] = {}
        for verdict in verdicts:
            newest[verdict.verdict_id] = max(newest.get(verdict.verdict_id, 0), verdict.epoch)
        seen = {row["verdict_id"]: row["epoch"] for row in self.store.tables["verdicts"].values()}
        assert seen == newest, "the store does not hold every verdict under its newest epoch"
        assert {row["verdict_id"] for row in self.store.tables["evidence"].values()} == set(newest)
        words = {Control.decode(entry.value or b"").time for _, _, entry in self.broker.records(CONTROL)}
        assert {row["time"] for row in self.store.tables["changes"].values()} == words
        assert len(self.store.tables["experiments"]) == 1
        self._check_events()

    def _check_events(self) -> None:
        """Of the request events the sample's are there, as they were sent; those that retention took may be."""
        there = {(row["partition"], row["offset"]): row for row in self.store.tables["events"].values()}
        assert len(there) == len(self.store.tables["events"]), "an event is in the store twice"
        wanted = set[tuple[int, int]]()
        for (topic, partition), rows in self.events.rows.items():
            kept = sampled(topic, np.full(len(rows), partition), np.array(list(rows), np.int64), self.share)
            for (offset, row), is_kept in zip(rows.items(), kept.tolist(), strict=True):
                place = (partition, offset)
                if not is_kept or row.fate == "dead":
                    assert place not in there, f"the event {place} is not of the sample"
                    continue
                if offset >= self.broker.logs[topic, partition].low:
                    wanted.add(place)
                if place in there:
                    told = there[place]
                    said = told["timestamp"], told["status"] >= 500, told["fate"], told["sample_rate"]
                    assert said == (row.event_us, row.error, row.fate, self.share), f"the event {place} is {said}"
        assert wanted <= set(there), f"events {wanted - set(there)} of the sample are missing"


def _same(where: str, told: Mapping[tuple[int, str], Counter[str]], expected: Counts) -> None:
    assert set(told) == set(expected), f"{where}: windows {set(told) ^ set(expected)} are there or in the log, not both"
    for key, counts in expected.items():
        assert +told[key] == +counts, f"{where}: window {key} holds {dict(told[key])}, not {dict(counts)}"


def _arm(counts: Counter[str] | None) -> ArmWindow:
    if counts is None:
        return ArmWindow()
    n, errors = counts["counted"], counts["errors"]
    one = (1 << 20) if n else 0
    return ArmWindow(n, errors, counts["late"], counts["quarantined"], 0, n << 20, errors << 20, one, one)
