"""A splitter that lies."""

from streams.scenario import Scenario

SCENARIO = Scenario(
    "mismatch",
    "the splitter sends half as much again to the canary as configured: invalid, held",
    # Too much rather than too little: vanished requests would be the throughput SLI's harm.
    share_factor=1.5,
)
