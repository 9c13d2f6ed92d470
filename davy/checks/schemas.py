"""Whether the newest records of every topic can be read, and whether the schema registry answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from davy.checks.base import Check, Finding, ok, problem, warning
from schemas import codec
from schemas.codec import Malformed, UnknownSchema
from schemas.config import Config
from streams import kafka
from streams.formats import decoders
from streams.formats.base import Decoder
from streams.packed import Packed

NEWEST = 200
"""Records of each partition that are looked at."""
BAD_SHARE_MAX = 0.05
"""Of a source's newest records; more unusable ones make experiments INVALID (the default of the quality gate)."""
RECORDS = {
    "control": "Control", "deltas": "Delta", "windows": "WindowSummary", "verdicts": "Verdict",
    "decisions": "Decision", "probes": "ProbeResult", "flags": "FlagChange",
    "budgets": "BudgetStatus", "incidents": "Incident",
}  # fmt: skip


def look(config: Config) -> Iterator[Finding]:
    """Our own topics, then the sources. Raises `DavyError` for a registry or inputs that are no use."""
    read = 0
    for name, schema in RECORDS.items():
        topic = config.topic(name)
        values = [m.value() for m in kafka.to_end(config, topic, "doctor", last=NEWEST)]
        read += len(values)
        faults = [fault for value in values if value is not None and (fault := _fault(schema, value))]
        if faults:
            yield problem(
                f"{len(faults)} of the newest {len(values)} records of {topic} cannot be read: {faults[-1]}",
                "find out who else writes there, and upgrade all of Davy to one version",
            )
    for topic, decoder in decoders(config).items():
        for finding, count in _source(config, topic, decoder):
            read += count
            if finding is not None:
                yield finding
    if config.schema_registry is not None:
        yield ok(f"the schema registry at {config.schema_registry.url} answers")
    yield ok(f"looked at the newest {read:,} records")


def _fault(schema: str, value: bytes) -> str | None:
    try:
        codec.decode_as(schema, value)
    except (Malformed, UnknownSchema) as error:
        return str(error)
    return None


def _source(config: Config, topic: str, decoder: Decoder) -> Iterator[tuple[Finding | None, int]]:
    messages = list(kafka.to_end(config, topic, "doctor", last=NEWEST))
    headers = [message.headers() for message in messages] if decoder.wants_headers else None
    rejects = decoder.decode(Packed.of([message.value() for message in messages]), headers).rejects if messages else []
    if not rejects:
        yield None, len(messages)
        return
    ((reason, _),) = Counter(reject.reason for reject in rejects).most_common(1)
    records = len({reject.index for reject in rejects})
    level: Callable[[str, str], Finding] = problem if records > BAD_SHARE_MAX * len(messages) else warning
    yield (
        level(
            f"{records} of the newest {len(messages)} records of {topic} cannot be used, mostly: {reason}",
            "mend their sender, or map the fields under inputs; `davy schema RequestEvent` says what is wanted",
        ),
        len(messages),
    )


CHECK = Check("schemas", look, needs=("broker",))
