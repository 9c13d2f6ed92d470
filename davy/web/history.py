"""What the store knows of a span of time, in as many points as a chart shows: questions, and what is made of their answers.

The finest roll-up that needs no more than the asked number of points is read, and a coarser one where retention has
removed that. Counts are added up, means and quantiles are weighted by requests (see `streams.sinks.rollups`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from davy.store import Question, mapping, moment
from davy.web.answers import Json
from schemas.codec import iso
from schemas.config import Config
from schemas.spec import ExperimentSpec
from streams.sinks.base import quote

SECOND_US = 1_000_000
POINTS_DEFAULT, POINTS_MAX = 500, 2_000
"""Points of each line."""
STEPS_S = (10, 30, 60, 300, 900, 3600, 21_600, 86_400)
SOURCES: tuple[tuple[str, int], ...] = (
    ("windows_1d", 86_400), ("windows_1h", 3600), ("windows_1m", 60), ("windows_10s", 10), ("windows", 1),
)  # fmt: skip
"""Views and the seconds of their rows, the coarsest first."""
MEASURED_S_MAX = 7 * 86_400
"""Roll-ups keep no measures: those are read from the windows themselves, of spans up to this."""
TURNS_MAX, DECISIONS_MAX, NOTES_MAX = 500, 500, 500
"""Verdicts at which something changed, lines of the ledger, and annotations in one answer: the newest."""
COUNTS = ("rows", "errors", "requests", "late", "quarantined", "duplicates")
QUANTILES = ("mean_us", "p50_us", "p90_us", "p95_us", "p99_us", "p999_us")


@dataclass(frozen=True, slots=True)
class Span:
    """[`begin_us`, `end_us`) by steps of `step_s`, read from the view `source`."""

    begin_us: int
    end_us: int
    step_s: int
    source: str

    @property
    def lasts_s(self) -> float:
        return (self.end_us - self.begin_us) / SECOND_US

    def bucket(self, column: str) -> str:
        """In which step a time is, in seconds since the epoch."""
        return f"intDiv(toUnixTimestamp({column}), {self.step_s}) * {self.step_s}"

    def within(self, column: str) -> str:
        """The condition on a time; a step that has begun before counts whole."""
        first = self.begin_us // SECOND_US // self.step_s * self.step_s
        return f"{column} >= toDateTime({first}) AND {column} < toDateTime({-(-self.end_us // SECOND_US)})"


def span(config: Config, begin_us: int, end_us: int, points: int, now_us: int) -> Span:
    """The steps in which a span is told.

    >>> span(Config(), 0, 24 * 3600 * SECOND_US, 500, 0)
    Span(begin_us=0, end_us=86400000000, step_s=300, source='windows_1m')
    """
    lasts_s = (end_us - begin_us) / SECOND_US
    keep_by_table: Mapping[str, int] = {**config.retention}
    steps = [1, *STEPS_S] if lasts_s <= points else [step for step in STEPS_S if lasts_s / step <= points]
    for step in steps or STEPS_S[-1:]:
        source = next(name for name, seconds in SOURCES if step % seconds == 0)
        keep_us = keep_by_table.get(source)
        if keep_us is None or begin_us >= now_us - keep_us or step == STEPS_S[-1]:
            return Span(begin_us, end_us, step, source)
    raise AssertionError("the coarsest step is always told")


def begun_us(question: Question, spec: ExperimentSpec) -> int | None:
    """When the first window of an experiment began, as far as the store knows."""
    for source in ("windows_10s", "windows_1d"):
        where = f"{_place(spec)} AND ifNull(experiment_id, '') = {quote(spec.id)}"
        ((count, first),) = question(
            f"SELECT count(), toInt64(toUnixTimestamp(min(start))) FROM {source} WHERE {where}"
        ).rows
        if count:
            return int(first) * SECOND_US
    return None


def held(question: Question, spec: ExperimentSpec) -> tuple[int, int] | None:
    """From when until when the store knows windows of the experiment's service."""
    for source in ("windows_1h", "windows"):  # roll-ups come later
        ((count, first, last),) = question(
            "SELECT count(), toInt64(toUnixTimestamp(min(start))), toInt64(toUnixTimestamp(max(end))) "
            f"FROM {source} WHERE {_place(spec)}"
        ).rows
        if count:
            return int(first) * SECOND_US, int(last) * SECOND_US
    return None


def told(question: Question, spec: ExperimentSpec, asked: Span) -> Json:
    """Everything that the store knows of the span: see `docs/api`."""
    verdicts, cut_verdicts = _turns(question, spec, asked)
    decisions = _decisions(question, spec, asked)
    notes = _notes(question, asked)
    lists = {
        "verdicts": cut_verdicts,
        "decisions": len(decisions) > DECISIONS_MAX,
        "annotations": len(notes) > NOTES_MAX,
    }
    return {
        "experiment_id": spec.id, "from": iso(asked.begin_us), "to": iso(asked.end_us), "step_s": asked.step_s,
        "source": asked.source, "windows": _windows(question, spec, asked), "evidence": _evidence(question, spec, asked),
        "verdicts": verdicts, "decisions": decisions[-DECISIONS_MAX:], "annotations": notes[-NOTES_MAX:],
        "cut": [name for name, cut in lists.items() if cut],
    }  # fmt: skip


def _place(spec: ExperimentSpec) -> str:
    return f"service = {quote(spec.service)} AND environment = {quote(spec.environment)}"


def _windows(question: Question, spec: ExperimentSpec, asked: Span) -> list[Json]:
    """One per arm and step; `variant` null is what its service did outside the experiment."""
    own = f"ifNull(experiment_id, '') = {quote(spec.id)}"
    arm = f"if({own}, ifNull(variant, ''), '')"
    values = [
        *(f"sum({name})" for name in COUNTS),
        *(f"sum({name} * requests) / nullIf(sumIf(requests, isNotNull({name})), 0)" for name in QUANTILES),
    ]
    rows = question(
        f"SELECT {own}, {arm}, toInt64({asked.bucket('start')}), toInt64(max(toUnixTimestamp(end))), {', '.join(values)} "
        f"FROM {asked.source} WHERE {_place(spec)} AND {asked.within('start')} "
        f"GROUP BY {own}, {arm}, {asked.bucket('start')} ORDER BY {asked.bucket('start')}, {arm}"
    ).rows
    measures = _measures(question, spec, asked)
    found: list[Json] = []
    for row in rows:
        is_own, name, start, last, *figures = row
        if is_own and name not in spec.variants:
            continue  # of a version that is nobody's
        end = last if asked.step_s == 1 else start + asked.step_s
        found.append({
            "variant": name if is_own else None, "start": iso(start * SECOND_US), "end": iso(end * SECOND_US),
            **dict(zip((*COUNTS, *QUANTILES), figures, strict=True)),
            "measures": measures.get((name, start), {}) if is_own else {},
        })  # fmt: skip
    return found


def _measures(question: Question, spec: ExperimentSpec, asked: Span) -> Mapping[tuple[str, int], dict[str, float]]:
    """Those that the spec's SLIs judge, by arm and step."""
    names = sorted({sli.field for sli in spec.slis if sli.field not in (None, "duration_us")})
    if not names or asked.lasts_s > MEASURED_S_MAX:
        return {}
    columns = {str(row[0]) for row in question("DESCRIBE TABLE windows").rows}
    names = [name for name in names if name in columns]
    values = [f"sum(`{name}` * requests) / nullIf(sumIf(requests, isNotNull(`{name}`)), 0)" for name in names]
    if not values:
        return {}
    rows = question(
        f"SELECT ifNull(variant, ''), toInt64({asked.bucket('start')}), {', '.join(values)} FROM windows "
        f"WHERE {_place(spec)} AND ifNull(experiment_id, '') = {quote(spec.id)} AND {asked.within('start')} "
        f"GROUP BY ifNull(variant, ''), {asked.bucket('start')}"
    ).rows
    return {
        (row[0], row[1]): {name: value for name, value in zip(names, row[2:], strict=True) if value is not None}
        for row in rows
    }


def _evidence(question: Question, spec: ExperimentSpec, asked: Span) -> list[Json]:
    """The last of each step."""
    rows = question(
        "SELECT variant, sli, toInt64(max(toUnixTimestamp(event_time))), argMax(log_evidence, event_time), "
        f"argMax(threshold, event_time) FROM evidence WHERE experiment_id = {quote(spec.id)} AND {asked.within('event_time')} "
        f"GROUP BY variant, sli, {asked.bucket('event_time')} ORDER BY {asked.bucket('event_time')}"
    ).rows
    return [
        {"variant": row[0], "sli": row[1], "time": iso(row[2] * SECOND_US), "log_evidence": row[3], "threshold": row[4]}
        for row in rows
    ]


def _turns(question: Question, spec: ExperimentSpec, asked: Span) -> tuple[list[Json], bool]:
    """Verdicts at which a candidate's action or conclusion became another, oldest first; whether older ones were left out."""
    names = ("verdict_id", "variant", "sequence", "action", "conclusion", "reason", "event_time")
    rows = question(
        "SELECT argMin(verdict_id, sequence), variant, min(sequence), action, conclusion, argMin(reason, sequence), "
        f"toInt64(min(toUnixTimestamp(event_time))) FROM verdicts WHERE experiment_id = {quote(spec.id)} "
        f"AND {asked.within('event_time')} GROUP BY variant, action, conclusion, {asked.bucket('event_time')} "
        "ORDER BY min(sequence)"
    ).rows
    turned: list[Json] = []
    last: dict[str, tuple[str, str]] = {}
    for row in rows:
        verdict = dict(zip(names, row, strict=True)) | {"event_time": iso(row[-1] * SECOND_US)}
        now = (verdict["action"], verdict["conclusion"])
        if last.get(verdict["variant"]) != now:
            turned.append(verdict)
        last[verdict["variant"]] = now
    return turned[-TURNS_MAX:], len(turned) > TURNS_MAX


def _decisions(question: Question, spec: ExperimentSpec, asked: Span) -> list[Json]:
    names = ("decision_id", "time", "sequence", "kind", "outcome", "actor", "reason", "verdict_id", "variant", "step")
    where = f"experiment_id = {quote(spec.id)} AND {asked.within('time')}"
    found = question(
        f"SELECT * FROM decisions WHERE {where} ORDER BY time DESC, sequence DESC LIMIT {DECISIONS_MAX + 1}"
    )
    return [
        {name: row[name] for name in names} | {"time": iso(moment(row, "time")), "weights": mapping(row, "weights")}
        for row in reversed(found.dicts())
    ]


def _notes(question: Question, asked: Span) -> list[Json]:
    where = f"kind = 'annotation' AND {asked.within('time')}"
    found = question(f"SELECT * FROM changes WHERE {where} ORDER BY time DESC LIMIT {NOTES_MAX + 1}")
    return [
        {"time": iso(moment(row, "time")), "actor": row["actor"], "body": {"text": row["text"], "tags": row["tags"]}}
        for row in reversed(found.dicts())
    ]
