"""Ingest, judge and sink as they run, on a simulated Kafka, clock and store, under seeded faults, against a recount.

`World` runs one schedule; `Events` is what comes in, `Processes` who works, `Faults` what goes wrong, `Store` where the sink
writes. The oracle counts the log with plain Python: every verdict at its own offsets, every closing of windows against the
delta log before it, every window after the faults are over, in its topic and in the store.
"""

from tests.streams.simulation.faults import RATES
from tests.streams.simulation.world import World

__all__ = ["RATES", "World"]
