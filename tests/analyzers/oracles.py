"""SciPy as oracle, behind names with types: it ships none."""

# pyright: basic, reportMissingTypeStubs=false
# scipy is untyped; this is the one place that meets it

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special, stats

Array = np.ndarray[Any, np.dtype[np.float64]]


def log_sum_exp(logs: Array) -> float:
    """ln of the sum of exponentials."""
    return float(special.logsumexp(logs))  # type: ignore[arg-type]


def log_beta(a: float, b: float) -> float:
    """ln of the beta function."""
    return float(special.betaln(a, b))


def binomial_chances(k: Array, n: int, p: float) -> Array:
    """Chance of each k out of n."""
    return np.asarray(stats.binom.pmf(k, n, p), np.float64)


def chance_of_so_many(k: int, n: int, p: float) -> float:
    """Chance of k or more out of n: the exact one-sided binomial test."""
    return float(stats.binomtest(k, n, p, alternative="greater").pvalue)


def normal_log_cdf(x: float) -> float:
    """ln Phi(x)."""
    return float(stats.norm.logcdf(x))


def normal_log_density(x: Array, sd: float) -> Array:
    """ln of the normal density with mean 0."""
    return np.asarray(stats.norm.logpdf(x, 0, sd), np.float64)
