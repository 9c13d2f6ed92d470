"""A release with a bug."""

from streams.scenario import Effect, Scenario

SCENARIO = Scenario(
    "errors",
    "a release that fails more often: rolled back",
    # 2 % against the 1 % that is allowed: found after 15 to 60 s of event time in 59 of 60 simulated runs, so
    # that one sees the evidence grow.
    effect=Effect(more_errors=0.015),
)
