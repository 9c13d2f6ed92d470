"""The executor at a real HAProxy: what it leaves behind when a target is down, refuses or lies, and when it is killed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy import splitter
from deploy.executor import TRIES, Executor
from deploy.journal import Journal
from deploy.traffic.base import Order, Target
from deploy.traffic.files import Files
from deploy.traffic.haproxy import Haproxy, Options, RuntimeSocket
from schemas.spec import load_specs
from tests.support.haproxy import Ear, haproxy, weights
from tests.support.killed import KILLED, Points, in_child

(SPEC,) = load_specs("""\
id: e
service: shop
environment: test
variants:
  control: {version: "1"}
  canary: {version: "2"}
slis:
  - {name: errors, type: error_ratio, max_increase: 1pp}
steps:
  - {weight: 25%, duration: 1m}
""")
VARIANTS = ("control", "canary")
START = {"control": 1.0, "canary": 0.0}
QUARTER = {"control": 0.75, "canary": 0.25}
AS_START, AS_QUARTER = {"control": 256, "canary": 0}, {"control": 256, "canary": 85}


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with haproxy(tmp_path_factory.mktemp("haproxy"), "shop", VARIANTS) as path:
        yield path


@pytest.fixture
def ear(tmp_path: Path, proxy: Path) -> Iterator[Ear]:
    """HAProxy at the start: all traffic to control."""
    Haproxy(Options(socket=str(proxy))).apply(Order("start", SPEC, START, START))
    with Ear(tmp_path / "ear.sock", proxy).listening() as made:
        yield made


def targets(folder: Path, ear: Ear) -> list[Target]:
    return [Files(folder / "traffic"), Haproxy(Options(socket=str(ear.path)))]


def executor(folder: Path, ear: Ear) -> Executor:
    return Executor(targets(folder, ear), Journal(folder / "journal.jsonl"), lambda: 1, wait=lambda _: None)


def order(name: str = "up", protects: bool = False) -> Order:
    to, before = (START, QUARTER) if protects else (QUARTER, START)
    return Order(name, SPEC, to, before, kind="rollback" if protects else "shift", protects=protects)


def in_files(folder: Path) -> dict[str, float]:
    return splitter.read_back(folder / "traffic" / "e")


def phases(folder: Path) -> list[str]:
    return [str(entry["phase"]) for entry in Journal(folder / "journal.jsonl").entries()]


def test_an_order_is_done_once_everywhere_and_doing_it_again_tells_nobody(
    tmp_path: Path, proxy: Path, ear: Ear
) -> None:
    trace = executor(tmp_path, ear).run(order())
    assert (trace.fault, weights(proxy, "shop", VARIANTS), in_files(tmp_path)) == (None, AS_QUARTER, QUARTER)
    assert ear.heard == ["set server davy_shop/canary weight 85"]
    assert [line.partition(" done")[0] for line in trace.lines] == ["files:", f"haproxy {ear.path}:"]
    assert phases(tmp_path) == ["begin", "try", "done", "try", "done", "end"]
    executor(tmp_path, ear).run(order())
    assert len(ear.heard) == 1


def test_a_refusal_in_the_middle_leaves_nothing_behind_anywhere(tmp_path: Path, proxy: Path, ear: Ear) -> None:
    half = Order("half", SPEC, {"control": 0.4, "canary": 0.6}, START)  # control loses first, then the canary gains
    ear.refuse = "canary weight 256"
    trace = executor(tmp_path, ear).run(half)
    assert trace.fault is not None
    assert (
        "refused weight 256 of davy_shop/canary (refused by the test); what was changed before was set back"
        in trace.fault
    )
    assert (weights(proxy, "shop", VARIANTS), in_files(tmp_path)) == (AS_START, START)
    assert phases(tmp_path).count("fault") == TRIES
    assert phases(tmp_path)[-3:] == ["undone", "undone", "failed"]


def test_a_target_that_lies_when_read_back_is_not_believed(tmp_path: Path, proxy: Path, ear: Ear) -> None:
    ear.lie = ("get weight davy_shop/canary", "7 (initial 1)")
    trace = executor(tmp_path, ear).run(order())
    assert trace.fault == f"haproxy {ear.path} says weight 7 of davy_shop/canary, not 85"
    assert "NOT set back" in str(trace), "it cannot be seen to be set back while it lies"
    assert in_files(tmp_path) == START


def test_a_target_that_is_down_undoes_a_shift_but_never_a_rollback(tmp_path: Path, proxy: Path, ear: Ear) -> None:
    executor(tmp_path, ear).run(order())
    gone = Haproxy(Options(socket=str(tmp_path / "nobody.sock")))
    broken = Executor(
        [*targets(tmp_path, ear), gone], Journal(tmp_path / "journal.jsonl"), lambda: 1, wait=lambda _: None
    )
    trace = broken.run(order("back", protects=True))
    assert trace.fault is not None
    assert "does not answer" in trace.fault
    assert (weights(proxy, "shop", VARIANTS), in_files(tmp_path)) == (AS_START, START), (
        "the others were told all the same"
    )
    assert broken.run(order("up again")).fault is not None
    assert (weights(proxy, "shop", VARIANTS), in_files(tmp_path)) == (AS_START, START)


def run_child(folder: Path, ear: Ear, what: str, kill_at: int) -> int:
    """Run an order in a process that kills itself at its `kill_at`-th point (0: none); its exit code."""

    def body() -> None:
        points = Points(kill_at)
        points.around(Journal, "write")
        points.around(Path, "replace")
        points.around(RuntimeSocket, "ask", lambda _, command: command.startswith("set "))
        trace = executor(folder, ear).run(order(what, protects=what == "back"))
        assert trace.fault is None, trace

    code = in_child(body)
    assert code in (0, KILLED)
    return code


@pytest.mark.parametrize("what", ["up", "back"])
def test_killed_at_every_point_it_ends_right_and_every_effect_happened_once(
    tmp_path: Path, proxy: Path, ear: Ear, what: str
) -> None:
    """Points: before and after each line of the journal, each file that is replaced and each command that HAProxy gets."""
    there, back = Haproxy(Options(socket=str(proxy))), Order("x", SPEC, QUARTER if what == "back" else START, START)
    kill_at, code = 0, KILLED
    while code == KILLED:
        kill_at += 1
        folder = tmp_path / f"{what}-{kill_at}"
        there.apply(back)
        Files(folder / "traffic").apply(back)
        ear.heard.clear()
        code = run_child(folder, ear, what, kill_at)
        if code == KILLED:
            assert run_child(folder, ear, what, 0) == 0
        assert weights(proxy, "shop", VARIANTS) == (AS_START if what == "back" else AS_QUARTER)
        assert in_files(folder) == (START if what == "back" else QUARTER)
        assert ear.heard == [f"set server davy_shop/canary weight {0 if what == 'back' else 85}"], f"at point {kill_at}"
        told = phases(folder)
        assert (told[0], told[-1], told.count("done")) == ("begin", "end", 2), f"at point {kill_at}: {told}"
    assert kill_at >= 15, f"only {kill_at} points were found"


def test_a_torn_line_of_the_journal_is_passed_over(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.jsonl")
    journal.write({"order_id": "a", "phase": "begin"})
    with journal.path.open("ab") as file:
        file.write(json.dumps({"order_id": "a", "phase": "done"}).encode()[:-5])
    journal.write({"order_id": "a", "phase": "try"})
    assert [entry["phase"] for entry in journal.of("a")] == ["begin", "try"]
