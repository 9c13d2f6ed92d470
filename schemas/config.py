"""Config: what davy.yaml says, with defaults for all of it; every error has its file, line and column.

Paths are relative to the working directory. ``${NAME}`` in a value is the environment's, ``${file:PATH}`` a
file's content without its last line break, ``$${`` a plain ``${``. What may be secret stays out of `repr`.

>>> config = Config()
>>> config.topic("verdicts"), config.http.port, config.limits.window_us
('davy.verdicts', 7070, 5000000)
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from schemas.access import TOKENS_MAX, Oidc, Tls, Token
from schemas.alerts import Alerts
from schemas.errors import UserError
from schemas.event import COLUMNS
from schemas.limits import Limits
from schemas.located import Errors, Finding, Loc, Located, is_list, is_mapping, read, read_text
from schemas.model import Finite, Identifier, Model, PositiveUs, Share, Text, suggestion, text, validated
from schemas.probes import Probes
from schemas.signature import Signing
from schemas.slo import SLOS_MAX, Slo
from schemas.watching import Watching

DEFAULT_FILE = "davy.yaml"
TOPICS = (
    "events", "control", "deltas", "windows", "verdicts", "decisions", "probes", "deadletters", "state", "flags",
    "budgets", "incidents",
)  # fmt: skip
MEASURES_MAX = 64
INPUTS_MAX = 64
TARGETS_MAX = 32
RAW_EVENTS_KEEP_US = 3 * 86_400_000_000
"""How long the store keeps request events where `retention` does not say."""
INTEGER_MEASURES = ("cpu_us", "memory_bytes")
"""Measures that are columns of the event: always judged, in whole units."""
_PREFIX = re.compile(r"[A-Za-z0-9._-]{0,128}")
_REFERENCE = re.compile(r"\$\$\{|\$\{(file:)?([^{}]*)\}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _setting(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be one value: text, a number, true or false")
    return value


def _column(name: str) -> str:
    if name not in COLUMNS and not name.startswith("measures."):
        raise ValueError(f"{name!r} is no field of RequestEvent: {suggestion(name, (*COLUMNS, 'measures.NAME'))}")
    return name


def _prefix(value: str) -> str:
    if not _PREFIX.fullmatch(value):
        raise ValueError(f"{value!r} cannot begin a topic's name: say letters, digits, '.', '_' and '-', like davy.")
    return value


def _measure(name: str) -> str:
    if name in ("duration_us", *INTEGER_MEASURES):
        raise ValueError(f"{name} is measured always: remove it")
    return name


Setting = Annotated[str, BeforeValidator(_setting), WithJsonSchema({"type": ["string", "number", "boolean"]})]
Settings = dict[str, Setting]
"""Another program's settings, passed on untouched."""
Column = Annotated[str, AfterValidator(_column)]
Folder = Annotated[Path, BeforeValidator(text)]


Stored = Literal[
    "windows", "windows_10s", "windows_1m", "windows_1h", "windows_1d", "verdicts", "evidence", "decisions", "probes",
    "changes", "experiments", "reports", "incidents", "events",
]  # fmt: skip
"""Tables of the analysts' store."""


class Http(Model):
    """Where the web role listens; what changes something needs `token`, one of `tokens` or `oidc`, where there is any."""

    host: Text = "127.0.0.1"
    port: int = Field(default=7070, ge=0, le=65535, examples=["7070"])
    token: SecretStr | None = Field(default=None, min_length=1)
    tokens: tuple[Token, ...] = Field(default=(), max_length=TOKENS_MAX, examples=["[{name: argo, sha256: ...}]"])
    oidc: Oidc | None = Field(default=None, examples=["{issuer: 'https://login.example', audience: davy, grants: ...}"])
    tls: Tls | None = Field(default=None, examples=["{certificate: tls.crt, key: tls.key}"])
    requests_per_s: int = Field(default=200, ge=1, le=1_000_000, examples=["50"])
    """Of one address; what was not asked for five seconds may come at once, and beyond that is 429."""


class Health(Model):
    """Where each other role answers /healthz, /readyz and /metrics; port 0: a free one, told in `data_dir`/scrape."""

    host: Text = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535, examples=["7071"])
    tls: Tls | None = Field(default=None, examples=["{certificate: tls.crt, key: tls.key}"])


class Clickhouse(Model):
    """The analysts' server, ``clickhouse://user:password@host:9000/database``; without it embedded."""

    url: SecretStr = Field(min_length=1, examples=["clickhouse://localhost:9000/davy"])
    migrate: bool = True
    """Whether the sink makes and changes its tables; else somebody runs ``deploy/ops/clickhouse/schema.sql``."""


class RawEvents(Model):
    """A sample of the request events for the analysts' store; without it none are kept."""

    sample: Share = Field(default=0.0, examples=["1%"])
    """Share of the source's records, chosen by their place in Kafka: the same ones whoever chooses."""
    leave_out: tuple[Literal["segment", "unit_id", "instance", "endpoint", "measures"], ...] = Field(
        default=(), examples=["[unit_id]"]
    )
    """Fields that stay empty, for who must not keep them."""


class Registry(Model):
    """A Confluent-compatible schema registry; `auth` is ``user:password``."""

    url: Text = Field(examples=["http://localhost:8081"])
    auth: SecretStr | None = None


class Input(Model):
    """A topic's records as events: `mapping` field -> path in a record (several joined by ``|``: the first that is filled),
    `units` field -> unit, `defaults` field -> what stands where a record says nothing."""

    format: Literal["avro", "json", "cloudevents", "otlp_proto"] = "avro"
    mapping: dict[Column, Text] = Field(default={}, examples=["{duration_us: latency.total}"])
    units: dict[Column, Literal["ns", "us", "ms", "s", "iso8601", "B", "KB", "MB", "GB", "KiB", "MiB", "GiB"]] = Field(
        default={}, examples=["{duration_us: ms}"]
    )
    defaults: dict[Column, str | int | float | bool] = Field(default={}, examples=["{environment: production}"])
    schemas: Folder | None = Field(default=None, examples=["schemas"])
    """Folder of ``.avsc`` files: schemas of Avro writers that are not in a registry."""


class Measure(Model):
    """A registered measure: its unit for people, and what one step of its exact fixed-point sum is worth."""

    unit: Text | None = None
    resolution: Finite = Field(default=1e-6, gt=0, examples=["0.001"])


class ClockSettings(Model):
    """One scaled clock for all roles of a demo: it equals the real one at `origin_us` and runs at `speed`."""

    speed: Finite = Field(default=1.0, gt=0, le=1000, examples=["5"])
    origin_us: int = Field(default=0, ge=0)


class Config(Model):
    """Everything that is configured."""

    kafka: Settings = Field(
        default={"bootstrap.servers": "127.0.0.1:9092"},
        repr=False,
        examples=["{bootstrap.servers: localhost:9092}"],
    )
    embedded: bool = False
    prefix: Annotated[str, AfterValidator(_prefix)] = "davy."
    data_dir: Folder = Path(".davy")
    clickhouse: Clickhouse | None = Field(default=None, examples=["{url: clickhouse://localhost:9000}"])
    retention: dict[Stored, PositiveUs] = Field(default={}, examples=["{windows: 30d, windows_10s: 90d}"])
    """How long the store keeps rows, by table; those of tables that are not named: for ever, `events` three days."""
    raw_events: RawEvents = Field(default=RawEvents(), examples=["{sample: 1%}"])
    schema_registry: Registry | None = Field(default=None, examples=["{url: http://localhost:8081}"])
    inputs: dict[Text, Input] = Field(default={}, max_length=INPUTS_MAX, examples=["{orders: {format: json}}"])
    dimensions: tuple[Literal["segment", "endpoint", "instance"], ...] = Field(
        default=("segment",), examples=["[segment, endpoint]"]
    )
    measures: dict[Annotated[Identifier, AfterValidator(_measure)], Measure] = Field(
        default={}, max_length=MEASURES_MAX, examples=["[queue_length]"]
    )
    specs: Folder | None = Field(default=None, examples=["experiments"])
    traffic_dir: Folder | None = Field(default=None, examples=["/etc/davy/traffic"])
    targets: tuple[dict[str, Any], ...] = Field(
        default=(),
        alias="traffic",
        max_length=TARGETS_MAX,
        repr=False,
        examples=["[{type: haproxy, socket: /run/haproxy.sock}]"],
    )
    """Who is told of weights beside the files in `traffic_dir`; what an entry may say depends on its type."""
    notify: tuple[dict[str, Any], ...] = Field(
        default=(), max_length=TARGETS_MAX, repr=False, examples=["[{type: cdevents, url: 'https://events.example'}]"]
    )
    """Who is told that a candidate was deployed, promoted or rolled back."""
    http: Http = Http()
    health: Health = Health()
    signing: Signing = Signing()
    probes: Probes = Probes()
    alerts: Alerts = Alerts()
    slos: dict[Identifier, Slo] = Field(
        default={}, max_length=SLOS_MAX,
        examples=["{checkout-errors: {service: checkout, environment: production, objective: 99.9%}}"],
    )  # fmt: skip
    """Objectives of services, whose error budgets are told on `davy.budgets`; an experiment's `error_budget` is one more."""
    watch: Watching = Watching()
    """When the watch of services without an experiment tells."""
    limits: Limits = Limits()
    clock: ClockSettings = ClockSettings()

    @property
    def traffic(self) -> Path:
        """Where the splitter writes: in `data_dir` unless told otherwise."""
        return self.traffic_dir or self.data_dir / "traffic"

    @property
    def sources(self) -> Mapping[str, Input]:
        """Topics with events, and how to read them."""
        return self.inputs or {self.topic("events"): Input()}

    @property
    def resolutions(self) -> Mapping[str, float]:
        """Step of every registered measure; the others are integers."""
        return {name: measure.resolution for name, measure in self.measures.items()}

    def topic(self, name: str) -> str:
        """The full name of one of `TOPICS`."""
        if name not in TOPICS:
            raise ValueError(f"there is no topic {name!r}; there are {', '.join(TOPICS)}")
        return self.prefix + name

    @field_validator("measures", "inputs", mode="before")
    @classmethod
    def _bare_entries(cls, value: Any, info: ValidationInfo) -> Any:
        """Names alone, in a list or with nothing behind them, have the defaults."""
        empty: dict[str, Any] = {}
        if is_mapping(value):
            return {key: empty if entry is None else entry for key, entry in value.items()}
        if is_list(value) and info.field_name == "measures":
            if not all(isinstance(name, str) for name in value):
                raise ValueError("must be a list of names, or a mapping like {queue_length: {unit: requests}}")
            return dict.fromkeys(value, empty)
        return value

    def with_data_dir(self, data_dir: Path | None) -> Self:
        """The same with another data directory, where one is given."""
        return self if data_dir is None else self.model_copy(update={"data_dir": data_dir})


def load_config(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Config:
    """That of a file (default: ./davy.yaml if it is there), else the defaults; raises `Errors`."""
    place = path or Path(DEFAULT_FILE)
    if path is None and not place.is_file():
        return Config()
    return parse_config(read_text(place), str(place), environ)


def parse_config(content: str, file: str, environ: Mapping[str, str] = os.environ) -> Config:
    """The configuration of a text; raises `Errors` with all that is wrong."""
    documents, findings = read(content, file)
    config, wrong = config_of(documents, environ)
    if findings or wrong:
        raise Errors([*findings, *wrong])
    return config


def config_of(documents: Sequence[Located], environ: Mapping[str, str]) -> tuple[Config, list[Finding]]:
    """The configuration in a davy.yaml's documents, of which there may be one, and what is wrong."""
    if not documents:
        return Config(), []
    document, *more = documents
    findings = [extra.at((), "a davy.yaml has one document only: join them") for extra in more]
    if not is_mapping(document.data):
        return Config(), [
            *findings,
            document.at((), "a davy.yaml is a mapping: say for example embedded: true"),
        ]
    document.data = _filled(document.data, (), document, environ, findings)
    config, wrong = validated(Config, document)
    if config is not None:
        wrong += [
            document.at(("probes", "targets", name), f"probes.targets.{name}: {why}")
            for name, why in config.probes.refused().items()
        ]
    return config or Config(), findings + wrong


def _filled(value: Any, loc: Loc, document: Located, environ: Mapping[str, str], findings: list[Finding]) -> Any:
    """Values with all references replaced; one that leads nowhere is a finding and stays as it is."""
    if is_mapping(value):
        return {key: _filled(item, (*loc, key), document, environ, findings) for key, item in value.items()}
    if is_list(value):
        return [_filled(item, (*loc, i), document, environ, findings) for i, item in enumerate(value)]
    if not isinstance(value, str):
        return value

    def replaced(match: re.Match[str]) -> str:
        if match[2] is None:
            return "${"
        try:
            return _file(match[2]) if match[1] else _variable(match[2], environ)
        except ValueError as error:
            findings.append(document.at(loc, str(error)))
            return match[0]

    return _REFERENCE.sub(replaced, value)


def _variable(name: str, environ: Mapping[str, str]) -> str:
    if not _VARIABLE.fullmatch(name):
        raise ValueError(
            f"${{{name}}} names no environment variable: say ${{NAME}}, ${{file:PATH}}, or $${{ to mean ${{"
        )
    if name not in environ:
        raise ValueError(f"the environment variable {name} is not set: set it, or write the value here")
    return environ[name]


def _file(path: str) -> str:
    try:
        return read_text(Path(path)).removesuffix("\n").removesuffix("\r")
    except UserError as error:
        raise ValueError(f"${{file:{path}}}: {error}") from None


def config_json_schema() -> dict[str, Any]:
    """JSON Schema of davy.yaml, as `davy schema Config` prints it."""
    schema = Config.model_json_schema(by_alias=True, mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
