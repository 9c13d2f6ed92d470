"""ExperimentSpec: what an experiment promises, parsed from YAML; every error has its file, line and column.

>>> spec, = load_specs(EXAMPLE)
>>> spec.id, spec.steps[0].weight, spec.slis[0].max_increase
('checkout-2.4.0', 0.01, Tolerance(kind='absolute', value=0.005))
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path as FilePath
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from schemas.errors import UserError
from schemas.located import Errors, Finding, Located, Path, read
from schemas.units import Tolerance, parse_duration, parse_share, parse_tolerance

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
SPEC_SUFFIXES = (".yaml", ".yml")
STEPS_MAX = 100
SLIS_MAX = 100
CANDIDATES_MAX = 32
RISK_MAX = 0.5
"""alpha and beta beyond one half promise nothing."""

EXAMPLE = """\
apiVersion: davy/v1
kind: Experiment
id: checkout-2.4.0
service: checkout
environment: production
variants:
  control: {version: 2.3.1}
  canary: {version: 2.4.0}
slis:
  - {name: errors, type: error_ratio, max_increase: 0.5pp}
steps:
  - {weight: 1%, duration: 5m}
"""


M = TypeVar("M", bound="Model")


class SpecErrors(Errors):
    """Everything that is wrong with a spec."""


def _parsed(parse: Callable[[Any], Any]) -> BeforeValidator:
    """A validator that keeps the parser's own sentence."""

    def validate(value: Any) -> Any:
        try:
            return parse(value)
        except ValueError as error:
            raise PydanticCustomError("unit", "{message}", {"message": str(error)}) from None

    return BeforeValidator(validate, json_schema_input_type=str | float)


def _positive(value: Any) -> int:
    micros = parse_duration(value)
    if micros == 0:
        raise ValueError("a duration of zero does nothing; write for example 5m")
    return micros


def _tolerance(value: Any) -> Tolerance:
    return value if isinstance(value, Tolerance) else parse_tolerance(value)


def _id(value: Any) -> str:
    if not isinstance(value, str) or not ID.fullmatch(value):
        raise ValueError(f"{value!r} is no id; use letters, digits, '.', '_' and '-', at most 128, first a letter or digit")
    return value


DurationUs = Annotated[int, _parsed(parse_duration)]
PositiveUs = Annotated[int, _parsed(_positive)]
Share = Annotated[float, _parsed(parse_share)]
Identifier = Annotated[str, _parsed(_id)]
Text = Annotated[str, Field(min_length=1, max_length=256)]
Risk = Annotated[float, _parsed(parse_share), Field(gt=0, le=RISK_MAX)]


class Model(BaseModel):
    """Frozen; unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Arm(Model):
    """One variant: the version that serves it and, for a proxy, where."""

    version: Text
    upstream: tuple[str, ...] = ()


class SliSpec(Model):
    """One service-level indicator and how much worse it may become. `line` is where it stands in the spec."""

    name: Identifier
    type: Literal["error_ratio", "latency_quantile", "latency_mean", "throughput", "resource_mean"]
    quantile: float | None = Field(default=None, gt=0, lt=1)
    field: Text | None = None
    mode: Literal["enforce", "shadow"] = "enforce"
    max_increase: Annotated[Tolerance, _parsed(_tolerance)] | None = None
    max_decrease: Annotated[Tolerance, _parsed(_tolerance)] | None = None
    _line: int = PrivateAttr(default=1)

    @property
    def line(self) -> int:
        """Where it stands in the spec's source."""
        return self._line

    @property
    def tolerance(self) -> Tolerance:
        """The one that its type asks for."""
        tolerance = self.max_decrease if self.type == "throughput" else self.max_increase
        return tolerance or DEFAULT_TOLERANCE[self.type]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        wrong, right = ("max_increase", "max_decrease")
        if self.type != "throughput":
            wrong, right = right, wrong
        if getattr(self, wrong) is not None:
            raise _at((wrong,), f"{self.type} has no {wrong}; write {right}")
        if self.type == "throughput" and self.max_decrease and not _is_share(self.max_decrease):
            raise _at(("max_decrease",), "a throughput may fall by a percentage below 100%, for example 30%")
        if self.type == "error_ratio" and self.max_increase and self.max_increase.kind == "absolute":
            if self.max_increase.value >= 1:
                raise _at(("max_increase",), "an error ratio cannot rise by 100pp or more; write for example 0.5pp")
        if self.type == "latency_quantile" and self.max_increase and self.max_increase.kind == "absolute":
            raise _at(("max_increase",), "a latency quantile is compared relatively; write for example 10%")
        if self.type in ("latency_mean", "resource_mean") and self.max_increase and self.max_increase.kind == "absolute":
            raise _at(("max_increase",), "a mean is compared relatively; write for example 5%")
        if (self.quantile is not None) != (self.type == "latency_quantile"):
            said = "needs quantile: for example 0.99" if self.quantile is None else "has no quantile"
            raise _at(("type" if self.quantile is None else "quantile",), f"{self.type} {said}")
        if (self.field is not None) != (self.type == "resource_mean"):
            said = "needs field: for example cpu_us" if self.field is None else "has no field"
            raise _at(("type" if self.field is None else "field",), f"{self.type} {said}")
        return self


DEFAULT_TOLERANCE: Mapping[str, Tolerance] = {
    "error_ratio": Tolerance("absolute", 0.005),
    "latency_quantile": Tolerance("relative", 0.10),
    "latency_mean": Tolerance("relative", 0.05),
    "throughput": Tolerance("relative", 0.30),
    "resource_mean": Tolerance("relative", 0.15),
}


def _is_share(tolerance: Tolerance) -> bool:
    return tolerance.kind == "relative" and tolerance.value < 1


def _at(path: Path, message: str) -> PydanticCustomError:
    """An error of a field, raised where the whole model is looked at."""
    return PydanticCustomError("davy", "{message}", {"message": message, "path": list(path)})


class Policy(Model):
    """Promises and patience; times in microseconds."""

    alpha: Risk = 0.01
    beta: Risk = 0.05
    min_duration_us: DurationUs = Field(default=600_000_000, alias="min_duration")
    min_requests: int = Field(default=1000, ge=0)
    max_duration_us: PositiveUs = Field(default=86_400_000_000, alias="max_duration")
    on_no_data: Literal["hold", "rollback"] = "hold"
    sustained_us: DurationUs = Field(default=30_000_000, alias="sustained")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.min_duration_us > self.max_duration_us:
            raise _at(("min_duration",), "min_duration is longer than max_duration")
        return self


class ErrorBudget(Model):
    """How much of the time, or of the requests, must be good."""

    objective: Share = 0.999
    window_us: PositiveUs = Field(default=30 * 86_400_000_000, alias="window")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not 0 < self.objective < 1:
            raise _at(("objective",), "an objective lies between 0% and 100%, for example 99.9%")
        return self


class Step(Model):
    """Each candidate gets `weight` of the traffic for that long."""

    weight: Share
    duration_us: PositiveUs = Field(alias="duration")


class Rollback(Model):
    """How long a rollback stays possible, and to which arm."""

    window_us: PositiveUs = Field(default=86_400_000_000, alias="window")
    to: str = "control"


class ExperimentSpec(Model):
    """One experiment. `source` is its YAML as written; `lines` maps a path such as ``slis[0].max_increase`` to its line."""

    control: ClassVar[str] = "control"
    """Name of the arm that the others are compared with."""

    api_version: Literal["davy/v1"] = Field(default="davy/v1", alias="apiVersion")
    kind: Literal["Experiment"] = "Experiment"
    id: Identifier
    hypothesis: str = ""
    owner: str = ""
    service: Text
    environment: Text
    mode: Literal["compare", "absolute", "shadow"] = "compare"
    variants: dict[Identifier, Arm]
    randomization: Literal["request", "user", "session", "shard"] = "request"
    unit_header: Text = "X-Unit-Id"
    slis: tuple[SliSpec, ...] = Field(min_length=1, max_length=SLIS_MAX)
    policy: Policy = Policy()
    error_budget: ErrorBudget | None = None
    steps: tuple[Step, ...] = Field(min_length=1, max_length=STEPS_MAX)
    rollback: Rollback = Rollback()
    _source: str = PrivateAttr(default="")
    _path: str = PrivateAttr(default="")
    _lines: Mapping[str, int] = PrivateAttr(default_factory=dict[str, int])

    @property
    def candidates(self) -> tuple[str, ...]:
        """All variants but the control, in the order of the spec."""
        return tuple(name for name in self.variants if name != self.control)

    @property
    def source(self) -> str:
        """The YAML text of this document alone."""
        return self._source

    @property
    def path(self) -> str:
        """The file it came from."""
        return self._path

    @property
    def lines(self) -> Mapping[str, int]:
        """Line of every path."""
        return self._lines

    @property
    def digest(self) -> str:
        """SHA-256 of the parsed content: comments, order and formatting do not matter."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.control not in self.variants and self.mode != "absolute":
            raise _at(("variants",), "there is no control among the variants; add one, or say mode: absolute")
        if not self.candidates:
            raise _at(("variants",), "there is no candidate beside control; add for example canary: {version: 2.4.0}")
        if len(self.candidates) > CANDIDATES_MAX:
            raise _at(("variants",), f"there are more than {CANDIDATES_MAX} candidates")
        if self.rollback.to not in self.variants and self.mode != "absolute":
            raise _at(("rollback", "to"), f"there is no variant {self.rollback.to!r} to roll back to")
        for index, step in enumerate(self.steps):
            if index and step.weight < self.steps[index - 1].weight:
                before = f"{self.steps[index - 1].weight:.4g}"
                raise _at(("steps", index, "weight"), f"weights must not fall: this is less than the {before} before it")
            if step.weight * len(self.candidates) > 1 + 1e-9:
                raise _at(
                    ("steps", index, "weight"),
                    f"{len(self.candidates)} candidates at this weight are more than all traffic; "
                    f"write at most {100 / len(self.candidates):.4g}%",
                )
        names = [sli.name for sli in self.slis]
        for index, name in enumerate(names):
            if name in names[:index]:
                raise _at(("slis", index, "name"), f"there is another SLI named {name!r}; names must differ")
        return self


def load_specs(source: FilePath | str, *, path: str | None = None) -> list[ExperimentSpec]:
    """All specs of a file, a folder (`*.yaml`, `*.yml`) or a YAML text (a str with a line break); raises `SpecErrors`.

    `path` names a text in messages. Ids must differ across everything that is loaded together.
    """
    findings: list[Finding] = []
    specs: list[ExperimentSpec] = []
    seen: dict[str, str] = {}
    for name, text in _texts(source, path):
        try:
            documents = read(text, name)
        except Errors as errors:
            findings += errors.findings
            continue
        if not documents:
            findings.append(Finding(name, 1, 1, "there is no spec in this file"))
        for document in documents:
            spec = _spec(document, findings)
            if spec is None:
                continue
            place = document.at(("id",), "")
            if spec.id in seen:
                findings.append(document.at(("id",), f"id {spec.id!r} is already used in {seen[spec.id]}"))
            seen.setdefault(spec.id, f"{place.file}:{place.line}")
            specs.append(spec)
    if findings:
        raise SpecErrors(findings)
    return specs


def _texts(source: FilePath | str, path: str | None) -> list[tuple[str, str]]:
    if isinstance(source, str) and "\n" in source:
        return [(path or "spec", source)]
    place = FilePath(source)
    files = sorted(f for f in place.iterdir() if f.suffix in SPEC_SUFFIXES) if place.is_dir() else [place]
    if not files:
        raise UserError(f"{place}: there is no *.yaml file in this folder")
    try:
        return [(str(file), file.read_text("utf-8")) for file in files]
    except UnicodeDecodeError as error:
        raise UserError(f"{place}: this is no UTF-8 text: {error.reason}") from None
    except OSError as error:
        raise UserError(f"{place}: cannot be read: {error.strerror}") from None


def _spec(document: Located, findings: list[Finding]) -> ExperimentSpec | None:
    spec = validated(ExperimentSpec, document, findings)
    if spec is None:
        return None
    first = document.values[()][0] - 1
    lines = {_dotted(path): place[0] - first for path, place in {**document.values, **document.keys}.items() if path}
    spec._source, spec._path, spec._lines = document.source, document.file, lines
    for index, sli in enumerate(spec.slis):
        sli._line = lines.get(f"slis[{index}]", 1)
    return spec


def _dotted(path: Path) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def validated(model: type[M], document: Located, findings: list[Finding]) -> M | None:
    """The document as a model, or None with what is wrong added to `findings`."""
    if not isinstance(document.data, dict):
        findings.append(document.at((), f"expected fields such as {', '.join(list(model.model_fields)[:3])}"))
        return None
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        details = error.errors()
        places = [detail["loc"] for detail in details]
        for detail in details:
            size = len(detail["loc"])
            if detail["type"] == "too_short" and any(len(p) > size and p[:size] == detail["loc"] for p in places):
                continue  # it is only short of the items that have findings of their own
            findings.append(_finding(model, document, detail))
        return None


def _finding(model: type[Model], document: Located, detail: ErrorDetails) -> Finding:
    context = detail.get("ctx", {})
    path: Path = (*detail["loc"], *context.get("path", ()))
    path = tuple(part for part in path if part != "[key]")
    name = str(path[-1]) if path else ""
    if detail["type"] == "extra_forbidden":
        known = _fields_at(model, path[:-1])
        close = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(known)}"
        return document.at(path, f"unknown field {name!r}; {hint}", key=True)
    if detail["type"] == "missing":
        return document.at(path[:-1], f"{name!r} is missing")
    if detail["type"] in ("unit", "davy"):
        return document.at(path, str(context.get("message", detail["msg"])))
    said = detail["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    return document.at(path, f"{name}: should be {said}" if said != detail["msg"] else f"{name}: {said}")


def _fields_at(model: type[Model], path: Path) -> list[str]:
    """Names of the fields that may stand at a path, as they are written."""
    schema = model.model_json_schema(by_alias=True)
    node: dict[str, Any] = schema
    for part in path:
        node = _resolved(schema, node)
        if isinstance(part, int):
            node = node.get("items", {})
        else:
            node = node.get("properties", {}).get(part) or node.get("additionalProperties") or {}
    return list(_resolved(schema, node).get("properties", {}))


def _resolved(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    for branch in node.get("anyOf", []):
        if "$ref" in branch:
            node = branch
    return schema["$defs"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node


def experiment_json_schema() -> dict[str, Any]:
    """JSON Schema of the YAML."""
    return ExperimentSpec.model_json_schema(by_alias=True)
