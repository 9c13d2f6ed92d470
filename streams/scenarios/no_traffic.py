"""A canary that nobody reaches."""

from streams.scenario import Scenario

SCENARIO = Scenario("no-traffic", "a canary that gets no request: held, never promoted", share_factor=0.0)
