"""Words that the broker does not take end the process that said them."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.config import load_config
from schemas.errors import InfrastructureError
from streams import kafka
from streams.embedded import EmbeddedBroker
from streams.outbox import Outbox
from streams.topics import ensure_topics


def test_where_a_record_lies_is_told_and_a_refusal_is_never_forgotten(tmp_path: Path, tansu: EmbeddedBroker) -> None:
    path = tmp_path / "davy.yaml"
    path.write_text(f"kafka: {{bootstrap.servers: '{tansu.bootstrap}', linger.ms: 60000}}\nembedded: true\n")
    config = load_config(path)
    ensure_topics(config)
    topic = config.topic("deltas")
    outbox = Outbox(config)
    outbox.put(topic, b"k", b"before", 2)
    assert [outbox.settle(topic, b"k", b"%d" % number, 2, 10) for number in range(3)] == [1, 2, 3]
    assert [message.value() for message in kafka.to_end(config, topic, "test", 2)] == [b"before", b"0", b"1", b"2"]
    outbox.put(topic, b"k", b"nobody takes it", 2)
    outbox._producer.purge()  # pyright: ignore[reportPrivateUsage]  # as a fatal error does
    for _ in range(2):
        with pytest.raises(InfrastructureError, match="did not take what the judge said"):
            outbox.flush(10)
        with pytest.raises(InfrastructureError, match="did not take what the judge said"):
            outbox.poll()
    outbox.close(1)
