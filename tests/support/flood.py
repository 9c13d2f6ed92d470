"""`python -m tests.support.flood VERSIONS`: an experiment's traffic, with that many made-up versions of it in between, through
the whole of Davy's state: ingest, judge, what the console keeps, the sink's rows. One JSON line: verdict and memory.

Memory is what the process holds at most beyond what it held after the same traffic without the flood.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any, cast

import numpy as np

from davy.web.state import State
from schemas import codec
from schemas.config import Config, Input
from schemas.control import Control, SpecApplied
from schemas.delta import ControlCopy
from schemas.verdict import Verdict
from schemas.window import WindowSummary
from streams import deltas
from streams.deltas import Read
from streams.formats.avro import FORMAT
from streams.ingest import Ingest, Run, Send
from streams.judge import Judge
from streams.judge_settings import JudgeSettings
from streams.layout import Layout
from streams.packed import Packed
from streams.rows import LONGS
from streams.sinks import rows as sink_rows

SPEC = """\
apiVersion: davy/v1
kind: Experiment
id: sim
service: cart
environment: test
variants: {control: {version: '1'}, canary: {version: '2'}}
randomization: request
slis: [{name: errors, type: error_ratio, max_increase: 50%}]
policy: {min_duration: 1h, min_requests: 1000000, max_duration: 2h}
steps: [{weight: 50%, duration: 1h}]
"""
BEGIN_US = 1_790_000_000_000_000
PARTITIONS = 4
ROUND_US = 1_000_000
ROUNDS = 60
OWN_EACH = 400
"""Rows of the experiment's own arms in a round."""
MARK = b"#" * 32


def event(version: str, error: bool = False) -> bytes:
    nothing = ("segment", "unit_id", "instance", "endpoint", "error", "cpu_us", "memory_bytes", "measures", "variant")
    return codec.encode(
        "RequestEvent",
        dict.fromkeys(nothing) | {
            "timestamp": BEGIN_US, "service": "cart", "environment": "test", "version": version, "experiment_id": "sim",
            "status": 500 if error else 200, "duration_us": 1000, "sample_rate": 1.0,
        },
    )  # fmt: skip


class Pipeline:
    """Everything that keeps state, joined by function calls."""

    def __init__(self) -> None:
        self.config = Config()
        layout = Layout.of(self.config)
        count = self.config.limits.delta_partitions
        self.ingest = Ingest(layout)
        self.ingest.n_partitions["davy.events"] = PARTITIONS
        for partition in range(PARTITIONS):
            self.ingest.assigned(("davy.events", partition), "id", 0)
        topics = {"id": "davy.events"}
        self.judges = [Judge(JudgeSettings.of(self.config, d, count, topics)) for d in range(count)]
        self.console = State()
        self.decoder = FORMAT.decoder(self.config, "davy.events", Input())
        self.verdict: Verdict | None = None
        self.windows = 0
        applied = Control("sim", BEGIN_US, "test", "", SpecApplied(SPEC, "sim.yaml", "x"))
        self.console.take(applied)
        for judge in self.judges:
            judge.step(ControlCopy(0, applied.encode()))

    def round(self, number: int, values: list[bytes]) -> None:
        """A second's records, spread over the partitions."""
        now_us = BEGIN_US + number * ROUND_US
        for partition in range(PARTITIONS):
            part = values[partition::PARTITIONS]
            decoded = self.decoder.decode(Packed.of(part))
            source = ("davy.events", partition)
            times = np.full(len(part), now_us)
            decoded.rows.longs[LONGS.index("timestamp")] = now_us
            run = Run(
                source, self.ingest.position(source), times, decoded.rows, 0, decoded.index, np.empty(0, np.int64)
            )
            self.out(self.ingest.records(run, now_us))
        self.out(self.ingest.tick(now_us))

    def out(self, outputs: Any) -> None:
        for output in outputs:
            if isinstance(output, Send):
                self.ingest.delivered(output.token, False)
                (delta,) = deltas.read([output.value])
                for said in self.judges[output.partition].step(cast(Read, delta)):
                    self.said(said)

    def said(self, output: object) -> None:
        if isinstance(output, WindowSummary):
            self.windows += 1
            sink_rows.of_window(output.encode())
            self.console.take(output)
        elif isinstance(output, Verdict):
            sink_rows.of_verdict(output.encode())
            self.console.take(output)
            self.verdict = output


def traffic(pipeline: Pipeline, versions: int) -> None:
    """The experiment's own rows are the same, whatever comes in between."""
    own, made_up = random.Random(1), random.Random(2)
    arms = [event(version, error) for version in "12" for error in (False, True)]
    template = event(MARK.decode())
    for number in range(ROUNDS):
        values = [own.choice(arms) for _ in range(OWN_EACH)]
        flood = [template.replace(MARK, b"%032x" % made_up.getrandbits(128)) for _ in range(versions // ROUNDS)]
        step = max(1, len(flood) // OWN_EACH)
        mixed: list[bytes] = []
        for i, value in enumerate(values):
            mixed += [value, *flood[i * step : (i + 1) * step]]
        pipeline.round(number, mixed + flood[OWN_EACH * step :])


def memory_bytes(what: str) -> int:
    """VmRSS, or VmHWM, the most it ever was."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(what))


def main() -> None:
    versions = int(sys.argv[1])
    quiet = Pipeline()
    traffic(quiet, 0)
    before = memory_bytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", "ascii")  # VmHWM begins anew
    flooded = Pipeline()
    traffic(flooded, versions)
    assert quiet.verdict is not None
    assert flooded.verdict is not None
    kept = [len(pipeline.console.windows.of("sim")) for pipeline in (quiet, flooded)]
    print(json.dumps({
        "memory_bytes": memory_bytes("VmHWM") - before, "windows": flooded.windows,
        "quiet": quiet.verdict.to_json(), "flooded": flooded.verdict.to_json(), "console": kept,
        "other": sum(judge.windows.counted["other"] for judge in flooded.judges),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
