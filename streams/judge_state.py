"""Where judges keep their state, and how they take a partition over.

A state is chunks under keys ``d/(generation mod 2)/i`` of davy.state, acknowledged, then one manifest under ``d`` that names
them and the next delta offset: state and offset are one thing. Whoever begins reads all of that to its end, then claims the
partition in its own log: the epoch is the claim's offset plus a base, so no two judges ever have the same one, and the
later has the higher, whatever was lost or read too early in davy.state.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from schemas.config import Config
from schemas.delta import Claim, encode_delta
from schemas.errors import InfrastructureError
from streams import checkpoint, kafka
from streams.judge import Judge
from streams.judge_settings import CODE_VERSION, JudgeSettings
from streams.outbox import Outbox

STATE_EVERY_S = 15.0
SAVE_SHARE = 0.1
"""Writing the state down takes at most that share of the time: with very many experiments the state is saved less often."""
STATE_CHUNK_BYTES = 512 * 1024


@dataclass(slots=True)
class Owned:
    """One delta partition in this process."""

    judge: Judge
    next_offset: int
    generation: int
    base: int = 0
    """What the offset of a claim is added to; raised where the delta topic was made anew."""
    claim: int = -1
    """Offset of our claim."""
    caught_up: bool = False
    save_at: float = 0.0
    """When the state is to be saved next, in monotonic seconds."""
    copied_s: float = 0.0
    """When control records were last copied into it."""
    told: Counter[str] = field(default_factory=Counter[str])
    """Rows of this judge that the metrics know."""


class JudgeState:
    """The state topic, for all partitions of one process."""

    def __init__(self, config: Config, outbox: Outbox, member: str) -> None:
        self.config = config
        self.outbox = outbox
        self.member = member
        self.topic = config.topic("state")

    def save(self, partition: int, owned: Owned) -> bool:
        """Chunks first, acknowledged; then the manifest that makes them the state. False where that lasts too long."""
        begun = time.monotonic()
        data = checkpoint.dump(owned.judge)
        owned.save_at = begun + max(STATE_EVERY_S, (time.monotonic() - begun) / SAVE_SHARE)
        owned.generation += 1
        chunks = [data[i : i + STATE_CHUNK_BYTES] for i in range(0, len(data), STATE_CHUNK_BYTES)]
        target = self._partition(partition)
        for i, chunk in enumerate(chunks):
            self.outbox.put(self.topic, f"{partition}/{owned.generation % 2}/{i}".encode(), chunk, target)
        if not self.outbox.flush(STATE_EVERY_S):
            return False
        manifest = {
            "generation": owned.generation, "chunks": len(chunks), "digest": hashlib.sha256(data).hexdigest(),
            "epoch": owned.judge.epoch, "base": owned.base, "next_offset": owned.next_offset,
            "layout": owned.judge.settings.digest, "code_version": CODE_VERSION, "form": checkpoint.form(),
        }  # fmt: skip
        self.outbox.put(self.topic, str(partition).encode(), json.dumps(manifest).encode(), target)
        return True

    def settle(self, partition: int, owned: Owned) -> None:
        """Make a new judge's epoch known before it says a word: else a superseded one could save a later state under its own,
        and whoever began there would not say again what readers refuse of it."""
        if not self.save(partition, owned) or not self.outbox.flush(kafka.BROKER_TIMEOUT_S):
            raise InfrastructureError(f"the broker does not take records of {self.topic}: see whether it is well")

    def restore(self, partition: int, settings: JudgeSettings) -> Owned:
        """The newest valid state of a partition, under an epoch of its own; the log's beginning where there is none."""
        manifest, chunks = self._read(partition)
        claim, base = self._claim(partition, int(manifest.get("epoch", 0)), int(manifest.get("base", 1)))
        generation = int(manifest.get("generation", 0))
        judge, offset = Judge(settings, base + claim), 0
        data = b"".join(chunks.get(f"{generation % 2}/{i}", b"") for i in range(int(manifest.get("chunks", 0))))
        told = tuple(manifest.get(name) for name in ("layout", "code_version", "form"))
        usable = told == (settings.digest, CODE_VERSION, checkpoint.form())
        if usable and hashlib.sha256(data).hexdigest() == manifest["digest"]:
            judge, offset = checkpoint.load(data, settings, base + claim), int(manifest["next_offset"])
        return Owned(judge, offset, generation, base, claim)

    def _claim(self, partition: int, epoch: int, base: int) -> tuple[int, int]:
        """Where our claim lies in the delta log, and its base; raised where the log is younger than the epoch."""
        value = encode_delta(Claim(self.member, base))
        claim = self.outbox.settle(self.config.topic("deltas"), b"claim", value, partition, kafka.BROKER_TIMEOUT_S)
        return claim, base if base + claim > epoch else epoch + 1

    def _partition(self, partition: int) -> int:
        """Of the state topic."""
        count = len(kafka.partitions(self.config, self.topic))
        if not count:
            raise InfrastructureError(
                f"there is no topic {self.topic}: start `davy run` once, it creates what is missing"
            )
        return partition % count

    def _read(self, partition: int) -> tuple[dict[str, Any], dict[str, bytes]]:
        """Manifest of the highest epoch and all chunks of one judge: all of it or an error, never a part."""
        manifest: dict[str, Any] = {}
        chunks: dict[str, bytes] = {}
        target = self._partition(partition)
        for message in kafka.to_end(self.config, self.topic, "judge-state", target):
            key, value = (message.key() or b"").decode(), message.value()
            owner, _, rest = key.partition("/")
            if owner != str(partition) or value is None:
                continue
            if rest:
                chunks[rest] = value
                continue
            found = json.loads(value)
            if found["epoch"] >= manifest.get("epoch", 0):
                manifest = found
        return manifest, chunks
