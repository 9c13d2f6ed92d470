"""What goes wrong between the processes: in the groups, in the logs, with retention."""

from __future__ import annotations

import random
from collections.abc import Callable

from streams.judge_loop import JudgeLoop
from tests.streams.simulation.events import Events
from tests.streams.simulation.processes import Processes
from tests.streams.simulation.setting import DELTAS, EVENTS, EVENTS_ID, STATE
from tests.support.simulated_kafka import Entry, Place, SimBroker

RATES = {
    "crash": 0.004, "hole": 0.02, "not delivered": 0.004, "acknowledgement lost": 0.004, "rebalance": 0.01, "freeze": 0.01,
    "delta lost": 0.001, "delta repeated": 0.02, "control copy lost": 0.01, "control copy repeated": 0.01,
    "partition added": 0.002, "retention": 0.002, "state lost": 0.002, "store refuses": 0.02, "store answers late": 0.02,
}  # fmt: skip
"""Odds of each fault per chance that it has."""
GROUPS = ("davy.ingest", "davy.judge", "davy.sink")


class Faults:
    """Each has its chance once a step."""

    def __init__(self, rng: random.Random, broker: SimBroker, events: Events, processes: Processes) -> None:
        self.random = rng
        self.broker = broker
        self.events = events
        self.processes = processes
        self.groups = (*GROUPS, "davy.sink-events") if events.config.raw_events.sample else GROUPS
        self.table: dict[str, Callable[[], None]] = {
            "rebalance": lambda: broker.rebalance(rng.choice(self.groups)),
            "delta lost": lambda: self._lose(control=False),
            "control copy lost": lambda: self._lose(control=True),
            "delta repeated": lambda: self._repeat(control=False),
            "control copy repeated": lambda: self._repeat(control=True),
            "partition added": events.grow,
            "retention": self._retain,
            "state lost": self._lose_state,
        }

    def chance(self) -> None:
        """What happens now, happens."""
        for name, fault in self.table.items():
            if self.broker.happens(name):
                fault()

    def _lose_state(self) -> None:
        self.broker.logs[STATE, 0].entries.clear()

    def _retain(self) -> None:
        """Retention takes the beginning of a partition that was heard of: what was gone before Davy came is no loss."""
        partition = self.random.randrange(self.events.partitions)
        judges = [process.loop for process in self.processes.all if isinstance(process.loop, JudgeLoop)]
        heard = [(EVENTS_ID, partition) in o.judge.fold.sources for loop in judges for o in loop.owned.values()]
        if heard and all(heard):
            log = self.broker.logs[EVENTS, partition]
            log.low = self.random.randint(log.low, log.end)

    def _lose(self, control: bool) -> None:
        """The broker forgets a record of the delta log, though it was acknowledged; none that was read: one that a judge has
        and another will never see makes two histories, of which only the epoch tells."""
        place = self._delta_partition()
        entries, read = self.broker.logs[place].entries, self.broker.read.get(place, 0)
        unread = [
            offset for offset, entry in enumerate(entries[read:], read) if entry and _is_control(entry) is control
        ]
        if unread:
            entries[self.random.choice(unread)] = None

    def _repeat(self, control: bool) -> None:
        """An old record comes again, late."""
        place = self._delta_partition()
        entries = [entry for entry in self.broker.logs[place].entries if entry is not None and entry.key != b"claim"]
        entries = [entry for entry in entries if _is_control(entry) is control]
        if entries:
            entry = self.random.choice(entries)
            self.broker.append(place, entry.key, entry.value)

    def _delta_partition(self) -> Place:
        return DELTAS, self.random.choice(self.broker.partitions(DELTAS))


def _is_control(entry: Entry) -> bool:
    return entry.key == b"control"
