"""Flagger's Canary resources (docs.flagger.app, "Canary analysis")."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from davy.importers.draft import (
    TOLERANCE,
    Draft,
    at,
    duration_at,
    guessed,
    limit_of,
    number_at,
    places,
    seconds,
    text_at,
)
from schemas.located import Located

ANALYSIS = ("spec", "analysis")
INTERVAL = "1m"
HALF = 50.0
HELD = {"confirm-promotion": "promotion", "confirm-traffic-increase": "steps"}


def drafts(documents: Sequence[Located]) -> list[Draft]:
    """One of every Canary."""
    return [_draft(document) for document in documents if text_at(document, "kind") == "Canary"]


def _draft(document: Located) -> Draft:
    name = text_at(document, "metadata", "name")
    draft = Draft(
        name, text_at(document, "spec", "service", "name") or text_at(document, "spec", "targetRef", "name") or name,
        text_at(document, "metadata", "namespace") or "default", f"Flagger's {Path(document.file).name}",
    )  # fmt: skip
    _steps(document, draft)
    for place in places(document, *ANALYSIS, "metrics"):
        _metric(document, place, draft)
    for place in places(document, *ANALYSIS, "webhooks"):
        kind = text_at(document, *place, "type")
        if kind in HELD:
            draft.policy["approval"] = HELD[kind]
            draft.notes.append(f"the webhook {kind} asked a program; here a person says `davy approve {draft.id}`")
        else:
            name = text_at(document, *place, "name")
            draft.notes.append(f"the webhook {name} ({kind or 'rollout'}) stays with your pipeline")
    threshold = number_at(document, *ANALYSIS, "threshold")
    if threshold is not None:
        draft.notes.append(
            f"{threshold:g} failed checks rolled back; here evidence does: a release that is not worse is rolled back in at "
            "most 1 % of rollouts (policy.alpha)"
        )
    return draft


def _steps(document: Located, draft: Draft) -> None:
    interval = duration_at(document, *ANALYSIS, "interval") or INTERVAL
    given = [number_at(document, *place) or 0.0 for place in places(document, *ANALYSIS, "stepWeights")]
    step, most = number_at(document, *ANALYSIS, "stepWeight"), number_at(document, *ANALYSIS, "maxWeight") or 100.0
    iterations = number_at(document, *ANALYSIS, "iterations")
    if not given and step:
        given = [step * i for i in range(1, int(most / step) + 1)]
    if given:
        draft.steps = [(weight, interval) for weight in given if 0 < weight < 100]
    elif iterations:
        total_s = iterations * seconds(interval)
        draft.steps = [(HALF, f"{total_s:g}s")]
        who = "headers chose who saw it" if at(document, *ANALYSIS, "match") else "it was mirrored or switched at once"
        draft.notes.append(f"{who}; here half of the requests do")
    if not draft.steps:
        draft.steps = [(10.0, "10m"), (HALF, "10m")]
        draft.notes.append("it named no weights: the steps are a start")
    total = sum(seconds(duration) for _, duration in draft.steps)
    draft.policy["min_duration"] = f"{total:g}s"


def _metric(document: Located, place: tuple[str | int, ...], draft: Draft) -> None:
    name = text_at(document, *place, "name")
    least, most = (
        number_at(document, *place, "thresholdRange", "min"),
        number_at(document, *place, "thresholdRange", "max"),
    )
    if name == "request-success-rate":
        allowed = 100 - (least if least is not None else 99.0)
        draft.slis.append({"name": "errors", "type": "error_ratio", "max_increase": f"{allowed:g}pp"})
        draft.notes.append(
            f"errors might be {allowed:g} % whatever control did; here they may be {allowed:g}pp above its"
        )
    elif name == "request-duration":
        draft.slis.append(
            {"name": "latency-p99", "type": "latency_quantile", "quantile": "0.99", "max_increase": TOLERANCE}
        )
        limit = f"{most:g} ms" if most is not None else "a limit"
        draft.notes.append(
            f"p99 was held below {limit} whatever control did; here it may be {TOLERANCE} above control's"
        )
    elif (found := guessed(name, text_at(document, *place, "query"))) is not None:
        draft.slis.append(found | {limit_of(found["type"]): TOLERANCE})
        draft.notes.append(f"{name} is taken for {found['type']}: check it")
    else:
        draft.notes.append(f"{name} asks a metrics store; let the service emit it as a measure and add it to the slis")
