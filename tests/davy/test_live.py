"""The live demo: what the proxy's log says of it, and the whole with a real HAProxy, real load and a real service."""

from __future__ import annotations

import collections
import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from davy.live import Report
from davy.proxy_log import DAVY, RULE, Half, ProxyLine, ProxyLog
from schemas.codec import decode
from schemas.config import Config, load_config
from schemas.control import Control, WeightApplied, WeightIntent
from schemas.verdict import Verdict
from streams import kafka
from tests.support.demo import END_S, START_S, Demo, running
from tests.support.system import program, until

WINDOW_US = 2_000_000


def line(at_s: float, arm: str = "control", status: int = 200, bad: int = 0, good: int = 0) -> ProxyLine:
    at_us = round(at_s * 1e6)
    return ProxyLine(at_us, at_us + 10_000, DAVY, arm, status, bad, good)


def test_a_half_is_what_its_lines_say_in_whatever_order() -> None:
    lines = [
        line(1), line(2, bad=1000), line(3, "bad", bad=1000), line(4, "bad", 500, bad=1000), line(5, "bad", 503, bad=5000),
        line(6, "control", 500, bad=5000), line(7.5, bad=5000), line(8), line(9), line(10, good=1000),
        line(12, "good", 500, good=5000), line(15, "good", good=10_000),
    ]  # fmt: skip
    for ordered in (lines, lines[::-1], lines[6:] + lines[:6]):
        half = Half()
        for one in ordered:
            half.take(one)
        assert (half.requests, half.bad_requests, half.bad_failures) == (12, 3, 2)
        assert half.to_zero_s == pytest.approx(7.5 - 4.01)
        assert half.to_all_s == pytest.approx(5.0)
    early = Half()
    for one in lines[:7]:
        early.take(one)
    assert (early.to_zero_s, early.to_all_s) == (None, None), "it may get more at any moment"


def test_the_log_is_read_as_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "proxy.log"
    log = ProxyLog(path)
    log.read()
    text = "[NOTICE] haproxy version is 2.6\n5 9 davy bad 500 1000 0\n5 9 rule control 200 0 0\n"
    path.write_text(text + "6 9 davy bad 5")
    log.read()
    assert (log.halves[DAVY].bad_failures, log.halves[RULE].requests) == (1, 1)
    path.write_text(text + "6 9 davy bad 503 1000 0\n")
    log.read()
    assert log.halves[DAVY].bad_failures == 2
    report = Report(log.halves[DAVY], log.halves[RULE])
    assert not report.complete
    assert report.to_json()["davy"]["failed_requests"] == 2
    assert any("requests that failed" in told for told in report.lines())


# -- the whole ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def demo(tmp_path: Path, alone: None) -> Iterator[Demo]:
    for name in ("haproxy", "wrk"):
        program(name, name)
    with running("live", tmp_path) as made:
        yield made


def lines_of(folder: Path) -> list[ProxyLine]:
    found = (ProxyLine.parse(text) for text in (folder / "logs" / "proxy.log").read_text().splitlines())
    return [one for one in found if one is not None]


def davys(folder: Path) -> list[ProxyLine]:
    """The requests of Davy's half in the order in which they were routed."""
    return sorted((one for one in lines_of(folder) if one.half == DAVY), key=lambda one: one.routed_us)


def front_page(folder: Path, segment: str) -> dict[str, Any]:
    """As a user gets it; one in 500 requests fails."""
    bind = re.search(r"bind (\S+)", (folder / "live" / "haproxy.cfg").read_text())
    assert bind is not None
    request = urllib.request.Request(f"http://{bind[1]}/", headers={"X-Unit-Id": "somebody", "X-Segment": segment})
    for _ in range(5):
        with suppress(urllib.error.HTTPError), urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)
    raise AssertionError("it failed five times")


def until_done(demo: Demo, kind: str, experiment: str, timeout_s: float) -> None:
    wanted = {"decision": kind, "experiment_id": experiment, "outcome": "DONE"}
    demo.until(lambda line: all(line.get(key) == value for key, value in wanted.items()), timeout_s)


def test_a_bad_version_is_rolled_back_at_the_proxy_and_no_window_of_a_change_is_evidence(
    demo: Demo, tmp_path: Path
) -> None:
    demo.until(lambda line: line.get("kind") == "ready", START_S)
    until_done(demo, "rollback", "shop-2.4.0", END_S)
    rolled_back = max(one.routed_us for one in lines_of(tmp_path) if one.half == DAVY and one.bad)
    until(lambda: lines_of(tmp_path)[-1].routed_us > rolled_back + 1_000_000, 20, "the proxy routed on")
    mine = davys(tmp_path)
    assert not [one for one in mine if one.arm == "bad" and one.routed_us > rolled_back], (
        "nobody is sent there any more"
    )
    assert 0 < sum(one.arm == "bad" and one.status == 500 for one in mine) < 200
    assert front_page(tmp_path, "eu")["recommendations"] is True, "the flag's override"
    assert_handshake(demo, tmp_path, "shop-2.4.0")


@pytest.mark.full
def test_the_good_version_reaches_all_users_and_the_threshold_is_slower(demo: Demo, tmp_path: Path) -> None:
    demo.until(lambda line: line.get("kind") == "ready", START_S)
    report = demo.until(lambda line: line.get("kind") == "live", 240)
    until(lambda: {one.arm for one in davys(tmp_path)[-200:]} == {"good"}, 20, "all users got the good version")
    mine = davys(tmp_path)
    assert 0 < report["davy"]["first_failure_to_zero_s"] < report["rule"]["first_failure_to_zero_s"]
    assert report["davy"]["failed_requests"] == sum(one.arm == "bad" and one.status >= 500 for one in mine)
    assert report["good_to_all_s"] > 30
    assert_handshake(demo, tmp_path, "shop-2.4.0")
    assert_handshake(demo, tmp_path, "shop-2.4.1")
    assert demo.end() == 1


def assert_handshake(demo: Demo, folder: Path, experiment: str) -> None:
    """Windows in which the proxy's log shows a change of the share lie within the announced intervals, and the evidence is
    made of all events of all other windows, not one more."""
    config = load_config(folder / "davy.yaml")
    candidate = "bad" if experiment.endswith(".0") else "good"
    mine = davys(folder)
    shares = [(one.routed_us, getattr(one, candidate)) for one in mine]
    changed = {now // WINDOW_US for (_, before), (now, after) in pairwise(shares) if before != after}
    assert len(changed) >= 2
    announced = windows_announced(config, experiment)
    assert changed <= announced, "traffic was shifted when nobody was told"
    last = [verdict for verdict in verdicts(config, experiment) if verdict.phase == "rollout"][-1]
    (errors,) = [row for row in last.evidence if row.sli == "errors"]
    counted = collections.Counter[str]()
    first = min(announced)
    for variant, time_us in events(config, experiment):
        window = time_us // WINDOW_US
        if window not in announced and window > first and (window + 1) * WINDOW_US <= last.event_time:
            counted[variant] += 1
    assert (errors.n_candidate, errors.n_baseline) == (counted["canary"], counted["control"])
    assert counted["canary"] > 100


def windows_announced(config: Config, experiment: str) -> set[int]:
    """Windows that the interval between an intent and its application touches."""
    begun: dict[str, int] = {}
    found: set[int] = set()
    for message in kafka.to_end(config, config.topic("control"), "t"):
        control = Control.decode(message.value() or b"")
        if control.experiment_id != experiment:
            continue
        match control.body:
            case WeightIntent(intent_id):
                begun[intent_id] = control.time
            case WeightApplied(intent_id):
                found |= set(range(begun[intent_id] // WINDOW_US, control.time // WINDOW_US + 1))
            case _:
                pass
    return found


def verdicts(config: Config, experiment: str) -> list[Verdict]:
    read = kafka.to_end(config, config.topic("verdicts"), "t")
    found = [Verdict.decode(message.value() or b"") for message in read]
    return sorted((one for one in found if one.experiment_id == experiment), key=lambda one: (one.epoch, one.sequence))


def events(config: Config, experiment: str) -> Iterator[tuple[str, int]]:
    """Variant and time of every event of the experiment."""
    for message in kafka.to_end(config, config.topic("events"), "t"):
        _, event = decode(message.value() or b"")
        if event["experiment_id"] == experiment:
            yield event["variant"], event["timestamp"]
