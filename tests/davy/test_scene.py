"""The scene keeps what the view needs, and no more."""

from __future__ import annotations

from dataclasses import replace

from davy.scene import WINDOWS_KEPT
from tests.davy.scenes import decision, scene, verdict, window


def test_a_newer_revision_replaces_and_an_older_one_does_not() -> None:
    made = scene()
    made.take(window("control", 3, 50, revision=3))
    made.take(window("control", 3, 7, revision=2))
    last = made.arms["control"].last
    assert last is not None
    assert last.errors == 50


def test_only_so_many_windows_are_kept() -> None:
    made = scene()
    for index in range(4, 3 * WINDOWS_KEPT):
        made.take(window("canary", index, 1))
    assert len(made.arms["canary"].windows) == len(made.arms["canary"].error_ratios()) == WINDOWS_KEPT
    assert made.arms["canary"].error_ratios()[-1] == 0.001


def test_a_window_without_a_variant_is_its_versions_arm() -> None:
    made = scene()
    made.take(replace(window("canary", 9, 42), variant=None))
    last = made.arms["canary"].last
    assert last is not None
    assert last.errors == 42


def test_other_experiments_are_passed_over() -> None:
    made = scene()
    made.take(replace(window("canary", 9, 42), experiment_id="other"))
    made.take(replace(verdict("PROMOTE", 9), experiment_id="other"))
    assert made.verdicts["canary"].action == "ROLLBACK"
    assert max(made.arms["canary"].windows) < window("canary", 9, 0).start


def test_what_follows_the_rollout_does_not_change_its_verdict() -> None:
    made = scene()
    made.take(verdict("CONTINUE", 3, phase="watch"))
    assert made.verdicts["canary"].action == "ROLLBACK"


def test_the_time_line_tells_each_change_once() -> None:
    made = scene()
    made.take(verdict("ROLLBACK", 3))
    assert [action.tone for action in made.actions] == ["DONE", "CONTINUE", "ROLLBACK"]
    assert "control 90 %, canary 10 %" in made.actions[0].text


def test_weights_are_those_that_were_done() -> None:
    made = scene()
    made.take(decision({"control": 0.5, "canary": 0.5}, outcome="PLANNED"))
    assert made.weights == {"control": 0.9, "canary": 0.1}


def test_late_rows_are_counted_once_per_window() -> None:
    made = scene()
    made.take(window("control", 3, 5, revision=2, late=4))
    made.take(window("control", 3, 5, revision=3, late=6))
    assert sum(made.late.values()) == 6
