"""Kafka Streams: the program `WindowsApp` in `bench/peers/windows_java`, with the DSL and its standard stores."""

from __future__ import annotations

import struct

from bench.peers.peer import Framing, Task, Window, Windows
from bench.peers.window import key_of

HEAD, BIN = struct.Struct(">qqq"), struct.Struct(">hi")
"""As `Window.java` writes them: rows, errors, total; then a bin and its count, as often as it takes."""
SCHEMA = "schemas/avro/RequestEvent.avsc"


class KafkaStreams:
    title = "Kafka Streams"
    events = 1_000_000
    framing: Framing = "single-object"
    does = (
        "`groupBy` the key through a repartition topic, `windowedBy`, `aggregate` into a RocksDB window store with its "
        "changelog in Kafka, results to a topic; a thread per core, Avro's own single-object decoder"
    )

    def prepare(self) -> str:
        from bench.peers.maven import built, versions

        named = versions(built() / "lib")
        return f"kafka-streams {named['kafka-streams']}, Avro {named['avro']}, Java 17"

    def command(self, task: Task) -> list[str]:
        from bench.peers.maven import built, java
        from bench.peers.run import ROOT

        path = f"{built()}/windows-1.jar:{built()}/lib/*"
        arguments = [
            task.bootstrap,
            task.topic,
            str(task.events),
            task.run,
            task.output,
            task.folder,
            str(ROOT / SCHEMA),
        ]
        return [
            java(),
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-cp",
            path,
            "davy.bench.WindowsApp",
            *arguments,
        ]

    def windows(self, task: Task) -> Windows | int:
        from bench.peers.configured import configured
        from bench.peers.topic import written

        newest: Windows = {}
        for key, value in written(configured(task), task.output):
            start, _, text = (key or b"").decode().partition("\t")
            data = value or b""
            rows, errors, total = HEAD.unpack_from(data)
            bins = dict(BIN.iter_unpack(data[HEAD.size :]))
            newest[key_of(text), int(start) * 1000] = Window(rows, errors, total, bins)
        return newest


PEER = KafkaStreams()
