"""Flags end to end: a real console, the file it is kept in, and OpenFeature's own provider that evaluates it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from davy_emit.flags import FlagFile
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from scipy.stats import chisquare

from deploy import splitter
from schemas.config import Config, load_config
from schemas.control import Control, SpecApplied, WeightApplied
from schemas.spec import load_specs
from streams import kafka
from streams.embedded import EmbeddedBroker, free_port
from streams.topics import ensure_topics
from tests.support.receiver import Call, receiver
from tests.support.system import until

CHANGE_S = 2.0
UNITS = 20_000
(SPEC,) = load_specs("""\
id: shop-2
service: shop
environment: test
variants: {control: {version: "1"}, canary: {version: "2"}, bolder: {version: "3"}}
slis: [{name: errors, type: error_ratio, max_increase: 1pp}]
steps: [{weight: 10%, duration: 1m}]
""")
FLAG = """\
key: recommendations
variants: {on: true, off: false}
default: off
overrides:
  - {when: {segment: [eu]}, variant: on}
  - {when: {shard: [s-17, s-18], segment: [us]}, variant: on}
"""


@pytest.fixture
def config(tmp_path: Path, tansu: EmbeddedBroker) -> Config:
    path = tmp_path / "davy.yaml"
    path.write_text(
        f"kafka: {{bootstrap.servers: '{tansu.bootstrap}'}}\nembedded: true\ndata_dir: {tmp_path / 'data'}\n"
        f"http: {{port: {free_port()}, token: s3cret}}\n"
    )
    made = load_config(path)
    ensure_topics(made)
    return made


@contextmanager
def console(config: Config, folder: Path) -> Iterator[str]:
    """`davy run web`."""
    url = f"http://127.0.0.1:{config.http.port}"
    with (folder / "web.log").open("ab") as log:
        command = [sys.executable, "-m", "davy", "run", "web", "--config", str(folder / "davy.yaml")]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        until(lambda: status(f"{url}/v1/flags") == 200, 60, "the console told the flags")
        yield url
    finally:
        process.kill()
        process.wait()


def status(url: str, method: str = "GET", body: bytes | None = None, token: str = "s3cret", **headers: str) -> int:
    request = urllib.request.Request(url, body, {"Authorization": f"Bearer {token}", **headers}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


@contextmanager
def asking(flags: FlagFile) -> Iterator[OpenFeatureClient]:
    api.set_provider_and_wait(flags.provider())
    try:
        yield api.get_client()
    finally:
        api.shutdown()
        flags.close()


def on(client: OpenFeatureClient, **attributes: str) -> bool:
    return client.get_boolean_value("recommendations", False, EvaluationContext("u1", attributes))


def within(holds: Callable[[], object]) -> float:
    """Seconds until it holds; it must within `CHANGE_S`."""
    begun = time.monotonic()
    while not holds():
        assert time.monotonic() - begun < 20, "it never came"
        time.sleep(0.02)
    return time.monotonic() - begun


def test_a_change_reaches_clients_and_the_last_good_state_outlives_the_console(tmp_path: Path, config: Config) -> None:
    path = tmp_path / "client" / "flags.json"
    with console(config, tmp_path) as url:
        place = f"{url}/v1/flags/recommendations"
        assert status(place, "PUT", FLAG.encode(), token="wrong") == 401
        assert status(place, "PUT", b"key: recommendations") == 400
        assert status(f"{url}/v1/flags/other", "PUT", FLAG.encode()) == 400
        assert status(place, "DELETE") == 404
        assert status(place, "PUT", FLAG.encode()) == 202
        with asking(FlagFile(url, path)) as client:
            within(lambda: on(client, segment="eu"))
            assert not on(client)
            assert not on(client, segment="us")
            assert on(client, segment="us", shard="s-18")
            took = list[float]()
            for segment in ("us", "apac", "eu"):
                assert status(place, "PUT", FLAG.replace("[eu]", f"[{segment}]").encode()) == 202
                took.append(within(lambda segment=segment: on(client, segment=segment)))
            assert max(took) < CHANGE_S, took
    with asking(FlagFile(url, path, first_s=0.1)) as client:  # a new process, and nobody answers
        assert on(client, segment="eu")
        with console(config, tmp_path):  # another console: it knows all flags before it tells any
            assert status(place, "DELETE") == 200
            within(lambda: not on(client, segment="eu"))


def test_an_experiments_flag_has_the_weights_that_were_applied_and_is_nobodys_to_write(
    tmp_path: Path, config: Config
) -> None:
    def say(*bodies: SpecApplied | WeightApplied) -> None:
        producer = kafka.producer(config)
        for body in bodies:
            record = Control(SPEC.id, time.time_ns() // 1000, "ann", "why", body)
            producer.produce(config.topic("control"), record.encode(), SPEC.id.encode())
        assert producer.flush(10) == 0

    weights = splitter.step_weights(SPEC, 0.1)
    say(SpecApplied(SPEC.source, SPEC.path, SPEC.digest), WeightApplied("i", 0, weights))
    with console(config, tmp_path) as url, asking(FlagFile(url, tmp_path / "flags.json")) as client:
        assert status(f"{url}/v1/flags/{SPEC.id}", "PUT", FLAG.encode()) == 409
        assert status(f"{url}/v1/flags/{SPEC.id}", "DELETE") == 409

        def arms() -> dict[str, str]:
            units = [f"user-{number}" for number in range(UNITS)]
            return {unit: client.get_string_value(SPEC.id, "none", EvaluationContext(unit)) for unit in units}

        within(lambda: client.get_string_value(SPEC.id, "none", EvaluationContext("u")) != "none")
        before = arms()
        counts = Counter(before.values())
        names = ["canary", "bolder", "control"]
        assert chisquare([counts[name] for name in names], [weights[name] * UNITS for name in names]).pvalue > 0.001, (
            counts
        )
        say(WeightApplied("j", 0, splitter.step_weights(SPEC, 0.3)))
        within(lambda: Counter(arms().values())["canary"] > 1.5 * counts["canary"])
        after = arms()
        assert all(after[unit] == "canary" for unit, arm in before.items() if arm == "canary"), (
            "who was let in stays in"
        )


def test_what_is_no_document_of_flags_never_replaces_the_last_good_one(tmp_path: Path) -> None:
    good = {"flags": {"recommendations": {"state": "ENABLED", "variants": {"on": True}, "defaultVariant": "on"}}}
    answers: list[tuple[int, Any]] = [(200, good), (200, ["no flags"]), (503, {}), (200, {"flags": []}), (200, {})]

    def answer(_: Call) -> tuple[int, Any]:
        return answers.pop(0) if answers else (500, None)

    path = tmp_path / "flags.json"
    with receiver(answer) as got, asking(FlagFile(got.url, path)) as client:
        until(lambda: len(got.calls) >= 6, 20, "it asked again and again")
        assert on(client)
    assert json.loads(path.read_text()) == good
    assert not list(tmp_path.glob(".*"))
