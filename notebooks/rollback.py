# ---
# jupyter:
#   jupytext: {formats: "ipynb,py:percent"}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Anatomy of a rollback
#
# How the evidence grew until it was enough, what was decided, and when traffic followed. The e-value of an SLI is the factor by which the
# data speak against "no worse than allowed". The chance that it ever reaches its threshold for a harmless release is below alpha, all SLIs
# and all looks together.

# %%
import math
import os

import matplotlib.pyplot as plt

from davy.frame import arrow

WHERE = os.environ.get("DAVY_DIR", ".davy")
rolled = arrow(
    """
    SELECT experiment_id, variant, min(event_time) AS time, argMin(reason, event_time) AS why
    FROM verdicts WHERE action = 'ROLLBACK' GROUP BY experiment_id, variant ORDER BY time
    """,
    data_dir=WHERE,
).to_pylist()
assert rolled, "nothing was rolled back here: try `davy demo --scenario errors`"
EXPERIMENT, VARIANT, WHEN = (rolled[-1][name] for name in ("experiment_id", "variant", "time"))
OF_IT = f"experiment_id = '{EXPERIMENT}' AND variant = '{VARIANT}'"
print(f"{EXPERIMENT}: {VARIANT} was rolled back on events up to {WHEN:%H:%M:%S} UTC: {rolled[-1]['why']}")

# %% [markdown]
# ## The evidence of every SLI
#
# Below zero the data speak for the release, above it against it. The lower picture has the candidate's share of traffic: the more it gets,
# the faster evidence comes.

# %%
evidence = arrow(
    f"""
    SELECT event_time, sli, log_evidence, threshold, baseline, candidate, effect, lower, upper, status, n_candidate
    FROM evidence WHERE {OF_IT} AND event_time <= fromUnixTimestamp64Micro({round(WHEN.timestamp() * 1e6)})
    ORDER BY event_time, position
    """,
    data_dir=WHERE,
).to_pylist()
assert evidence
weights = arrow(
    f"SELECT event_time, weight FROM verdicts WHERE {OF_IT} ORDER BY event_time, sequence", data_dir=WHERE
).to_pylist()

figure, (axis, share) = plt.subplots(2, 1, figsize=(9, 6), sharex=True, height_ratios=[3, 1])
for sli in dict.fromkeys(row["sli"] for row in evidence):
    rows = [row for row in evidence if row["sli"] == sli]
    times = [row["event_time"] for row in rows]
    axis.plot(times, [row["log_evidence"] / math.log(10) for row in rows], marker=".", label=sli)
axis.axhline(math.log10(evidence[-1]["threshold"]), color="red", linestyle="--", label="threshold of one SLI alone")
axis.axhline(0, color="gray", linewidth=0.5)
share.step(
    [row["event_time"] for row in weights], [100 * row["weight"] for row in weights], where="post", color="black"
)
for each in (axis, share):
    each.axvline(WHEN, color="red", linewidth=1)
axis.annotate("ROLLBACK", (WHEN, 0.02), xycoords=("data", "axes fraction"), xytext=(-4, 0), ha="right",
              textcoords="offset points", color="red")  # fmt: skip
axis.set(ylabel="log10 of the e-value of harm", title=f"{EXPERIMENT}, {VARIANT}: evidence until the rollback")
share.set(ylabel="share of traffic, %", xlabel="time of events, UTC", ylim=(0, None))
axis.legend(loc="upper left", fontsize="small", ncols=2)
figure.autofmt_xdate()

# %%
final = [row for row in evidence if row["event_time"] == evidence[-1]["event_time"]]


def told(value):
    return "-" if value is None else f"{value:.4g}"


print(f"{'SLI':>16} {'control':>10} {'candidate':>10} {'change':>10}   with its interval")
for row in final:
    print(
        f"{row['sli']:>16} {told(row['baseline']):>10} {told(row['candidate']):>10} {told(row['effect']):>10}   "
        f"[{told(row['lower'])}, {told(row['upper'])}] {row['status']}"
    )
assert any(row["status"] == "HARM" for row in final)

# %% [markdown]
# ## What was decided, by whom, and when traffic followed

# %%
decisions = arrow(
    f"SELECT time, kind, outcome, actor, reason, weights FROM decisions WHERE experiment_id = '{EXPERIMENT}' ORDER BY sequence",
    data_dir=WHERE,
).to_pylist()
assert decisions
for row in decisions:
    shares = ", ".join(f"{arm} {100 * part:g} %" for arm, part in row["weights"])
    print(
        f"{row['time']:%H:%M:%S}  {row['kind']:<12} {row['outcome']:<8} {row['actor']:<10} {shares:<28} {row['reason'][:80]}"
    )

# %% [markdown]
# ## What it cost
#
# Errors of the candidate beyond what control had meanwhile: what people met before the rollback took effect.

# %%
cost = arrow(
    f"SELECT variant, sum(rows) AS requests, sum(errors) AS errors FROM windows WHERE experiment_id = '{EXPERIMENT}' GROUP BY variant",
    data_dir=WHERE,
)
arms = {row["variant"]: row for row in cost.to_pylist()}
candidate, control = arms[VARIANT], arms["control"]
extra = candidate["errors"] - candidate["requests"] * control["errors"] / control["requests"]
everyone = sum(row["requests"] for row in arms.values())
print(f"about {extra:.0f} of {everyone:,} requests failed that would not have failed with control")
