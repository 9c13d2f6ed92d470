"""The control topic as a chain of copies."""

from __future__ import annotations

from pathlib import Path

from schemas.config import load_config
from schemas.delta import ControlCopy
from streams import kafka
from streams.control_log import ControlLog
from streams.embedded import EmbeddedBroker
from streams.judge import Judge
from streams.judge_settings import JudgeSettings
from streams.topics import ensure_topics
from tests.support.system import until


def test_each_copy_names_the_one_before(tmp_path: Path, tansu: EmbeddedBroker) -> None:
    path = tmp_path / "davy.yaml"
    path.write_text(f"kafka: {{bootstrap.servers: '{tansu.bootstrap}'}}\nembedded: true\n")
    config = load_config(path)
    ensure_topics(config)
    producer = kafka.producer(config)
    for value in (b"a", None, b"b", b"c"):
        producer.produce(config.topic("control"), value)
    assert producer.flush(10) == 0
    log, found = ControlLog(config), list[ControlCopy]()
    assert (log.last, log.after(-1)) == (-1, [])
    log.begin()

    def read() -> bool:
        found.extend(log.read())
        return len(found) == 3

    until(read, 10, "all control records were read")
    assert found == [ControlCopy(0, b"a", -1), ControlCopy(2, b"b", 0), ControlCopy(3, b"c", 2)]
    assert (log.last, log.after(0), log.after(3)) == (3, found[1:], [])
    log.close()


def test_a_judge_applies_no_copy_whose_predecessor_is_missing() -> None:
    judge = Judge(JudgeSettings.of(load_config(None), 0, 1, {}))
    for offset, previous, applied in ((0, -1, 0), (3, 2, 0), (2, 0, 2), (0, -1, 2), (3, 2, 3), (9, 3, 9)):
        judge.step(ControlCopy(offset, b"no control", previous))
        assert judge.control_offset == applied
