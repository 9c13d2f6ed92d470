"""One cell of the matrix: a fault comes while rollouts are in every state, stays, is healed; what was seen meanwhile."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from bench.failsafe.faults import Fault
from bench.failsafe.system import PARTITIONS, System
from bench.failsafe.traffic import SHIFTED, STILL, Traffic, spec
from bench.failsafe.watch import Watch, stored, weights
from davy.commands.apply import applied, send
from schemas.control import Command, Control
from schemas.spec import load_specs

HOLD_S = 30.0
PIPE_S = 4.0
"""From an event to the verdict that saw it, in peace: what was said just before a fault came holds for 30 s from then."""
FAULT_S = HOLD_S + PIPE_S + 2.0
RECOVERY_S = 90.0
PREPARE_S = 180.0
POLL_S = 0.25
FRESH_S = 12.0
STRUCK_S = 0.5
"""Between a command and the fault: its shift takes longer than that."""

COMMANDS = {"promoting": "promote", "rolling-back": "rollback", "aborting": "abort"}
KINDS = {"promote": "force promote", "rollback": "force rollback", "abort": "abort"}
ENDS = {"promoting": "promoted", "rolling-back": "rolled_back", "aborting": "aborted", "shifting": "baking"}
STAYS = {
    "baking": "baking",
    "queued": "queued",
    "paused": "paused",
    "promoted": "promoted",
    "rolled-back": "rolled_back",
    "aborted": "aborted",
}
SPLIT = {"baking": (256, 256), "paused": (256, 256), "promoted": (0, 256), "rolled-back": (256, 0), "aborted": (256, 0)}
ENDED = {"promoting": (0, 256), "rolling-back": (256, 0), "aborting": (256, 0), "shifting": (256, 256)}


@dataclass(slots=True)
class Seen:
    """What came of one cell. `held_s`: from the fault to the first HOLD, None where verdicts went on from fresh events."""

    faults: tuple[Fault, ...]
    struck: str
    held_s: float | None = None
    stale_s: float = 0.0
    """The oldest events behind a word that did not hold."""
    recovery_s: float = 0.0
    promotions: int = 0
    rollbacks: int = 0
    on: str = field(default_factory=lambda: f"{datetime.now(UTC):%Y-%m-%d}")
    """The day."""
    wrong: list[str] = field(default_factory=list[str])


class Matrix:
    """A system in which cells are run one after the other."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.watch = Watch(system.config)
        self.traffic = Traffic(system.kafka.bootstrap, system.registry.url, system.config.topic("events"), PARTITIONS)
        self.round = 0

    def begin(self) -> None:
        """Rollouts that stay as they are, and traffic."""
        self.watch.start()
        self.traffic.start()
        self.traffic.send("baking", "baking")
        self.traffic.send("paused", "paused")
        for name in ("baking", *STILL):
            self.apply(name)
        self.wait(
            lambda: all(self.watch.state(name) == "baking" for name in ("baking", *STILL)), "the first rollouts began"
        )
        self.apply("queued")
        for name, command in (
            ("paused", "pause"),
            ("promoted", "promote"),
            ("rolled-back", "rollback"),
            ("aborted", "abort"),
        ):
            self.command(name, command)
        self.wait(
            lambda: all(self.watch.state(name) == state for name, state in STAYS.items()), "every state was reached"
        )
        self.wait(lambda: not self.watch.holds("baking"), "there were verdicts")

    def end(self) -> None:
        """After the last cell."""
        self.traffic.stop()
        self.watch.end()

    def run(self, faults: Sequence[Fault], fault_s: float = FAULT_S) -> Seen:
        """One cell, the fault for so long."""
        self.round += 1
        trap, seen = f"trap-{self.round}", Seen(tuple(faults), SHIFTED[self.round % len(SHIFTED)])
        begun = self._prepare(trap)
        self._command(seen.struck)
        time.sleep(STRUCK_S)
        broker = any(fault.part == "broker" for fault in faults)
        others = [name for name in SHIFTED if name != seen.struck]
        if broker:
            self._others(others)
        self.traffic.renew()
        self.traffic.arms[trap].bad = True
        for fault in faults:
            fault.strike(self.system)
        struck = time.monotonic()
        if not broker:
            self._others(others)
        self._observe(seen, struck, fault_s)
        for fault in faults:
            fault.heal(self.system)
        self._recover(seen, trap)
        self._count(seen, trap, begun)
        with self.traffic.lock:
            del self.traffic.arms[trap]
        return seen

    # -- in order ------------------------------------------------------------------------------------------------------

    def _prepare(self, trap: str) -> dict[str, int]:
        """Everybody is at work; how often each command was done before."""
        for name in SHIFTED:
            self.apply(name)
        self.apply(trap)
        self.traffic.send(trap, "trap")
        self.traffic.prepare()
        self.wait(lambda: all(self.watch.state(name) == "baking" for name in (trap, *SHIFTED)), "rollouts began")
        self.wait(
            lambda: trap in self.watch.latest and self.watch.latest[trap].conclusion != "NO_DATA", "the trap was judged"
        )
        done = {name: self.watch.done(name, KINDS[command]) for name, command in COMMANDS.items()}
        return done | {"shifting": self.watch.done("shifting", "apply")}

    def _others(self, names: Sequence[str]) -> None:
        for name in names:
            self._command(name)
        self.apply(f"pending-{self.round}")

    def _command(self, name: str) -> None:
        if name == "shifting":
            self.apply(name, again=True)
        else:
            self.command(name, COMMANDS[name])

    def _observe(self, seen: Seen, struck: float, fault_s: float) -> None:
        """A word that does not hold rests on fresh events, or it holds within half a minute."""
        while (now := time.monotonic()) - struck < fault_s:
            if self.watch.holds("baking"):
                if seen.held_s is None:
                    seen.held_s = now - struck
            else:
                seen.stale_s = max(seen.stale_s, self.watch.age_s("baking"))
            if self.watch.state("baking") != "baking":
                seen.wrong.append(f"baking became {self.watch.state('baking')}")
                return
            time.sleep(POLL_S)
        if seen.stale_s > HOLD_S + PIPE_S:
            seen.wrong.append(f"a word that did not hold rested on events {seen.stale_s:.0f} s old")

    def _recover(self, seen: Seen, trap: str) -> None:
        healed = time.monotonic()
        left = self._left(trap)
        while left and time.monotonic() - healed < RECOVERY_S:
            time.sleep(POLL_S)
            left = self._left(trap)
        seen.recovery_s = time.monotonic() - healed
        seen.wrong += [f"{RECOVERY_S:g} s after it was healed: {line}" for line in left]

    def _left(self, trap: str) -> list[str]:
        """What is not yet as it should be."""
        left = [f"{role} is not ready: {why}" for role, why in self.system.ready().items() if why is not None]
        if self.watch.holds("baking") or self.watch.age_s("baking") > FRESH_S:
            verdict = self.watch.latest.get("baking")
            said = verdict and f"{verdict.action} {verdict.conclusion}: {verdict.reason}"
            left.append(f"no fresh word of baking ({said}, events {self.watch.age_s('baking'):.0f} s old)")
        for name, state in (STAYS | ENDS | {trap: "rolled_back", f"pending-{self.round}": "baking"}).items():
            if self.watch.state(name) != state:
                left.append(f"{name} is {self.watch.state(name)}, not {state}")
        for service, split in (SPLIT | ENDED | {"trap": (256, 0)}).items():
            found = weights(self.system.admin, service)
            if found is None or (found["control"], found["canary"]) != split:
                left.append(f"HAProxy says {found} of {service}, not {split}")
        age_s = stored(self.system.clickhouse.port, "baking")
        if age_s > FRESH_S:
            left.append(f"the newest window in ClickHouse is {age_s:.0f} s old")
        return left

    def _count(self, seen: Seen, trap: str, begun: dict[str, int]) -> None:
        with self.watch.lock:
            for name, said in self.watch.said.items():
                seen.promotions += "PROMOTE" in said
                seen.rollbacks += "ROLLBACK" in said and not name.startswith("trap-")
            for name, lines in self.watch.ledger.items():
                kinds = {line.kind for line in lines if line.outcome != "REFUSED"}
                seen.promotions += "promote" in kinds
                seen.rollbacks += "rollback" in kinds and not name.startswith("trap-")
        if self.watch.done(trap, "rollback") > 1:
            seen.wrong.append(f"{trap} was rolled back {self.watch.done(trap, 'rollback')} times")
        for name, command in (COMMANDS | {"shifting": "apply"}).items():
            times = self.watch.done(name, KINDS.get(command, command)) - begun[name]
            if times != 1:
                seen.wrong.append(f"{command} of {name} was done {times} times, not once")

    # -- tools ---------------------------------------------------------------------------------------------------------

    def apply(self, name: str, again: bool = False) -> None:
        """Put an experiment in force, under a new digest each time."""
        (made,) = load_specs(spec(name, 2 * self.round + again))
        send(self.system.config, [applied(made, time.time_ns() // 1000, "matrix", f"round {self.round}")])

    def command(self, name: str, command: str) -> None:
        """A person's command."""
        body = Command(str(uuid.uuid4()), command, None)
        send(self.system.config, [Control(name, time.time_ns() // 1000, "matrix", f"round {self.round}", body)])

    def wait(self, holds: Callable[[], bool], what: str) -> None:
        """Raises where it does not come to be."""
        deadline = time.monotonic() + PREPARE_S
        while not holds():
            if time.monotonic() > deadline:
                raise RuntimeError(
                    f"within {PREPARE_S:g} s it did not happen that {what}: {self.system.folder} has the logs"
                )
            time.sleep(POLL_S)
