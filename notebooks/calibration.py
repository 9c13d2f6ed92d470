# ---
# jupyter:
#   jupytext: {formats: "ipynb,py:percent"}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Calibration: was the alarm rate what we promised?
#
# `alpha` bounds the chance that a harmless release is ever rolled back, all SLIs and all looks together. Harmless is what is no worse than
# `max_increase` allows. We simulate two kinds of it, judge them with the production engine (`streams.replay`) and count alarms: A/A, where
# both arms run the same code, and the hardest case, a candidate that has exactly as many more errors as are allowed. `DAVY_TRIALS` says
# how many of each.

# %%
import os
from math import comb

import matplotlib.pyplot as plt
from trials import trials

TRIALS = int(os.environ.get("DAVY_TRIALS", "20"))
EVENTS = int(os.environ.get("DAVY_EVENTS", "20000"))
ALPHA = 0.01
KINDS = {"A/A": 0.0, "as bad as allowed": 0.005}
"""By how much the share of errors is raised; 0.5 percentage points are allowed."""

# %%
found = {kind: trials(TRIALS, EVENTS, more) for kind, more in KINDS.items()}

# %% [markdown]
# ## How many were rolled back?
#
# And how surprising would at least so many be, if each came with a chance of alpha? Below 0.001 the promise would be broken.

# %%
for kind, outcomes in found.items():
    alarms = sum(action == "ROLLBACK" for action, *_ in outcomes)
    tail = sum(comb(TRIALS, k) * ALPHA**k * (1 - ALPHA) ** (TRIALS - k) for k in range(alarms, TRIALS + 1))
    print(f"{kind}: {alarms} of {TRIALS} releases rolled back; P(at least {alarms} | alpha = {ALPHA:g}) = {tail:.3g}")
    assert tail > 0.001

# %% [markdown]
# ## How near did they come?
#
# The largest e-value of harm that the errors of each release ever had; it starts at 1. By Ville's inequality at most a share 1/x of
# harmless releases may ever reach x, however often one looks: every line has to stay under the dashed one, but for chance. Two identical
# arms stay far below, since the tolerance speaks for them.

# %%
threshold = min(limit for _, _, limit in found["A/A"])
figure, axis = plt.subplots(figsize=(8, 4.5))
grid = [10 ** (i / 50) for i in range(150)]
for kind, outcomes in found.items():
    shares = [sum(peak >= x for _, peak, _ in outcomes) / TRIALS for x in grid]
    axis.plot(grid, shares, drawstyle="steps-post", label=f"{TRIALS} releases, {kind}")
axis.plot(grid, [1 / x for x in grid], "r--", label="at most 1/x is promised")
axis.axvline(threshold, color="gray", linestyle=":", label=f"errors alone are enough for ROLLBACK: {threshold:.0f}")
axis.set(
    xscale="log", xlabel="x: largest e-value of harm", ylabel="share of releases that ever reached x", ylim=(0, 1.05)
)
axis.set_title("Evidence of harm against harmless releases")
axis.legend()
