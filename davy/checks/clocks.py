"""Whether the clocks of this machine, of those who write to Kafka, of their services and of ClickHouse agree.

Kafka's time of a record is its producer's (or, with LogAppendTime, the broker's): one that lies ahead of ours shows that one
of the two is wrong. A record's own time that lies ahead of Kafka's is a service's clock; beyond `limits.future` it is
quarantined.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from davy.checks.base import Check, Finding, ok, problem, seconds, warning
from davy.store import STORE_FOLDER, ask
from schemas.config import Config
from schemas.errors import DavyError
from streams import kafka
from streams.formats import decoders
from streams.packed import Packed
from streams.rows import LONGS

NEWEST = 50
"""Records of each partition whose times are compared."""
SKEW_MAX_S = 5.0
"""Windows wait that long for late rows (`limits.lateness`), so a clock may be wrong by as much without harm."""
SYNCHRONISE = "synchronise it (chrony or systemd-timesyncd), here and there"


def look(config: Config) -> Iterator[Finding]:
    """Times that are ahead of ours; times behind are only late."""
    found = [*_kafka(config), *_clickhouse(config)]
    yield from found or [ok("all clocks that can be seen agree with this machine's")]


def _kafka(config: Config) -> Iterator[Finding]:
    if config.clock.speed != 1.0:  # a demo's clock runs ahead of this machine's on purpose
        return
    for topic, decoder in decoders(config).items():
        messages = list(kafka.to_end(config, topic, "doctor", last=NEWEST))
        if not messages:
            continue
        stamps_ms = np.array([message.timestamp()[1] for message in messages])
        ahead_s = float(stamps_ms.max()) / 1000 - time.time()
        if ahead_s > SKEW_MAX_S:
            yield problem(f"records of {topic} come from a clock that is {seconds(ahead_s)} ahead", SYNCHRONISE)
        headers = [message.headers() for message in messages] if decoder.wants_headers else None
        rows = decoder.decode(Packed.of([message.value() for message in messages]), headers)
        if not len(rows.rows):
            continue
        lead_s = float((rows.rows.longs[LONGS.index("timestamp")] / 1e6 - stamps_ms[rows.index] / 1e3).max())
        if lead_s > SKEW_MAX_S:
            lost = lead_s * 1e6 > config.limits.future_us
            yield (problem if lost else warning)(
                f"events in {topic} say they ended {seconds(lead_s)} after they were sent"
                + (": such rows are quarantined" if lost else ""),
                "correct the clocks of the services that send them, or the unit of timestamp under inputs",
            )


def _clickhouse(config: Config) -> Iterator[Finding]:
    if config.clickhouse is None and not (config.data_dir / STORE_FOLDER).is_dir():
        return
    begun = time.time()
    try:
        ((theirs,),) = ask(config, "SELECT toUnixTimestamp(now())").rows
    except DavyError:  # the check of ClickHouse says so
        return
    skew_s = int(theirs) - (begun + time.time()) / 2
    if abs(skew_s) > SKEW_MAX_S:
        side = "ahead of" if skew_s > 0 else "behind"
        yield problem(f"ClickHouse's clock is {seconds(abs(skew_s))} {side} this machine's", SYNCHRONISE)


CHECK = Check("clocks", look, needs=("broker",))
