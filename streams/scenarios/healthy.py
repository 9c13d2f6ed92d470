"""A good release."""

from streams.scenario import Scenario

SCENARIO = Scenario("healthy", "a good release: walks its steps and is promoted")
