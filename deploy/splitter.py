"""The traffic splitter: weights as files for flagd, nginx and HAProxy, replaced by rename, never written in place.

>>> shares({"control": 0.9, "canary": 0.1}, ("canary",))
{'canary': 1000, 'control': 9000}
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from schemas.errors import UserError
from schemas.spec import ExperimentSpec

Weights = Mapping[str, float]
SHARES = 10_000
"""Weights are integers that add up to this: a share of one hundredth of a percent is the least."""
HAPROXY_MAX = 256
FLAGD, NGINX_SPLIT, NGINX_UPSTREAM = "flagd.json", "nginx-split.conf", "nginx-upstream.conf"
HAPROXY, HAPROXY_MAP = "haproxy.cmds", "haproxy-split.map"
MARK = "# "
BUCKETING = "salt: experiment id; nginx split_clients, HAProxy xxh32 mod 10000, flagd fractional (flagd-core 2)"
"""How a unit comes to its bucket. It stands in the ledger; a rollout that began with another goes on to no further step."""


def step_weights(spec: ExperimentSpec, weight: float, out: frozenset[str] = frozenset()) -> dict[str, float]:
    """Share per variant when every candidate gets `weight`, those in `out` nothing, and the rollback target the rest."""
    weights = {name: 0.0 if name in out else weight for name in spec.candidates}
    rest = max(0.0, 1.0 - sum(weights.values()))
    target = spec.rollback.to if spec.rollback.to in spec.variants else spec.candidates[0]
    weights[target] = weights.get(target, 0.0) + rest
    return {name: weights.get(name, 0.0) for name in spec.variants}


def shares(weights: Weights, candidates: Sequence[str]) -> dict[str, int]:
    """Integers that add up to `SHARES`, candidates first; what rounding leaves goes to the last."""
    names = [*(name for name in candidates if name in weights), *(name for name in weights if name not in candidates)]
    parts = {name: round(weights[name] * SHARES) for name in names}
    biggest = max(names, key=lambda name: (weights[name], names.index(name)))
    parts[biggest] += SHARES - sum(parts.values())
    return parts


def render(spec: ExperimentSpec, weights: Weights) -> dict[str, str]:
    """Content of every file for these weights (share per variant, adding up to 1)."""
    parts = shares({name: weights.get(name, 0.0) for name in spec.variants}, spec.candidates)
    files = {
        FLAGD: _flagd(spec, parts), NGINX_SPLIT: _nginx_split(spec, parts), HAPROXY: _haproxy(spec, weights),
        HAPROXY_MAP: "".join(f"{name} {bound}\n" for name, bound in bounds(parts).items()),
    }  # fmt: skip
    if any(arm.upstream for arm in spec.variants.values()):
        files[NGINX_UPSTREAM] = _nginx_upstream(spec, parts)
    return files


def bounds(parts: Mapping[str, int]) -> dict[str, int]:
    """Where each arm's buckets end, of `SHARES`: a unit's arm is the first whose bound is above its bucket, so that it keeps
    its candidate while that grows.

    >>> bounds({"canary": 500, "bolder": 1000, "control": 8500})
    {'canary': 500, 'bolder': 1500, 'control': 10000}
    """
    return dict(zip(parts, itertools.accumulate(parts.values()), strict=True))


def _flagd(spec: ExperimentSpec, parts: Mapping[str, int]) -> str:
    """One flag whose unit keeps its arm while the candidate grows: the salt is the experiment's id, for good."""
    fractional: list[Any] = [{"cat": [spec.id, {"var": "targetingKey"}]}]
    fractional += [[name, part] for name, part in parts.items()]
    default = max(parts, key=lambda name: (parts[name], name == spec.control))
    flag = {
        "state": "ENABLED",
        "variants": {name: name for name in spec.variants},
        "defaultVariant": default,
        "targeting": {"fractional": fractional},
    }
    document = {"$schema": "https://flagd.dev/schema/v0/flags.json", "flags": {spec.id: flag}}
    return json.dumps(document, indent=2) + "\n"


def _nginx_split(spec: ExperimentSpec, parts: Mapping[str, int]) -> str:
    """For `http {}`. nginx refuses 0%, so an arm without traffic has no line; the last arm is what is left."""
    header = "$http_" + spec.unit_header.lower().replace("-", "_")
    serving = [name for name in parts if parts[name]]
    lines = [f'split_clients "{spec.id}{header}" $davy_variant {{']
    lines += [f"    {parts[name] / 100:.2f}% {name};" for name in serving[:-1]]
    lines += [f"    * {serving[-1]};", "}"]
    return "\n".join(lines) + "\n"


def _nginx_upstream(spec: ExperimentSpec, parts: Mapping[str, int]) -> str:
    """nginx refuses weight=0: such a server is down. An arm's weight is spread over its servers."""
    lines = [f"upstream davy_{spec.service} {{"]
    widest = max(len(spec.variants[name].upstream) for name in parts) or 1
    for name, part in parts.items():
        servers = spec.variants[name].upstream
        for server in servers:
            weight = max(1, round(part * widest / len(servers)))
            lines.append(f"    server {server} {f'weight={weight}' if part else 'down'}; {MARK}{name}")
    return "\n".join([*lines, "}"]) + "\n"


def _haproxy(spec: ExperimentSpec, weights: Weights) -> str:
    """Commands in the order to be sent: what loses traffic first, so that no candidate ever gets more than it should."""
    scale = HAPROXY_MAX / max(max(weights.values(), default=0.0), 1e-9)
    numbers = {name: min(HAPROXY_MAX, round(weights.get(name, 0.0) * scale)) for name in spec.variants}
    order = sorted(
        numbers, key=lambda name: (name != spec.control, spec.candidates.index(name) if name in spec.candidates else 0)
    )
    if all(weights.get(name, 0.0) == 0.0 for name in spec.candidates):
        order.reverse()
    return "".join(f"set server davy_{spec.service}/{name} weight {numbers[name]}\n" for name in order)


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Replace every file by rename; each is on disk before it takes the old one's place."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        fresh = folder / f".{name}.new"
        with fresh.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(folder / name)


def read_back(folder: Path) -> dict[str, float]:
    """Share per variant as the flag file now says; empty where there is none."""
    try:
        document = json.loads((folder / FLAGD).read_text("utf-8"))
    except FileNotFoundError:
        return {}
    (flag,) = document["flags"].values()
    return {name: part / SHARES for name, part in flag["targeting"]["fractional"][1:]}


def split(spec: ExperimentSpec, weight: float, out: Path) -> dict[str, float]:
    """`davy split`: the files for one weight of every candidate; gives the weights as they were written."""
    if weight * len(spec.candidates) > 1 + 1e-9:
        raise UserError(
            f"--weight {weight:g}: {len(spec.candidates)} candidates at this weight are more than all traffic"
        )
    write(out, render(spec, step_weights(spec, weight)))
    return read_back(out)
