"""Control: what people and the rollout tell the judge, in the order in which it holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar, Self, cast

from schemas.frozen import frozen
from schemas.record import Record, plain


@frozen()
class SpecApplied(Record):
    """An experiment's specification, in force from here on; `document` is its YAML as written."""

    document: str
    path: str
    digest: str


@frozen()
class Command(Record):
    """What a person asked for: approve, pause, resume, promote, abort or rollback."""

    command_id: str
    command: str
    variant: str | None = None


@frozen()
class WeightIntent(Record):
    """Traffic is about to be shifted to `weights` (share per variant)."""

    intent_id: str
    step: int
    weights: Mapping[str, float]
    verdict_id: str | None = None


@frozen()
class WeightApplied(Record):
    """Traffic was shifted to `weights` and read back."""

    intent_id: str
    step: int
    weights: Mapping[str, float]


@frozen()
class Annotation(Record):
    """A deploy, a change of configuration; shown on charts."""

    text: str
    tags: tuple[str, ...] = ()


Body = SpecApplied | Command | WeightIntent | WeightApplied | Annotation
_BODIES: dict[str, type[Body]] = {
    f"davy.v1.{kind.__name__}": kind for kind in (SpecApplied, Command, WeightIntent, WeightApplied, Annotation)
}


@frozen()
class Control(Record):
    """One record of the control topic; `time` is UTC microseconds."""

    SCHEMA: ClassVar[str] = "Control"

    experiment_id: str
    time: int
    actor: str
    reason: str
    body: Body

    def to_avro(self) -> dict[str, Any]:
        record = {field.name: getattr(self, field.name) for field in fields(self)}
        return record | {"body": (f"davy.v1.{type(self.body).__name__}", plain(self.body))}

    @classmethod
    def from_avro(cls, data: Mapping[str, Any]) -> Self:
        name, body = cast("tuple[str, dict[str, Any]]", data["body"])
        values: dict[str, Any] = {**data, "body": _BODIES[name].from_avro(body)}
        return cls(**values)
