"""What the analyzers' tests are made of: specs from YAML, windows from numbers or from simulated requests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzers.arm import EMPTY, ArmWindow, MeasureSum, PairWindow, SparseCounts
from analyzers.histogram import bin_of, quarter_octave
from schemas.delta import QUARTERS
from schemas.spec import ExperimentSpec, SliSpec, load_specs

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
WINDOW_US = 5_000_000
ONE = 1 << 20

ERRORS = "{name: errors, type: error_ratio, max_increase: 0.5pp}"
TRAFFIC = "{name: traffic, type: throughput, max_decrease: 30%}"
P99 = "{name: latency-p99, type: latency_quantile, quantile: 0.99, max_increase: 10%}"
MEAN = "{name: latency-mean, type: latency_mean, max_increase: 5%}"
CPU = "{name: cpu, type: resource_mean, field: cpu_us, max_increase: 15%}"
ALL = (ERRORS, P99, MEAN, TRAFFIC, CPU)


def spec(
    *slis: str,
    randomization: str = "request",
    steps: tuple[str, ...] = ("{weight: 50%, duration: 10m}",),
    policy: str = "{min_duration: 1m, min_requests: 100}",
    candidates: tuple[str, ...] = ("canary",),
    mode: str = "compare",
    tripwires: tuple[str, ...] = (),
) -> ExperimentSpec:
    """One experiment."""
    arms = "".join(f"  {name}: {{version: '2.{i}'}}\n" for i, name in enumerate(candidates))
    lines = "".join(f"  - {sli}\n" for sli in slis or (ERRORS,))
    text = (
        "apiVersion: davy/v1\nkind: Experiment\nid: e\nhypothesis: h\nowner: o\nservice: s\nenvironment: p\n"
        f"mode: {mode}\nvariants:\n  control: {{version: '1'}}\n{arms}"
        f"randomization: {randomization}\nslis:\n{lines}"
        f"policy: {policy}\ntripwires: [{', '.join(tripwires)}]\n"
        "steps:\n" + "".join(f"  - {step}\n" for step in steps)
    )
    return load_specs(text)[0]


def sli(text: str) -> SliSpec:
    """One SLI's spec."""
    return spec(text).slis[0]


def sparse(keys: npt.NDArray[np.integer]) -> SparseCounts:
    """Counts of values."""
    distinct, counts = np.unique(keys.astype(np.int64), return_counts=True)
    return SparseCounts(distinct, counts.astype(np.int64))


def measure(values: Floats, buckets: Ints | None = None) -> MeasureSum:
    """One measure's sums, float64 (n,) values with their unit buckets int64 (n,)."""
    bins = bin_of(values).astype(np.int64)
    joint = SparseCounts() if buckets is None else sparse(buckets * QUARTERS + quarter_octave(bins))
    return MeasureSum(len(values), int(values.sum()), sparse(bins), joint)


def arm(
    rows: int, errors: int = 0, *, measures: Mapping[str, Floats] | None = None, buckets: Ints | None = None,
    failed: npt.NDArray[np.bool_] | None = None, late: int = 0, quarantined: int = 0,
    row_sample: SparseCounts | None = None,
) -> ArmWindow:  # fmt: skip
    """One arm's window; `buckets` and `failed` (n,) belong to the rows of `measures`."""
    if rows + late + quarantined == 0:
        return EMPTY
    error_buckets = SparseCounts() if buckets is None or failed is None else sparse(buckets[failed])
    weight = ONE if rows else 0
    return ArmWindow(
        rows, errors, late, quarantined, 0 if buckets is None else rows,
        rows * weight, errors * weight, weight, weight, 0,
        error_buckets, SparseCounts(), row_sample or SparseCounts(),
        {name: measure(values, buckets) for name, values in (measures or {}).items()},
    )  # fmt: skip


def pair(
    index: int,
    candidate: ArmWindow,
    control: ArmWindow,
    share: float | None = 0.5,
    step: int = 0,
    steady: bool = True,
) -> PairWindow:
    """The index-th window."""
    return PairWindow(index * WINDOW_US, (index + 1) * WINDOW_US, control, candidate, share, step, steady)


@dataclass(frozen=True)
class Traffic:
    """A simulated rollout: `steps` are (share, windows), `rows` the mean requests of both arms per window.

    `shocks`: error rates are shared by both arms, swing, and jump tenfold in 3 % of windows. `users`:
    requests come from sticky users (128 buckets), of whom each keeps its arm, `sticky` errors to an affected
    user.
    """

    steps: tuple[tuple[float, int], ...] = ((0.01, 40), (0.1, 40), (0.5, 40))
    rows: int = 2000
    base: float = 0.005
    ratio: float = 1.0
    extra: float = 0.0
    slower: float = 1.0
    sigma: float = 0.5
    shocks: bool = True
    latencies: bool = False
    users: bool = False
    from_window: int = 0

    def windows(self, seed: int) -> Iterator[PairWindow]:
        """One run."""
        rng = np.random.default_rng(seed)
        index = 0
        for step, (share, count) in enumerate(self.steps):
            for _ in range(count):
                base, load = self.base, 1.0
                if self.shocks:
                    base *= 1 + 0.5 * np.sin(index / 19) + (9 if rng.random() < 0.03 else 0)
                    load = float(np.exp(rng.normal(0, 0.2)))
                rows = int(rng.poisson(self.rows * load))
                nc = int(rng.binomial(rows, share))
                harmed = index >= self.from_window
                p_c = min(base * self.ratio + self.extra, 1.0) if harmed else base
                slow = float(np.exp(rng.normal(0, 0.1))) if self.shocks else 1.0
                yield pair(
                    index,
                    self._arm(rng, nc, p_c, slow * (self.slower if harmed else 1.0)),
                    self._arm(rng, rows - nc, base, slow),
                    share, step,
                )  # fmt: skip
                index += 1

    def _arm(self, rng: np.random.Generator, rows: int, p: float, slow: float) -> ArmWindow:
        if not self.latencies:
            return arm(rows, int(rng.binomial(rows, p)))
        buckets = rng.integers(0, 128, rows) if self.users else None
        failed = rng.random(rows) < p
        duration = np.exp(rng.normal(10, self.sigma, rows)) * slow
        values = {"duration_us": duration, "cpu_us": duration * 0.3}
        return arm(rows, int(failed.sum()), measures=values, buckets=buckets, failed=failed)
