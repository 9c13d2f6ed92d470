"""Trouble that is not the release's fault."""

from streams.scenario import SECOND_US, Scenario, Shock

SCENARIO = Scenario(
    "blip",
    "errors and latency rise in both arms for a while: no rollback",
    # Two windows in every minute, errors eight-fold: a threshold on the canary alone would fire. It ends
    # promoted, in 60 of 60 simulated runs, within 135 s of event time.
    shock=Shock(60 * SECOND_US, 30 * SECOND_US, 8 * SECOND_US, more_errors=0.035, latency=2.0),
)
