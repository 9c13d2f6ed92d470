"""`davy replay --verdict`: read the judge's log from its beginning up to a verdict, judge again, and compare.

The log is what the judge acted on: counts of ranges of the source, progress, specs, commands and times, in one order. The same
code on the same log says the same under the same ids; only the epoch is the issuing judge's own.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import Any, TypeVar

from davy.log_begin import LogBegin, missing
from davy.snapshot import snapshot
from schemas.budget import BudgetStatus
from schemas.codec import Malformed, UnknownSchema
from schemas.config import Config
from schemas.control import Control
from schemas.errors import UserError
from schemas.record import Record
from schemas.verdict import Verdict
from streams import deltas, kafka
from streams.deltas import Read
from streams.judge import Judge
from streams.judge_settings import CODE_VERSION, JudgeSettings
from streams.route import delta_partition
from streams.topics import topic_names

R = TypeVar("R", bound=Record)
TELL_S = 2.0
SAME, DIFFERENT, UNKNOWN = 0, 1, 3


def reproduce(verdict_id: str, config: Config, as_json: bool = False) -> int:
    """0 when the verdict came out again as it was issued, 1 when it did not, 3 when nobody knows: no such verdict is there, or
    what it rests on is not in the log any more."""
    issued = _issued(verdict_id, config)
    if issued is None:
        print(f"davy: no verdict {verdict_id} is in {config.topic('verdicts')}", file=sys.stderr)
        return UNKNOWN
    if issued.code_version != CODE_VERSION:
        raise UserError(f"{verdict_id} was issued by {issued.code_version}; this is {CODE_VERSION}: install that one")
    again, read, begin = _again(issued, config)
    fields = {} if again is None else content(again)
    differing = [name for name, value in content(issued).items() if fields and fields[name] != value]
    same = again is not None and not differing
    gone = _gone(issued, begin, config) if begin is not None and begin.offset and not same else []
    if as_json:
        told = {"verdict_id": verdict_id, "same": same, "differing": differing, "records": read, "missing": gone}
        print(json.dumps(told))
    elif gone:
        print("\n  ".join([f"{verdict_id} ({issued.action}) cannot be judged again:", *gone]))
    elif again is None:
        print(f"{verdict_id} did not come out again from {read} records of the log, which is whole")
    elif differing:
        print(f"{verdict_id} came out with other {', '.join(differing)}")
    else:
        print(f"{verdict_id}: {issued.action}, the same in every field, from {read} records of the log")
    return SAME if same else UNKNOWN if gone else DIFFERENT


def content(verdict: Verdict) -> dict[str, Any]:
    """All that must be the same."""
    return {name: value for name, value in verdict.to_avro().items() if name != "epoch"}


def _issued(verdict_id: str, config: Config) -> Verdict | None:
    state = snapshot(config, ("control", "verdicts"))
    for name in [*state.experiments, *state.services]:
        for verdict in state.verdicts.of(name):
            if verdict.verdict_id == verdict_id:
                return verdict
    return None


def _gone(issued: Verdict, begin: LogBegin, config: Config) -> list[str]:
    controls = _records(Control, "control", config)
    return missing(issued, begin, controls, _records(BudgetStatus, "budgets", config), config.limits.delta_retention_us)


def _records(kind: type[R], name: str, config: Config) -> list[R]:
    """All of a topic that can be read."""
    found: list[R] = []
    for message in kafka.to_end(config, config.topic(name), "reproduce"):
        try:
            found.append(kind.decode(message.value() or b""))
        except (Malformed, UnknownSchema):
            continue  # the sink tells about it
    return found


def _again(issued: Verdict, config: Config) -> tuple[Verdict | None, int, LogBegin | None]:
    """The verdict of that id as a fresh judge issues it, how many records it took, and where the log begins."""
    partitions = len(kafka.partitions(config, config.topic("deltas")))
    partition = delta_partition(issued.service, issued.environment, partitions)
    judge = Judge(JudgeSettings.of(config, partition, partitions, topic_names(config)))
    read, begin = 0, None
    for at, delta in _log(config, partition):
        read, begin = read + 1, begin or at
        for output in judge.step(delta):
            if isinstance(output, Verdict) and output.verdict_id == issued.verdict_id:
                return output, read, begin
    return None, read, begin


def _log(config: Config, partition: int) -> Iterator[tuple[LogBegin, Read]]:
    """One delta partition from its beginning to its present end, and where each record is."""
    told = time.monotonic()
    for read, message in enumerate(kafka.to_end(config, config.topic("deltas"), "reproduce", partition)):
        for delta in deltas.read([message.value()]):
            if delta is not None and not isinstance(delta, (Malformed, UnknownSchema)):  # the judge passed over it, too
                yield LogBegin(message.offset() or 0, 1000 * message.timestamp()[1]), delta
        if time.monotonic() - told > TELL_S:
            told = time.monotonic()
            print(f"davy: {read + 1:,} records judged again", file=sys.stderr)
