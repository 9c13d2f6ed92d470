"""The same engine over recorded events: no broker, no clock, the same verdicts on every run.

Rows are ordered by event time and given to the same aggregate, fold and judge as in service, a window at a time, as one
source partition whose offsets are the rows' places. Each window's progress carries the recorded time at which the window
would have closed. Weights follow the spec's steps on schedule from the experiment's first window on, or the shifts of a
recorded ledger.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.control import Control, SpecApplied, WeightApplied
from schemas.decision import Decision
from schemas.delta import ControlCopy, Progress, cells_head, join_cells
from schemas.frozen import frozen
from schemas.spec import ExperimentSpec
from schemas.verdict import Verdict
from streams import deltas
from streams.aggregate import OpenBlock
from streams.deltas import PackedCells
from streams.ingest import CELLS_PER_MESSAGE
from streams.judge import Judge, Output
from streams.judge_settings import JudgeSettings
from streams.layout import Layout
from streams.rows import Rows

Ints = npt.NDArray[np.int64]
OUTLIER_US = 24 * 3_600_000_000
"""Rows further than this outside the central 98 % of event times are quarantined: a broken clock must not close windows."""
SOURCE = "recorded"


@frozen()
class Recording:
    """Rows in order of event time; `times` int64 (n,) are their UTC microseconds, `outliers` how many were left out."""

    rows: pa.RecordBatch
    times: Ints
    outliers: int

    @classmethod
    def of(cls, table: pa.Table) -> Recording:
        """From a table in RequestEvent columns, in any order."""
        times = table.column("timestamp").cast(pa.int64()).to_numpy()
        kept = np.arange(len(times))
        if len(times):
            low, high = np.quantile(times, [0.01, 0.99])
            kept = np.flatnonzero((times >= low - OUTLIER_US) & (times <= high + OUTLIER_US))
        order = kept[np.argsort(times[kept], kind="stable")]
        rows = table.take(order).combine_chunks().to_batches()
        batch = rows[0] if rows else pa.RecordBatch.from_pylist([], schema=table.schema)
        return cls(batch, times[order], len(times) - len(kept))


def schedule(spec: ExperimentSpec, begin_us: int) -> list[Control]:
    """The spec's steps taken on time."""
    shifts: list[Control] = []
    for index, step in enumerate(spec.steps):
        shifts.append(_shift(spec.id, begin_us, index, weights_of(spec, step.weight)))
        begin_us += step.duration_us
    return shifts


def weights_of(spec: ExperimentSpec, weight: float) -> dict[str, float]:
    """Share per variant when every candidate has `weight`."""
    rest = {spec.control: 1.0 - weight * len(spec.candidates)} if spec.control in spec.variants else {}
    return rest | dict.fromkeys(spec.candidates, weight)


def ledger_shifts(spec: ExperimentSpec, decisions: Sequence[Decision]) -> list[Control]:
    """The shifts that a recorded ledger says were done."""
    return [
        _shift(spec.id, decision.time, decision.step or 0, decision.weights)
        for decision in sorted(decisions, key=lambda decision: decision.sequence)
        if decision.experiment_id == spec.id and decision.outcome == "DONE" and decision.weights
    ]


def _shift(experiment_id: str, time_us: int, step: int, weights: Mapping[str, float]) -> Control:
    return Control(experiment_id, time_us, "replay", "on schedule", WeightApplied(f"{time_us}-{step}", step, weights))


def replay(
    specs: Sequence[ExperimentSpec],
    recording: Recording,
    layout: Layout,
    settings: JudgeSettings,
    decisions: Sequence[Decision] = (),
) -> Iterator[Output]:
    """Everything the judge says of the recording, in order."""
    judge = Judge(replace(settings, watched_max=0))
    log = Log(recording, layout, settings)
    controls = _controls(specs, recording, settings.window_us, decisions)
    for offset, control in enumerate(controls[: len(specs)]):
        yield from judge.step(ControlCopy(offset, control.encode()))
    place = len(specs)
    for end in log.window_ends():
        while place < len(controls) and controls[place].time < end:
            yield from judge.step(ControlCopy(judge.control_offset + 1, controls[place].encode()))
            place += 1
        for delta in log.until(end):
            for output in judge.step(delta):
                yield output
                if isinstance(output, Verdict) and output.action == "PROMOTE":
                    everything = _shift(output.experiment_id, output.issued_at, output.step, {output.variant: 1.0})
                    yield from judge.step(ControlCopy(judge.control_offset + 1, everything.encode()))
        if not any(experiment.live for experiment in judge.experiments.values()):
            return


def _controls(
    specs: Sequence[ExperimentSpec], recording: Recording, window_us: int, decisions: Sequence[Decision]
) -> list[Control]:
    """Specs first, then every shift in order of time."""
    if not len(recording.times):
        return []
    begins = _first_windows(recording, window_us)
    begin = int(recording.times[0]) // window_us * window_us
    applied = [
        Control(spec.id, begin, "replay", "recorded", SpecApplied(spec.source, spec.path, spec.digest))
        for spec in specs
    ]
    shifts = [
        shift
        for spec in specs
        for shift in ledger_shifts(spec, decisions) or schedule(spec, begins.get(spec.id, begin))
    ]
    return applied + sorted(shifts, key=lambda shift: (shift.time, shift.experiment_id))


def _first_windows(recording: Recording, window_us: int) -> dict[str, int]:
    """Start of each experiment's first window; rows are in order of time, so its first row decides."""
    encoded = pc.dictionary_encode(recording.rows.column("experiment_id"))
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    known, first = np.unique(codes, return_index=True)
    names = encoded.dictionary.to_pylist()
    return {
        names[code]: int(recording.times[row]) // window_us * window_us
        for code, row in zip(known, first, strict=True)
        if code >= 0
    }


class Log:
    """The recording as deltas, block after block, window after window; what comes after it may follow piece by piece."""

    def __init__(self, recording: Recording, layout: Layout, settings: JudgeSettings) -> None:
        self.recording = recording
        self.rows = Rows.of(recording.rows, [name for name, _ in layout.measures])
        self.layout = layout
        self.settings = settings
        self.first = self.position = 0
        self.latest_us: int | None = None
        self.block = OpenBlock.start(layout)

    def go_on(self, recording: Recording) -> None:
        """With the rows after those that were read, which are not kept."""
        self.recording, self.first = recording, self.position
        self.rows = Rows.of(recording.rows, [name for name, _ in self.layout.measures])

    def window_ends(self) -> Iterator[int]:
        """Ends of all windows from the first row's to the last one's."""
        length = self.settings.window_us
        if len(self.recording.times):
            first, last = int(self.recording.times[0]) // length, int(self.recording.times[-1]) // length
            yield from range((first + 1) * length, (last + 2) * length, length)

    def until(self, end_us: int) -> Iterator[PackedCells | Progress]:
        """Deltas of the rows before `end_us` that were not yet given."""
        stop = self.first + int(np.searchsorted(self.recording.times, end_us))
        size = self.settings.block_records
        while self.position // size < stop // size:
            yield from self._read((self.position // size + 1) * size, stop, end_us - self.settings.window_us)
            self.block = OpenBlock.start(self.layout)
        yield from self._read(stop, stop, end_us)

    def _read(self, upto: int, stop: int, end_us: int) -> Iterator[PackedCells | Progress]:
        number = self.position // self.settings.block_records
        if upto > self.position:
            self.block.add(self.rows, None, np.arange(self.position - self.first, upto - self.first))
            self.latest_us = int(self.recording.times[upto - self.first - 1])
        self.position = upto
        where = (self.settings.digest, SOURCE, 0, number, upto)
        groups = list(self.block.changed_groups(CELLS_PER_MESSAGE))
        if groups:
            cells = sum(group.cells for group in groups), b"".join(group.body for group in groups)
            yield cast(PackedCells, deltas.read([join_cells(cells_head(*where), *cells)])[0])
        read = upto - number * self.settings.block_records
        rows = sum(self.block.rows_d)
        yield Progress(
            *where, rows_d=rows, read=read, dead=read - rows, empty_from=number, n_partitions=1,
            high_watermark=max(stop, upto), max_event_time=self.latest_us,
            wall_time=end_us + self.settings.lateness_us,
        )  # fmt: skip
