# ---
# jupyter:
#   jupytext: {formats: "ipynb,py:percent"}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Error budgets over a quarter
#
# An objective of 99.9 % over 30 days allows one request in a thousand to fail. How much of that is spent, how fast, and by whom: candidates
# or what was there anyway? `DAVY_DAYS` says how far back (default: 90), `DAVY_OBJECTIVE` what is promised (default: 0.999). The roll-ups
# hold it all: the coarsest one that still gives enough points is read, so a quarter of many services is a few thousand rows.

# %%
import os
from collections import defaultdict
from datetime import timedelta

import matplotlib.pyplot as plt

from davy.frame import arrow

WHERE = os.environ.get("DAVY_DIR", ".davy")
DAYS = float(os.environ.get("DAVY_DAYS", "90"))
OBJECTIVE = float(os.environ.get("DAVY_OBJECTIVE", "0.999"))
ROLLUPS = {"windows_1d": 86_400, "windows_1h": 3600, "windows_1m": 60, "windows_10s": 10}
POINTS_MIN = 20

bounds = arrow(
    "SELECT min(start) AS first, max(end) AS last, count() AS n FROM windows_10s", data_dir=WHERE
).to_pylist()[0]
assert bounds["n"], "no history yet: run `davy demo` first"
first, last = max(bounds["first"], bounds["last"] - timedelta(days=DAYS)), bounds["last"]
span_s = (last - first).total_seconds()
ROLLUP = next((name for name, seconds in ROLLUPS.items() if span_s >= POINTS_MIN * seconds), "windows_10s")
rows = arrow(
    f"""
    SELECT start, service, ifNull(variant, 'no experiment') AS arm, sum(rows) AS requests, sum(errors) AS errors
    FROM {ROLLUP} WHERE start >= toDateTime({int(first.timestamp())}) GROUP BY start, service, arm ORDER BY start
    """,
    data_dir=WHERE,
).to_pylist()
print(f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC, from {ROLLUP}")

# %% [markdown]
# ## Budget spent, by service

# %%
requests, errors = defaultdict(int), defaultdict(int)
for row in rows:
    for key in (row["service"], (row["service"], row["start"])):
        requests[key] += row["requests"]
        errors[key] += row["errors"]
services = sorted({row["service"] for row in rows})
for service in services:
    allowed = (1 - OBJECTIVE) * requests[service]
    print(
        f"{service}: {errors[service]:,} errors in {requests[service]:,} requests; {allowed:,.0f} are allowed: "
        f"{100 * errors[service] / allowed:.0f} % of the budget is spent"
    )

# %% [markdown]
# ## How fast it went
#
# Above: the share of the budget that was spent by then; at 100 % the promise for this span is broken. Below: the burn rate. At 1 the budget
# lasts exactly as long as it must; 14.4 for an hour spends 2 % of a 30-day budget and usually wakes somebody (Google's SRE workbook,
# chapter 5).

# %%
figure, (spent, speed) = plt.subplots(2, 1, figsize=(9, 7), sharex=True)
for service in services:
    times = sorted({row["start"] for row in rows if row["service"] == service})
    allowed, total, curve, burn = (1 - OBJECTIVE) * requests[service], 0, [], []
    for time in times:
        total += errors[service, time]
        curve.append(100 * total / allowed)
        burn.append(errors[service, time] / requests[service, time] / (1 - OBJECTIVE))
    spent.plot(times, curve, marker=".", label=service)
    speed.plot(times, burn, marker=".", label=service)
spent.axhline(100, color="red", linestyle="--", label="all of it")
speed.axhline(1, color="gray", linestyle=":", label="lasts as long as it must")
speed.axhline(14.4, color="red", linestyle="--", label="wakes somebody")
spent.set(ylabel="budget spent, %", title=f"Error budget of {100 * OBJECTIVE:g} %", ylim=(0, None))
speed.set(ylabel="burn rate", xlabel="time, UTC", ylim=(0, None))
for axis in (spent, speed):
    axis.legend()
figure.autofmt_xdate()

# %% [markdown]
# ## Who spent it?

# %%
by_arm = defaultdict(int)
for row in rows:
    by_arm[row["arm"]] += row["errors"]
everything = max(1, sum(by_arm.values()))
for arm, count in sorted(by_arm.items(), key=lambda item: -item[1]):
    print(f"{arm:>14}: {count:6,} errors, {100 * count / everything:.0f} % of what was spent")
