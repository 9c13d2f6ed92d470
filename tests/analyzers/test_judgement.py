"""Every rule of the judgement, in its order, with the sentence that goes with it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from analyzers import trial as trials
from analyzers.budget import Limit
from analyzers.case import Situation
from analyzers.judgement import Judgement, judge
from analyzers.trial import Trial
from schemas.spec import ExperimentSpec
from tests.analyzers.builders import ERRORS, TRAFFIC, arm, pair, spec

MINUTE = 60_000_000
TWO_STEPS = ("{weight: 10%, duration: 1m}", "{weight: 50%, duration: 1m}")


def trial_of(
    experiment: ExperimentSpec, windows: int = 24, c: tuple[int, int] = (500, 2),
    b: tuple[int, int] = (500, 2), share: float = 0.5, step: int = 0,
) -> Trial:  # fmt: skip
    """Equal windows of (rows, errors)."""
    trial = trials.start(experiment, experiment.candidates[0])
    for i in range(windows):
        trial = trials.step(trial, pair(i, arm(*c), arm(*b), share, step))
    return trial


def at(trial: Trial, experiment: ExperimentSpec, **changed: object) -> Judgement:
    """Judged when its last window closed."""
    seen = max(trial.seen_control_us or 0, trial.seen_candidate_us or 0)
    now = Situation(seen, 0, len(experiment.steps), True, 0, 0)
    return judge(experiment, trial, replace(now, **changed))  # pyright: ignore[reportArgumentType]  # fields by name


def verdict(answer: Judgement) -> tuple[str, str]:
    return answer.action, answer.conclusion


def test_a_running_step_continues() -> None:
    experiment = spec(steps=TWO_STEPS)
    answer = at(trial_of(experiment, 6, c=(50, 0), b=(50, 0)), experiment)
    assert verdict(answer) == ("CONTINUE", "INCONCLUSIVE")
    assert answer.reason.startswith(
        "step 1 of 2 runs for another 30 s; not yet shown to be within tolerance: errors (about "
    )
    assert answer.weight == 0.1
    assert answer.needed is not None
    assert (answer.needed["errors"].requests or 0) > 0


def test_a_running_step_with_safety_is_healthy() -> None:
    experiment = spec(steps=TWO_STEPS)
    answer = at(trial_of(experiment, 10), experiment)
    assert verdict(answer) == ("CONTINUE", "HEALTHY")
    assert answer.evidence[0].status == "SAFE"
    assert answer.needed is not None
    assert answer.needed["errors"].requests == 0


def test_a_step_that_is_over_advances_until_the_next_weight_is_applied() -> None:
    experiment = spec(steps=TWO_STEPS)
    answer = at(trial_of(experiment, 12), experiment)
    assert verdict(answer) == ("ADVANCE", "HEALTHY")
    assert answer.weight == 0.5
    waiting = at(trial_of(experiment, 12), experiment, step=1, weight_applied_us=None)
    assert verdict(waiting) == ("CONTINUE", "HEALTHY")
    assert "waiting until the weight of step 2 is applied" in waiting.reason


def test_a_step_in_which_an_arm_was_not_seen_does_not_advance() -> None:
    experiment = spec(steps=(*TWO_STEPS, "{weight: 60%, duration: 1m}"))
    answer = at(trial_of(experiment, 24, step=0), experiment, step=1, weight_applied_us=MINUTE)
    assert verdict(answer) == ("HOLD", "NO_DATA")


def test_promotion_needs_everything() -> None:
    experiment = spec(steps=TWO_STEPS)
    trial = trial_of(experiment, 24, step=1)
    done = {"step": 1, "weight_applied_us": MINUTE}
    answer = at(trial, experiment, **done)
    assert verdict(answer) == ("PROMOTE", "HEALTHY")
    assert answer.weight == 1.0
    assert answer.needed is None
    assert "against the 20 that beta 0.05 asks for" in answer.reason


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ("{min_duration: 3m, min_requests: 100}", "min_duration 3 min is not over"),
        (
            "{min_duration: 1m, min_requests: 20000}",
            "12000 of the 20000 requests that min_requests asks of each arm",
        ),
    ],
)
def test_minima_hold_a_safe_release(policy: str, says: str) -> None:
    experiment = spec(steps=TWO_STEPS, policy=policy)
    answer = at(trial_of(experiment, 24, step=1), experiment, step=1, weight_applied_us=MINUTE)
    assert verdict(answer) == ("HOLD", "HEALTHY")
    assert says in answer.reason


def test_without_safety_the_end_holds_and_forecasts() -> None:
    experiment = spec("{name: errors, type: error_ratio, max_increase: 0.1pp}", steps=TWO_STEPS)
    answer = at(trial_of(experiment, 24, step=1), experiment, step=1, weight_applied_us=MINUTE)
    assert verdict(answer) == ("HOLD", "INCONCLUSIVE")
    assert "not yet shown to be within tolerance: errors (about" in answer.reason
    assert "at current traffic" in answer.reason


def test_harm_rolls_back_in_words_with_numbers() -> None:
    experiment = spec(ERRORS, TRAFFIC, steps=TWO_STEPS)
    answer = at(trial_of(experiment, 10, c=(500, 20)), experiment)
    assert verdict(answer) == ("ROLLBACK", "HARM")
    assert answer.reason.startswith("errors rose from 0.4 % to 4 % (0.5 pp more is allowed): evidence ")
    assert answer.reason.endswith("against the 200 that alpha 0.01 asks for")
    assert answer.weight == 0.0
    errors, traffic = answer.evidence
    assert (errors.status, traffic.status) == ("HARM", "OPEN")
    assert errors.evidence >= errors.threshold == 200
    assert traffic.safety_evidence is None
    assert errors.effect == pytest.approx(0.036)


def test_several_candidates_share_alpha() -> None:
    experiment = spec(candidates=("canary", "blue"))
    assert at(trial_of(experiment), experiment).evidence[0].threshold == 200


def test_the_mean_can_roll_back_where_no_sli_does_alone() -> None:
    twice = spec(ERRORS, ERRORS.replace("errors,", "again,"), steps=TWO_STEPS)
    trial, windows = trials.start(twice, "canary"), 0
    while (answer := at(trial, twice)).action != "ROLLBACK":
        trial = trials.step(trial, pair(windows, arm(100, 2), arm(100, 0)))
        windows += 1
    # two equal e-values: their mean is each of them, so each needs only 100 while alone it would need 200
    assert 100 <= answer.evidence[0].evidence < 200
    assert "and the other SLIs add to it: mean evidence" in answer.reason
    assert answer.evidence[0].status == "HARM"


def test_shadow_slis_enter_neither_question() -> None:
    shadow = spec(ERRORS.replace("}", ", mode: shadow}"), TRAFFIC, steps=TWO_STEPS)
    trial = trial_of(shadow, 24, c=(500, 40), step=1)
    answer = at(trial, shadow, step=1, weight_applied_us=MINUTE)
    assert answer.action == "PROMOTE"
    assert [item.status for item in answer.evidence] == ["SHADOW", "OPEN"]
    assert answer.evidence[1].threshold == 100


def test_with_nothing_enforced_nothing_is_promoted() -> None:
    shadow = spec(ERRORS.replace("}", ", mode: shadow}"), steps=TWO_STEPS)
    answer = at(trial_of(shadow, 24, step=1), shadow, step=1, weight_applied_us=MINUTE)
    assert verdict(answer) == ("HOLD", "INCONCLUSIVE")
    assert "no SLI is enforced" in answer.reason


def test_an_arm_never_seen_is_no_data() -> None:
    experiment = spec(steps=TWO_STEPS)
    answer = at(trial_of(experiment, 12, c=(0, 0)), experiment)
    assert verdict(answer) == ("HOLD", "NO_DATA")
    assert "no request of canary has been seen" in answer.reason
    both = at(trial_of(experiment, 12, c=(0, 0), b=(0, 0)), experiment)
    assert "no request of canary or control" in both.reason


def test_no_data_rolls_back_only_where_the_spec_says_so_and_not_at_once() -> None:
    experiment = spec(steps=TWO_STEPS, policy="{on_no_data: rollback, sustained: 30s}")
    early = at(trial_of(experiment, 5, c=(0, 0)), experiment)
    assert verdict(early) == ("HOLD", "NO_DATA")
    late = at(trial_of(experiment, 6, c=(0, 0)), experiment)
    assert verdict(late) == ("ROLLBACK", "NO_DATA")
    assert "for 30 s, and the spec says on_no_data: rollback" in late.reason


def test_silence_never_promotes() -> None:
    experiment = spec(steps=TWO_STEPS)
    trial = trial_of(experiment, 24, step=1)
    answer = at(trial, experiment, step=1, weight_applied_us=MINUTE, event_time_us=24 * 5_000_000 + 30_000_000)
    assert verdict(answer) == ("HOLD", "NO_DATA")
    assert answer.reason == "no request of canary for 30 s"


def test_vanished_requests_are_harm_before_they_are_a_mismatch() -> None:
    experiment = spec(ERRORS, TRAFFIC, steps=TWO_STEPS)
    trial = trial_of(experiment, 12, c=(100, 0))
    assert trial.mismatch is not None
    answer = at(trial, experiment)
    assert verdict(answer) == ("ROLLBACK", "HARM")
    assert answer.reason.startswith("traffic fell from")
    without = spec(ERRORS, steps=TWO_STEPS)
    assert verdict(at(trial_of(without, 12, c=(100, 0)), without)) == ("HOLD", "INVALID")


def test_a_mismatch_within_the_throughput_tolerance_is_invalid() -> None:
    experiment = spec(ERRORS, TRAFFIC, steps=TWO_STEPS)
    answer = at(trial_of(experiment, 24, c=(420, 2)), experiment)
    assert verdict(answer) == ("HOLD", "INVALID")
    assert "50 % is configured" in answer.reason


def test_wrong_labels_and_the_judges_own_reasons_come_before_harm() -> None:
    experiment = spec(steps=TWO_STEPS)
    trial = trial_of(experiment, 10, c=(500, 40))
    assert at(trial, experiment).action == "ROLLBACK"
    assert verdict(at(replace(trial, invalid="labels"), experiment)) == ("HOLD", "INVALID")
    lost = at(trial, experiment, invalid_reason="offsets 3 to 9 were lost")
    assert (verdict(lost), lost.reason) == (("HOLD", "INVALID"), "offsets 3 to 9 were lost")


def test_pause_and_gap_hold_but_do_not_hide_harm() -> None:
    experiment = spec(steps=TWO_STEPS)
    good, bad = trial_of(experiment, 10), trial_of(experiment, 10, c=(500, 40))
    for changed in ({"paused": True}, {"hold_reason": "gap"}):
        assert at(good, experiment, **changed).action == "HOLD"
        assert at(bad, experiment, **changed).action == "ROLLBACK"


def test_max_duration_tries_promotion_first() -> None:
    experiment = spec(steps=TWO_STEPS)
    trial = trial_of(experiment, 24, step=1)
    assert at(trial, experiment, step=1, weight_applied_us=MINUTE, over=True).action == "PROMOTE"
    answer = at(trial, experiment, step=0, over=True)
    assert answer.action == "HOLD"
    assert answer.reason.startswith("max_duration is over: step 1 of 2 is not done")


def test_shadow_experiments_never_act() -> None:
    experiment = spec(steps=TWO_STEPS, mode="shadow")
    bad = at(trial_of(experiment, 10, c=(500, 40)), experiment)
    assert verdict(bad) == ("HOLD", "HARM")
    assert bad.reason.startswith("shadow, would roll back: errors rose")
    good = at(trial_of(experiment, 24, step=1), experiment, step=1, weight_applied_us=MINUTE)
    assert verdict(good) == ("CONTINUE", "HEALTHY")


def test_unknown_weights_are_said() -> None:
    experiment = spec(steps=TWO_STEPS)
    answer = at(trial_of(experiment, 10), experiment, weights_known=False)
    assert "neither sample ratio nor throughput is judged" in answer.reason


def test_evidence_without_end_is_capped() -> None:
    experiment = spec(steps=TWO_STEPS)
    answer = at(trial_of(experiment, 40, c=(500, 500)), experiment)
    assert answer.evidence[0].evidence == 1e300
    assert math.isfinite(answer.evidence[0].log_evidence)


def test_the_same_input_gives_the_same_answer() -> None:
    experiment = spec(ERRORS, TRAFFIC, steps=TWO_STEPS)
    assert at(trial_of(experiment), experiment) == at(trial_of(experiment), experiment)


def test_every_verdict_says_what_of_the_budget_is_spent() -> None:
    experiment = spec(ERRORS, TRAFFIC, steps=TWO_STEPS, candidates=("canary", "other"))
    running = at(trial_of(experiment, 6, c=(50, 0), b=(50, 0)), experiment).budget
    assert (running.alpha, running.alpha_candidate, running.beta, running.slis) == (0.01, 0.005, 0.05, 2)
    assert (running.alpha_spent, running.beta_spent) == (0.0, 0.0)
    assert (running.threshold, running.safety_threshold) == (200.0, 20.0)
    assert running.rollback_risk == pytest.approx(min(1.0, 1 / running.evidence))
    back = at(trial_of(experiment, c=(500, 60)), experiment)
    assert verdict(back) == ("ROLLBACK", "HARM")
    assert 0 < back.budget.alpha_spent == back.budget.rollback_risk < 0.005
    assert back.budget.evidence == pytest.approx(sum(item.evidence for item in back.evidence) / 2, rel=1e-4)
    done = at(trial_of(experiment, 24, step=1), experiment, step=1, weight_applied_us=MINUTE)
    assert verdict(done) == ("PROMOTE", "HEALTHY")
    assert done.budget.alpha_spent == 0.0
    assert 0 < done.budget.beta_spent <= 0.05
    assert done.budget.safety_evidence == done.evidence[0].safety_evidence
    shadow = at(trial_of(spec(steps=TWO_STEPS, mode="shadow"), c=(500, 60)), spec(steps=TWO_STEPS, mode="shadow"))
    assert verdict(shadow) == ("HOLD", "HARM")
    assert shadow.budget.alpha_spent == 0.0


def test_a_budget_without_safety_or_without_slis_is_an_answer() -> None:
    traffic = spec(TRAFFIC, steps=TWO_STEPS)
    assert at(trial_of(traffic), traffic).budget.safety_evidence is None
    none = spec(ERRORS[:-1] + ", mode: shadow}", steps=TWO_STEPS)
    budget = at(trial_of(none), none).budget
    assert (budget.slis, budget.evidence, budget.rollback_risk, budget.promote_risk) == (0, 1.0, 1.0, 1.0)


def test_a_low_error_budget_slows_a_step_and_then_holds_it() -> None:
    experiment = spec(steps=TWO_STEPS)
    trial = trial_of(experiment, 13)
    assert at(trial, experiment).action == "ADVANCE"
    slow = at(trial, experiment, limit=Limit(2.0, "20 % is left"))
    assert slow.action == "CONTINUE"
    assert slow.reason.startswith("step 1 of 2 runs for another 55 s; 20 % is left, now 2 times as long; ")
    held = at(trial, experiment, limit=Limit(None, "9 % is left"))
    assert (held.action, held.conclusion) == ("HOLD", "HEALTHY")
    assert held.reason.startswith("9 % is left; otherwise: step 1 of 2 is over")
    done = trial_of(experiment, 24, step=1)
    late = {"step": 1, "weight_applied_us": MINUTE, "first_applied_us": 0}
    assert at(done, experiment, **late).action == "PROMOTE"
    assert at(done, experiment, limit=Limit(None, "9 % is left"), **late).action == "HOLD"
    harmed = at(trial_of(experiment, 13, c=(500, 60)), experiment, limit=Limit(None, "9 % is left"))
    assert harmed.action == "ROLLBACK", "a low budget never keeps a harmful release"
