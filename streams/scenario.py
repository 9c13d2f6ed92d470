"""A scenario: what synthetic traffic is like, beside the experiment spec that judges it.

Each scenario is one module of `streams.scenarios` that exports `SCENARIO`, and a spec of the same name beside
it.
"""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module, resources

from schemas.errors import UserError
from schemas.frozen import frozen
from schemas.spec import ExperimentSpec, load_specs

SECOND_US = 1_000_000


@frozen()
class Effect:
    """How the candidate differs: errors are added to control's ratio, the rest are factors."""

    more_errors: float = 0.0
    latency: float = 1.0
    cpu: float = 1.0
    memory: float = 1.0


@frozen()
class Shock:
    """Trouble that both arms share, `length_us` long in every `period_us`, from `start_us` within it on."""

    period_us: int
    start_us: int
    length_us: int
    more_errors: float
    latency: float


@frozen()
class Scenario:
    """Traffic of one service with an experiment on it; all rates are per second of event time.

    `share_factor` is what the splitter makes of the candidate's configured share: 1 is an honest one. `speed`
    is how many seconds of event time the demo lets pass in a second.
    """

    name: str
    summary: str
    effect: Effect = Effect()
    shock: Shock | None = None
    share_factor: float = 1.0
    rate: float = 1000.0
    """With 500 requests/s per arm at 50 %, SAFETY of 0.5 pp at a base of 0.5 % takes 14 (2p + d)/d^2 = 8,400
    requests per arm in nine runs of ten: 17 s (STATISTICS, section 6). The last step alone gives 10,000, so
    that a design effect above 1, or trouble that both arms share, still leaves time."""
    speed: float = 4.0
    """A good release takes 95 s of event time in 58 of 60 simulated runs and 135 s at most: 24 s and 34 s for
    who watches. A verdict lives for 30 s of event time, 7.5 s here, which a busy machine still meets."""
    error_ratio: float = 0.005
    users: int = 100_000
    """Enough that few users send more than a handful of requests: evidence per user is then worth as much as
    per request."""

    @property
    def spec_text(self) -> str:
        """The YAML of the experiment."""
        return resources.files("streams.scenarios").joinpath(f"{self.name}.yaml").read_text("utf-8")

    @property
    def spec(self) -> ExperimentSpec:
        """The experiment, an ordinary one."""
        return _spec(self)


@cache
def _spec(scenario: Scenario) -> ExperimentSpec:
    return load_specs(scenario.spec_text, path=f"{scenario.name}.yaml")[0]


def names() -> list[str]:
    """All scenarios, sorted."""
    package = import_module("streams.scenarios")
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(package.__path__))


def load(name: str) -> Scenario:
    """The scenario of that name; raises `UserError` for an unknown one."""
    if name not in names():
        raise UserError(f"there is no scenario named {name!r}; there are {', '.join(names())}")
    return import_module(f"streams.scenarios.{name.replace('-', '_')}").SCENARIO
