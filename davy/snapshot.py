"""Everything that Davy's topics say now, as the console's `State`: read from their beginnings to their present ends."""

from __future__ import annotations

from collections.abc import Sequence

from davy.web.feed import READERS
from davy.web.state import State
from schemas.codec import Malformed, UnknownSchema
from schemas.config import Config
from schemas.signature import Keys, of_headers
from schemas.verdict import Verdict
from streams import kafka


def snapshot(config: Config, topics: Sequence[str] = ("control", "verdicts", "decisions", "budgets")) -> State:
    """Topics one after the other: verdicts mean something only once their specs are known."""
    kafka.require_broker(config)
    state = State()
    for name in topics:
        _read(config, name, state)
    return state


def _read(config: Config, name: str, state: State) -> None:
    keys = Keys.of(config.signing)
    for message in kafka.to_end(config, config.topic(name), "snapshot"):
        value = message.value()
        if value is not None:
            try:
                record = READERS[name].decode(value)
                if isinstance(record, Verdict) and keys.fault("Verdict", value, of_headers(message.headers())):
                    continue  # the rollout role tells about it
                state.take(record)
            except (Malformed, UnknownSchema):
                continue  # the sink tells about it
