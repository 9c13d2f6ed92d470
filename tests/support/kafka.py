"""A real Apache Kafka from its Maven Central jars, one broker and controller in one process (KRaft)."""

from __future__ import annotations

import shutil
import signal
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from streams.embedded import die_with_parent, free_port
from tests.support.system import CACHE, locked, program, until

VERSION = "4.3.1"
START_S = 90.0
STOP_S = 20.0
POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>davy.tests</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>
<dependencies><dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId>
<version>{VERSION}</version></dependency></dependencies></project>
"""


def jars() -> Path:
    """Folder of Kafka's jars, fetched once."""
    folder = CACHE / f"kafka-{VERSION}"
    maven = program("mvn", "maven")
    with locked("kafka-jars"):
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            (folder / "pom.xml").write_text(POM)
            command = [maven, "-q", "-B", "-f", str(folder / "pom.xml"), "dependency:copy-dependencies"]
            done = subprocess.run(
                [*command, f"-DoutputDirectory={folder}"], capture_output=True, text=True, check=False
            )
            if done.returncode:
                pytest.fail(
                    f"Kafka's jars could not be fetched from Maven Central:\n{done.stdout[-2000:]}", pytrace=False
                )
            (folder / "complete").touch()
    return folder


class KafkaBroker:
    """`bootstrap` is its address; data stay in `folder` over `kill` and `start`.

    With a `proxy_port` it has a second listener, `behind`, that names this port to its clients: a proxy there sees all
    that they do; `links` are more such ports, whose listeners are in `linked`. With `users` it has a listener `secured` for
    these (SASL PLAIN, the password is the name), who may do only what access control lists allow; at `bootstrap` everything
    stays allowed.
    """

    def __init__(
        self, folder: Path, proxy_port: int | None = None, users: Sequence[str] = (), links: Sequence[int] = ()
    ) -> None:
        self.folder = folder
        self.port, controller = free_port(), free_port()
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.behind = f"127.0.0.1:{free_port()}"
        listeners, advertised = f"PLAINTEXT://{self.bootstrap}", f"PLAINTEXT://{self.bootstrap}"
        if proxy_port is not None:
            listeners += f",PROXIED://{self.behind}"
            advertised += f",PROXIED://127.0.0.1:{proxy_port}"
        self.linked = [f"127.0.0.1:{free_port()}" for _ in links]
        protocols = ""
        for number, (address, link) in enumerate(zip(self.linked, links, strict=True)):
            listeners += f",LINK{number}://{address}"
            advertised += f",LINK{number}://127.0.0.1:{link}"
            protocols += f",LINK{number}:PLAINTEXT"
        self.secured, more = f"127.0.0.1:{free_port()}", ""
        if users:
            listeners += f",SECURED://{self.secured}"
            advertised += f",SECURED://{self.secured}"
            known = " ".join(f'user_{name}="{name}"' for name in users)
            more = (
                "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n"
                "super.users=User:ANONYMOUS\nsasl.enabled.mechanisms=PLAIN\n"
                "listener.name.secured.plain.sasl.jaas.config="
                f"org.apache.kafka.common.security.plain.PlainLoginModule required {known};\n"
            )
        self.log = folder / "broker.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._java = program("java", "openjdk-17-jre-headless")
        self._properties = folder / "server.properties"
        self._properties.write_text(
            "process.roles=broker,controller\nnode.id=1\n"
            f"controller.quorum.bootstrap.servers=127.0.0.1:{controller}\n"
            f"listeners={listeners},CONTROLLER://127.0.0.1:{controller}\n"
            f"advertised.listeners={advertised}\ncontroller.listener.names=CONTROLLER\n"
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT,"
            f"SECURED:SASL_PLAINTEXT{protocols}\n"
            f"log.dirs={folder / 'data'}\nnum.partitions=1\nauto.create.topics.enable=false\n"
            "offsets.topic.replication.factor=1\noffsets.topic.num.partitions=4\n"
            "transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n"
            f"group.initial.rebalance.delay.ms=0\nlog.cleaner.enable=true\n{more}"
        )
        self._run("kafka.tools.StorageTool", "format", "--standalone", "-t", _cluster_id(), "-c", str(self._properties))

    def start(self) -> None:
        """Start and wait until it answers."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self.command(), stdout=log, stderr=log, preexec_fn=die_with_parent)  # noqa: PLW1509
        self.wait()

    def command(self) -> list[str]:
        """What runs in the foreground."""
        return self._command("kafka.Kafka", str(self._properties))

    def wait(self) -> None:
        """Until it answers."""
        client = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})

        def answers() -> bool:
            if self._process is not None and self._process.poll() is not None:
                pytest.fail(f"Kafka ended: {self.log.read_text()[-2000:]}", pytrace=False)
            try:
                return bool(client.list_topics(timeout=1).brokers)
            except KafkaException:
                return False

        until(answers, START_S, f"Kafka answered; {self.log} says why")

    def kill(self) -> None:
        """As kill -9 does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """End it in order, or else by force."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
            self._process = None
        except subprocess.TimeoutExpired:
            self.kill()

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Its connections stay open, and nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def _command(self, *arguments: str) -> list[str]:
        return [self._java, "-Xmx768m", "-XX:+UseSerialGC", "-cp", f"{jars()}/*", *arguments]

    def _run(self, *arguments: str) -> None:
        done = subprocess.run(self._command(*arguments), capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.fail(
                f"Kafka's storage could not be formatted: {done.stdout[-500:]}{done.stderr[-500:]}", pytrace=False
            )


def _cluster_id() -> str:
    """22 characters of URL-safe base64; one that begins with a dash would be taken for an option."""
    import base64

    return "k" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:]
