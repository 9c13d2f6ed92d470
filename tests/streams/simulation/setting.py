"""What all schedules have in common, and what each draws for itself."""

from __future__ import annotations

import random

from schemas.config import Config, RawEvents
from schemas.spec import load_specs

BEGIN_US = 1_790_000_000_000_000
BLOCK = 16
SECONDS = 60
"""Of simulated time in which events come and things go wrong."""
STATE_CHUNK_BYTES = 700
"""So small that a state has several."""
SAMPLE, SAMPLED_SEEDS = 0.5, 3
"""Of the events, for the analysts, in every third schedule."""
EVENTS, DELTAS, CONTROL, STATE = "davy.events", "davy.deltas", "davy.control", "davy.state"
WINDOWS, VERDICTS, DEAD = "davy.windows", "davy.verdicts", "davy.deadletters"
DECISIONS, PROBES = "davy.decisions", "davy.probes"
EVENTS_ID = "id-" + EVENTS
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


def config_of(rng: random.Random, seed: int) -> Config:
    """One or two delta partitions, and in every other schedule so few slots for arms that a flood of versions fills them."""
    config = Config(raw_events=RawEvents(sample=SAMPLE if seed % SAMPLED_SEEDS == 1 else 0))
    limits = {
        "block_records": BLOCK, "delta_partitions": rng.choice((1, 1, 2)), "gap_timeout_us": 8_000_000,
        "arms_per_service": rng.choice((500, 500, 3, 2)), "keys_per_block": rng.choice((10_000, 10_000, 5)),
    }  # fmt: skip
    return config.model_copy(update={"limits": config.limits.model_copy(update=limits)})
