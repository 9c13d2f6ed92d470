# ---
# jupyter:
#   jupytext: {formats: "ipynb,py:percent"}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Designing an experiment
#
# How much traffic does a promotion need, for the tolerance that you ask for? The smaller `max_increase`, the longer it takes to show that a
# release keeps to it. We take harmless releases, judge them with the production engine for several tolerances, and see when SAFETY is
# reached. `DAVY_SEEDS` says how many releases.

# %%
import os
from statistics import median

import matplotlib.pyplot as plt
from trials import needed

SEEDS = int(os.environ.get("DAVY_SEEDS", "3"))
TOLERANCES = (0.35, 0.5, 1.0, 2.0)
"""Percentage points by which errors may rise."""
BASE = 0.005
"""Share of requests that fail anyway."""

# %%
found = {tolerance: [needed(tolerance, seed) for seed in range(1, SEEDS + 1)] for tolerance in TOLERANCES}
for tolerance, requests in found.items():
    told = ", ".join(f"{n:,}" if n else "more than were simulated" for n in requests)
    print(f"max_increase: {tolerance:g}pp  ->  requests of the candidate: {told}")

# %% [markdown]
# The dashed line is the rule for planning: 14 (2p + d) / d² requests, for a share p of errors and a tolerance d, are enough in nine runs
# of ten. Half the tolerance costs up to four times the traffic: choose the largest one that you can bear. Dots stand at whole windows of
# some 500 requests, so a lucky release needs one or two.

# %%
reached = {tolerance: [n for n in requests if n] for tolerance, requests in found.items()}
middle = {tolerance: median(requests) for tolerance, requests in reached.items() if requests}
assert len(middle) >= 3
assert list(middle.values()) == sorted(middle.values(), reverse=True)
rule = [14 * (2 * BASE + t / 100) / (t / 100) ** 2 for t in TOLERANCES]
figure, axis = plt.subplots(figsize=(8, 4.5))
for tolerance, requests in reached.items():
    axis.scatter([tolerance] * len(requests), requests, color="tab:blue", alpha=0.5)
axis.plot(list(middle), list(middle.values()), color="tab:blue", label=f"median of {SEEDS} simulated releases")
axis.plot(TOLERANCES, rule, "--", color="gray", label="rule: enough in nine of ten")
axis.set(
    xscale="log", yscale="log", xlabel="max_increase of errors, percentage points", ylabel="requests of the candidate"
)
axis.set_xticks(TOLERANCES, [f"{t:g}" for t in TOLERANCES])
axis.minorticks_off()
axis.set_title("Requests until SAFETY: what a tighter promise costs")
axis.legend()

# %% [markdown]
# `davy plan SPEC` gives such figures for a spec of yours, and `davy explain EXPERIMENT` what a running one still needs.
