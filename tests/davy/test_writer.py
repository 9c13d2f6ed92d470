from __future__ import annotations

import time
from pathlib import Path

import pytest

from davy import writer
from davy.writer import Writer
from schemas.config import Config, load_config
from schemas.control import Annotation, Control
from schemas.errors import InfrastructureError
from streams import kafka
from streams.embedded import EmbeddedBroker
from streams.topics import ensure_topics


def configured(folder: Path, bootstrap: str) -> Config:
    path = folder / "davy.yaml"
    path.write_text(f"kafka: {{bootstrap.servers: '{bootstrap}'}}\nembedded: true\n")
    return load_config(path)


def note(text: str) -> Control:
    return Control("annotations", time.time_ns() // 1000, "ann", text, Annotation(text, ()))


def reasons(config: Config) -> list[str]:
    """Of all control records, in order."""
    return [
        Control.decode(message.value() or b"").reason for message in kafka.to_end(config, config.topic("control"), "t")
    ]


def test_what_was_refused_is_not_written_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "DELIVERY_TIMEOUT_S", 1.0)
    broker = EmbeddedBroker(tmp_path)
    broker.start()
    try:
        config = configured(tmp_path, broker.bootstrap)
        ensure_topics(config)
        made = Writer(config)
        made.send([note("first"), note("second")])
        assert reasons(config) == ["first", "second"]
        broker.stop()
        with pytest.raises(InfrastructureError, match="1 records were not acknowledged"):
            made.send([note("refused")])
        broker.start()  # it has forgotten everything
        ensure_topics(config)
        made.send([note("third")])
        assert reasons(config) == ["third"]
    finally:
        broker.stop()


def test_a_second_record_does_not_wait_for_a_connection(tmp_path: Path, tansu: EmbeddedBroker) -> None:
    config = configured(tmp_path, tansu.bootstrap)
    ensure_topics(config)
    made, took = Writer(config), list[float]()
    for text in ("first", "second", "third"):
        began = time.monotonic()
        made.send([note(text)])
        took.append(time.monotonic() - began)
    assert min(took[1:]) < took[0] / 2
