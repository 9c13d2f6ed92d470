"""Config: `davy.yaml`, everything that is configured beside experiments. Every limit stands here with its default."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, model_validator

from schemas.errors import UserError
from schemas.located import Errors, Finding, Located, Path, read
from schemas.spec import DurationUs, Model, PositiveUs, Text, validated

DEFAULT_FILE = "davy.yaml"
_REFERENCE = re.compile(r"\$\{(file:)?([^}]+)\}")
INTEGER_MEASURES = ("cpu_us", "memory_bytes")
"""Measures that are columns of the event: always judged, in whole units."""
MEASURES_MAX = 64


class Limits(Model):
    """What everything stops at. `block_records`, `window`, `keys_per_block` and `delta_partitions` are part of the layout."""

    block_records: int = Field(default=65_536, ge=1024, le=65_536)
    window_us: PositiveUs = Field(default=5_000_000, alias="window")
    lateness_us: DurationUs = Field(default=5_000_000, alias="lateness")
    future_us: DurationUs = Field(default=60_000_000, alias="future")
    keep_us: PositiveUs = Field(default=900_000_000, alias="keep")
    gap_timeout_us: PositiveUs = Field(default=30_000_000, alias="gap_timeout")
    keys_per_block: int = Field(default=10_000, ge=1, le=65_535)
    label_bytes: int = Field(default=256, ge=16, le=4096)
    record_bytes: int = Field(default=65_536, ge=1024)
    delta_partitions: int = Field(default=4, ge=1, le=1024)
    event_partitions: int = Field(default=4, ge=1, le=1024)
    delta_retention_us: PositiveUs = Field(default=604_800_000_000, alias="delta_retention")
    replication: int = Field(default=1, ge=1, le=9)
    message_bytes: int = Field(default=900_000, ge=10_000)


class Measure(Model):
    """A registered measure of the events: what one step of its fixed-point sum is worth."""

    unit: str = ""
    resolution: float = Field(default=1e-6, gt=0)


class Clickhouse(Model):
    """The analysts' server, ``clickhouse://user:password@host:9000/database``."""

    url: SecretStr


class Registry(Model):
    """A Confluent-compatible schema registry."""

    url: Text
    auth: SecretStr | None = None


class Input(Model):
    """How one source topic is read."""

    format: Literal["avro", "json", "otlp_proto"] = "avro"
    mapping: dict[str, str] = {}
    units: dict[str, Literal["s", "ms", "us", "ns"]] = {}


class Http(Model):
    """Where the console and the API listen."""

    host: Text = "127.0.0.1"
    port: int = Field(default=7070, ge=0, le=65_535)
    token: SecretStr | None = None


class Signing(Model):
    """Ed25519 keys for verdicts: one to sign with, some to trust."""

    key_id: str = ""
    private_key: SecretStr | None = None
    public_keys: dict[str, str] = {}


class ClockSettings(Model):
    """One scaled clock for all roles, for the demo: `speed` times as fast, and equal to the real one at `origin_us`."""

    speed: float = Field(default=1.0, gt=0, le=1000)
    origin_us: int = 0


class Config(Model):
    """`davy.yaml`. Paths are relative to the folder that Davy runs in."""

    kafka: dict[str, str] = {"bootstrap.servers": "127.0.0.1:9092"}
    embedded: bool = False
    prefix: str = Field(default="davy.", pattern=r"^[A-Za-z0-9._-]*$")
    data_dir: FilePath = FilePath(".davy")
    clickhouse: Clickhouse | None = None
    schema_registry: Registry | None = None
    inputs: dict[str, Input] = {}
    dimensions: tuple[Literal["segment", "endpoint", "instance"], ...] = ("segment",)
    measures: dict[str, Measure] = Field(default={}, max_length=MEASURES_MAX)
    specs: FilePath | None = None
    traffic_dir: FilePath | None = None
    http: Http = Http()
    signing: Signing = Signing()
    probes: dict[str, Any] = {}
    alerts: dict[str, Any] = {}
    limits: Limits = Limits()
    clock: ClockSettings = ClockSettings()

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, data: Any) -> Any:
        """A list of measures stands for their names; a null section for its defaults."""
        if not isinstance(data, dict):
            return data
        given: dict[str, Any] = {key: value for key, value in data.items() if value is not None}
        if isinstance(given.get("measures"), list):
            given["measures"] = {name: {} for name in given["measures"]}
        return given

    @property
    def resolutions(self) -> Mapping[str, float]:
        """What one unit of each measure's total is worth."""
        return {name: measure.resolution for name, measure in self.measures.items()}

    @property
    def traffic(self) -> FilePath:
        """Where the splitter writes."""
        return self.traffic_dir or self.data_dir / "traffic"

    def topic(self, name: str) -> str:
        """A topic's full name: ``topic("verdicts")`` is ``davy.verdicts``."""
        return f"{self.prefix}{name}"

    def with_data_dir(self, data_dir: FilePath | None) -> Self:
        """The same with another data directory, where one is given."""
        return self if data_dir is None else self.model_copy(update={"data_dir": data_dir})


def load_config(path: FilePath | None = None) -> Config:
    """The configuration of a file; by default `./davy.yaml` where there is one, else the defaults. Raises `Errors`."""
    place = path or FilePath(DEFAULT_FILE)
    if path is None and not place.exists():
        return Config()
    try:
        text = place.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{place}: cannot be read: {error}") from None
    return parse_config(text, str(place))


def parse_config(text: str, file: str) -> Config:
    """The configuration of a text; raises `Errors` with every finding."""
    documents = read(text, file)
    if len(documents) > 1:
        raise Errors([documents[1].at((), "a configuration is one document")])
    if not documents:
        return Config()
    findings: list[Finding] = []
    document = documents[0]
    document.data = _resolved(document.data, (), document, findings)
    config = validated(Config, document, findings)
    if findings or config is None:
        raise Errors(findings)
    return config


def _resolved(value: Any, path: Path, document: Located, findings: list[Finding]) -> Any:
    """``${NAME}`` from the environment and ``${file:PATH}`` from a file, everywhere."""
    if isinstance(value, dict):
        return {key: _resolved(item, (*path, key), document, findings) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolved(item, (*path, i), document, findings) for i, item in enumerate(value)]
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        name = match[2]
        if match[1]:
            try:
                return FilePath(name).read_text("utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                findings.append(document.at(path, f"the file {name} cannot be read: {getattr(error, 'strerror', error)}"))
        elif name in os.environ:
            return os.environ[name]
        else:
            findings.append(document.at(path, f"the environment has no {name}; set it, or write the value here"))
        return ""

    return _REFERENCE.sub(replace, value)


def config_json_schema() -> dict[str, Any]:
    """JSON Schema of the YAML."""
    return Config.model_json_schema(by_alias=True)
