"""The oracles keep alpha, and who is not told the begin is later than who is."""

from __future__ import annotations

import math

import numpy as np

from bench.judgement.rivals import LEVEL, NEVER, oracle, waiting_oracle
from tests.analyzers.oracles import chance_of_so_many

RUNS, WINDOWS, DRIFT = 2000, 120, 0.3
"""`DRIFT`: the log-likelihood ratio that a window of harm adds on average; its variance is twice that."""


def steps(seed: int, begin: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(-DRIFT, math.sqrt(2 * DRIFT), WINDOWS)
    drawn[begin:] += 2 * DRIFT
    return drawn


def test_both_keep_alpha() -> None:
    for rule in (lambda drawn: oracle(drawn, 0), waiting_oracle):
        alarms = sum(rule(steps(seed, WINDOWS)) < NEVER for seed in range(RUNS))
        assert chance_of_so_many(alarms, RUNS, LEVEL) > 1e-3


def test_the_begin_is_worth_knowing_and_the_first_window_costs_little() -> None:
    for begin, least, most in ((0, 1.0, 1.3), (60, 1.2, 2.5)):
        told, untold = (
            float(np.median([rule(steps(seed, begin)) - begin for seed in range(300)]))
            for rule in (lambda drawn, begin=begin: oracle(drawn, begin), waiting_oracle)
        )
        assert least < untold / told < most
