# ---
# jupyter:
#   jupytext: {formats: "ipynb,py:percent"}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # A first look at a release
#
# What came, from which version, and how it compares. `DAVY_DIR` is the data folder of a run (`davy demo` leaves `.davy` behind); with a
# ClickHouse server give `config="davy.yaml"` to `arrow` instead.

# %%
import math
import os

import matplotlib.pyplot as plt

from davy.frame import arrow

WHERE = os.environ.get("DAVY_DIR", ".davy")

# %% [markdown]
# ## Which experiments are there, and how did they end?

# %%
experiments = arrow(
    "SELECT id, service, environment, hypothesis, control, candidates FROM experiments ORDER BY applied_at",
    data_dir=WHERE,
).to_pylist()
assert experiments, "no experiment yet: run `davy demo` first"
last = arrow(
    """
    SELECT experiment_id, variant, argMax(action, sequence) AS action, argMax(conclusion, sequence) AS conclusion,
           argMax(reason, sequence) AS reason, count() AS verdicts
    FROM verdicts WHERE phase = 'rollout' GROUP BY experiment_id, variant
    """,
    data_dir=WHERE,
).to_pylist()
for experiment in experiments:
    print(f"{experiment['id']} ({experiment['service']}, {experiment['environment']}): {experiment['hypothesis']}")
    for row in last:
        if row["experiment_id"] == experiment["id"]:
            print(
                f"  {row['variant']}: {row['action']} {row['conclusion']} after {row['verdicts']} verdicts: {row['reason']}"
            )

# %% [markdown]
# ## Errors, latency and requests of each arm
#
# Each point is one window. Dotted lines are changes of weight, with the candidate's new share of traffic; a window with few requests
# says little about errors.

# %%
EXPERIMENT = experiments[-1]["id"]
windows = arrow(
    f"""
    SELECT start, ifNull(variant, '') AS arm, any(version) AS release, sum(rows) AS requests, sum(errors) AS errors,
           max(p99_us) AS p99_us
    FROM windows WHERE experiment_id = '{EXPERIMENT}' GROUP BY start, arm ORDER BY start
    """,
    data_dir=WHERE,
).to_pylist()
assert windows, "no window yet: the first one closes some seconds after traffic began"
shifts = arrow(
    f"SELECT time, weights FROM changes WHERE experiment_id = '{EXPERIMENT}' AND kind = 'weight_applied' ORDER BY time",
    data_dir=WHERE,
).to_pylist()
CONTROL = experiments[-1]["control"]
arms = [CONTROL, *experiments[-1]["candidates"]]

figure, (errors, latency, requests) = plt.subplots(3, 1, figsize=(9, 8), sharex=True)
for arm in arms:
    rows = [row for row in windows if row["arm"] == arm]
    times = [row["start"] for row in rows]
    label = f"{arm} ({rows[-1]['release']})" if rows else arm
    errors.plot(times, [100 * row["errors"] / row["requests"] for row in rows], marker=".", label=label)
    latency.plot(times, [(row["p99_us"] or math.nan) / 1000 for row in rows], marker=".", label=label)
    requests.plot(times, [row["requests"] for row in rows], marker=".", label=label)
for shift in shifts:
    for axis in (errors, latency, requests):
        axis.axvline(shift["time"], color="gray", linestyle=":", linewidth=1)
    share = 1 - dict(shift["weights"]).get(CONTROL, 0.0)
    errors.annotate(f"{100 * share:.3g} %", (shift["time"], 1), xycoords=("data", "axes fraction"), rotation=90,
                    xytext=(2, -4), textcoords="offset points", va="top", fontsize=8, color="gray")  # fmt: skip
errors.set(ylabel="errors, %", title=f"{EXPERIMENT}", ylim=(0, None))
latency.set(ylabel="p99 of durations, ms", ylim=(0, None))
requests.set(ylabel="requests in a window", xlabel="time, UTC", ylim=(0, None))
errors.legend(loc="upper right")
figure.autofmt_xdate()

# %% [markdown]
# ## Totals

# %%
for arm in arms:
    rows = [row for row in windows if row["arm"] == arm]
    seen, failed = sum(row["requests"] for row in rows), sum(row["errors"] for row in rows)
    if seen:
        print(f"{arm:>10}: {seen:8,} requests, {100 * failed / seen:.2f} % errors, version {rows[-1]['release']}")
