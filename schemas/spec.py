"""ExperimentSpec: what an experiment promises, parsed from YAML; every error has its file, line and column.

>>> spec, = load_specs(EXAMPLE)
>>> spec.id, spec.steps[0].weight, spec.slis[0].max_increase, spec.lines["slis[0].max_increase"]
('checkout-2.4.0', 0.01, Tolerance(kind='absolute', value=0.005), 10)
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, WithJsonSchema, model_validator

from schemas.errors import UserError
from schemas.frozen import frozen
from schemas.located import Errors, Finding, Located, is_mapping, read, read_text
from schemas.model import DurationUs, Identifier, Model, PositiveUs, Share, Text, validated
from schemas.sli import SLI_TYPES, SliSpec, SliType
from schemas.slo import ErrorBudget
from schemas.spec_rules import CONTROL, RULES
from schemas.tripwire import Tripwire
from schemas.units import Tolerance, parse_share

__all__ = [
    "SLI_TYPES",
    "Arm",
    "ErrorBudget",
    "ExperimentSpec",
    "Policy",
    "Rollback",
    "SliSpec",
    "SliType",
    "SpecErrors",
    "Step",
    "Tolerance",
    "experiment_json_schema",
    "load_specs",
    "parse_specs",
    "spec_files",
]

CONFIG_NAME = "davy.yaml"
SPEC_SUFFIXES = (".yaml", ".yml")
SLIS_MAX = 100
STEPS_MAX = 100
DEPENDENCIES_MAX = 100
TRIPWIRES_MAX = 16
LATER = ("tripwires", "stratify")
"""Fields that came after the first specs were digested."""
UPSTREAMS_MAX = 256
RISK_MAX = 0.5
"""alpha and beta beyond one half promise nothing."""
WEIGHT_MIN = 0.0001
"""The finest share that every splitter can carry: weights are integers that add up to 10,000."""
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")

EXAMPLE = """\
id: checkout-2.4.0
service: checkout
environment: production
variants:
  control: {version: 2.3.1}
  canary: {version: 2.4.0}
slis:
  - name: errors
    type: error_ratio
    max_increase: 0.5pp
steps:
  - {weight: 1%, duration: 5m}
"""


class SpecErrors(Errors):
    """Everything that is wrong with some specs."""


def _risk(value: object) -> float:
    share = parse_share(value)
    if not 0 < share <= RISK_MAX:
        raise ValueError(f"{str(value)!r} must be above 0 and at most {RISK_MAX}: say for example 0.01")
    return share


def _weight(value: object) -> float:
    share = parse_share(value)
    if share < WEIGHT_MIN:
        raise ValueError(f"{str(value)!r} is less than a splitter can do: say at least 0.01%")
    return share


def _address(value: str) -> str:
    match = _ADDRESS.fullmatch(value)
    if match is None or not 0 < int(match[2]) < 65536:
        raise ValueError(f"{value!r} is not an address: say HOST:PORT, like 10.0.0.7:8080")
    return value


def _header(value: str) -> str:
    if not _HEADER.fullmatch(value):
        raise ValueError(f"{value!r} is not the name of an HTTP header: say for example X-Unit-Id")
    return value


_RISK_SCHEMA: dict[str, Any] = {"type": "number", "exclusiveMinimum": 0, "maximum": RISK_MAX}
Risk = Annotated[float, BeforeValidator(_risk), WithJsonSchema(_RISK_SCHEMA)]
Weight = Annotated[Share, BeforeValidator(_weight)]
Address = Annotated[str, AfterValidator(_address)]


class Arm(Model):
    """One variant: the version that serves it and, for a proxy, where."""

    version: Text = Field(examples=["2.4.0"])
    upstream: tuple[Address, ...] = Field(default=(), max_length=UPSTREAMS_MAX, examples=["[10.0.0.7:8080]"])


class Policy(Model):
    """The two error budgets and when a rollout may end; durations in microseconds. `approval`: of what a person must approve;
    `healthy_for`: a promotion waits until every verdict was HEALTHY for so long."""

    alpha: Risk = 0.01
    beta: Risk = 0.05
    min_duration_us: DurationUs = Field(default=600_000_000, alias="min_duration", json_schema_extra={"default": "10m"})
    min_requests: int = Field(default=1000, ge=0, lt=2**53, examples=["1000"])
    max_duration_us: PositiveUs = Field(
        default=86_400_000_000, alias="max_duration", json_schema_extra={"default": "24h"}
    )
    on_no_data: Literal["hold", "rollback"] = "hold"
    approval: Literal["none", "promotion", "steps"] = "none"
    healthy_for_us: DurationUs = Field(default=0, alias="healthy_for", json_schema_extra={"default": "0s"})
    sustained_us: DurationUs = Field(default=30_000_000, alias="sustained", json_schema_extra={"default": "30s"})


class Dependency(Model):
    """A target of `probes:` that the service needs: while its circuit is open, nothing advances and nothing is promoted, or
    with ``on_open: rollback`` control takes all traffic back."""

    target: Identifier = Field(examples=["sessions"])
    on_open: Literal["hold", "rollback"] = "hold"

    @model_validator(mode="before")
    @classmethod
    def _bare_name(cls, data: Any) -> Any:
        return {"target": data} if isinstance(data, str) else data


class Step(Model):
    """Each candidate gets `weight` (0 to 1) of the traffic for `duration_us`."""

    weight: Weight = Field(examples=["10%"])
    duration_us: PositiveUs = Field(alias="duration", examples=["10m"])


class Rollback(Model):
    """How long a rollback stays possible, and to which arm."""

    window_us: PositiveUs = Field(default=86_400_000_000, alias="window", json_schema_extra={"default": "24h"})
    to: Identifier = CONTROL


@frozen()
class Origin:
    """Where a spec was written."""

    source: str = ""
    path: str = ""
    lines: Mapping[str, int] = field(default_factory=dict[str, int])


class ExperimentSpec(Model):
    """One experiment. Only `load_specs` checks the rules that span several fields. Experiments on one service overlap unless
    their `layer`s differ; of two that do, the later one waits or is refused (`overlap`). With `stratify` the arms are compared
    within segments (or endpoints), so that a different mix of them is no effect."""

    control: ClassVar[str] = CONTROL
    """Name of the arm that the others are compared with; in mode absolute it may not be there."""

    api_version: Literal["davy/v1"] = Field(default="davy/v1", alias="apiVersion")
    kind: Literal["Experiment"] = "Experiment"
    id: Identifier = Field(examples=["checkout-2.4.0"])
    hypothesis: str = ""
    owner: str = ""
    service: Text = Field(examples=["checkout"])
    environment: Text = Field(examples=["production"])
    mode: Literal["compare", "absolute", "shadow"] = "compare"
    variants: dict[Identifier, Arm] = Field(examples=["{control: {version: 2.3.1}, canary: {version: 2.4.0}}"])
    randomization: Literal["request", "user", "session", "shard"] = "user"
    stratify: Literal["segment", "endpoint"] | None = None
    layer: Identifier | None = Field(default=None, examples=["search-ranking"])
    overlap: Literal["queue", "refuse"] = "queue"
    unit_header: Annotated[Text, AfterValidator(_header)] = "X-Unit-Id"
    slis: tuple[SliSpec, ...] = Field(
        min_length=1,
        max_length=SLIS_MAX,
        examples=["[{name: errors, type: error_ratio, max_increase: 0.5pp}]"],
    )
    policy: Policy = Policy()
    error_budget: ErrorBudget | None = None
    tripwires: tuple[Tripwire, ...] = Field(
        default=(), max_length=TRIPWIRES_MAX, examples=["[{type: rising_errors, windows: 3}]"]
    )
    steps: tuple[Step, ...] = Field(
        min_length=1,
        max_length=STEPS_MAX,
        examples=["[{weight: 10%, duration: 10m}, {weight: 50%, duration: 10m}]"],
    )
    rollback: Rollback = Rollback()
    dependencies: tuple[Dependency, ...] = Field(default=(), max_length=DEPENDENCIES_MAX, examples=["[sessions]"])
    _origin: Origin = PrivateAttr(default_factory=Origin)

    @property
    def candidates(self) -> tuple[str, ...]:
        """All variants but the control, in the order of the spec."""
        return _but_control(tuple(self.variants))

    def arm_of(self, version: str, variant: str | None) -> str | None:
        """The arm that a row of these labels is said to be of, whatever version that arm has; None: of no arm."""
        if variant is not None:
            return variant if variant in self.variants else None
        return next((name for name, arm in self.variants.items() if arm.version == version), None)

    @property
    def source(self) -> str:
        """The YAML text of this document alone; parsed again it is the same spec, but for `lines`."""
        return self._origin.source

    @property
    def path(self) -> str:
        """The file it came from."""
        return self._origin.path

    @property
    def lines(self) -> Mapping[str, int]:
        """Line of every path that was written, in the file: ``slis[0].max_increase`` -> 14."""
        return self._origin.lines

    @property
    def digest(self) -> str:
        """SHA-256 of the parsed content: comments, order of keys and formatting do not matter. What older versions of Davy did
        not know is left out where it is not said, so a spec keeps its digest."""
        unsaid = {name for name in LATER if not getattr(self, name)}
        content = self.model_dump(mode="json", exclude=unsaid)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def written_at(self, origin: Origin) -> ExperimentSpec:
        """The same spec with its place; its SLIs know their lines."""
        slis = tuple(sli.on_line(origin.lines.get(f"slis[{i}]", 1)) for i, sli in enumerate(self.slis))
        spec = self.model_copy(update={"slis": slis})
        spec._origin = origin
        return spec


def load_specs(source: Path | str | Sequence[Path], *, path: str | None = None) -> list[ExperimentSpec]:
    """All specs of a file, a folder, several of them, or (a str) a YAML text.

    `path` names a text. Ids must differ across everything that is loaded together. Raises `SpecErrors` with
    all that is wrong, `UserError` where a file cannot be read.
    """
    if isinstance(source, str):
        documents, findings = read(source, path or "<text>")
        findings += _none(path or "<text>", documents, findings)
    else:
        documents, findings = list[Located](), list[Finding]()
        for file in spec_files([source] if isinstance(source, Path) else source):
            try:
                found, wrong = read(read_text(file), str(file))
            except Errors as errors:
                found, wrong = [], list(errors.findings)
            documents += found
            findings += wrong + _none(str(file), found, wrong)
    specs, wrong = parse_specs(documents)
    if findings or wrong:
        raise SpecErrors([*findings, *wrong])
    return specs


def spec_files(places: Iterable[Path]) -> list[Path]:
    """The files named, and those in the folders named, sorted; raises `UserError` where there is none."""
    files: list[Path] = []
    for place in places:
        if not place.is_dir():
            files.append(place)
            continue
        inside = sorted(file for file in place.iterdir() if file.suffix in SPEC_SUFFIXES and file.name != CONFIG_NAME)
        if not inside:
            raise UserError(f"{place} holds no spec: no file in it ends in .yaml")
        files += inside
    return files


def _none(file: str, documents: Sequence[Located], findings: Sequence[Finding]) -> list[Finding]:
    if documents or findings:
        return []
    return [Finding(file, 1, 1, "there is no experiment in here: say kind: Experiment, id: ...")]


def parse_specs(documents: Sequence[Located]) -> tuple[list[ExperimentSpec], list[Finding]]:
    """Specs of the documents that have no error, and all that is wrong with the others and between them."""
    specs: list[ExperimentSpec] = []
    findings: list[Finding] = []
    first: dict[str, Finding] = {}
    for document in documents:
        data = document.data
        if not is_mapping(data):
            findings.append(document.at((), "an experiment is a mapping: say kind: Experiment, id: ..."))
            continue
        spec, wrong = validated(ExperimentSpec, document)
        wrong += [document.at(loc, message) for rule in RULES for loc, message in rule(data)]
        place = document.at(("id",), "")
        name = data.get("id")
        if isinstance(name, str) and (other := first.setdefault(name, place)) is not place:
            wrong.append(
                document.at(("id",), f"id: {name!r} is used already, at {other.file}:{other.line}: say another")
            )
        findings += wrong
        if spec is not None and not wrong:
            specs.append(spec.written_at(Origin(document.source, document.file, document.lines())))
    return specs, findings


def experiment_json_schema() -> dict[str, Any]:
    """JSON Schema of the YAML, as `davy schema Experiment` prints it."""
    schema = ExperimentSpec.model_json_schema(by_alias=True, mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


@lru_cache(maxsize=1024)
def _but_control(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if name != CONTROL)
