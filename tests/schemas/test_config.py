# ruff: noqa: E501  # tables of cases read better with one case a line
from __future__ import annotations

import json
from pathlib import Path

import pytest

from schemas.config import TOPICS, Config, config_json_schema, load_config, parse_config
from schemas.errors import UserError
from schemas.located import Errors

FULL = """\
kafka:
  bootstrap.servers: kafka-1:9092,kafka-2:9092
  security.protocol: SASL_SSL
  sasl.password: ${KAFKA_PASSWORD}
  enable.idempotence: true
  linger.ms: 5
embedded: false
prefix: prod.davy.
data_dir: /var/lib/davy
clickhouse: {url: 'clickhouse://davy:${file:SECRET}@db:9000/davy'}
schema_registry: {url: 'http://registry:8081', auth: 'me:${KAFKA_PASSWORD}'}
inputs:
  prod.davy.events:
  orders: {format: json, mapping: {duration_us: latency.total, measures.basket: basket.size}, units: {duration_us: ms}}
dimensions: [segment, endpoint]
measures: {basket: {unit: items, resolution: 0.01}, queue: }
specs: experiments
http: {host: 0.0.0.0, port: 8080, token: '${KAFKA_PASSWORD}'}
limits: {lateness: 10s, keys_per_block: 500}
clock: {speed: 5, origin_us: 1700000000000000}
"""


def test_everything_has_a_default() -> None:
    config = parse_config("", "davy.yaml")
    assert config == Config()
    assert (config.prefix, config.data_dir, config.embedded) == ("davy.", Path(".davy"), False)
    assert (config.http.host, config.http.port, config.http.token) == ("127.0.0.1", 7070, None)
    assert config.dimensions == ("segment",)
    assert config.traffic == Path(".davy/traffic")
    assert list(config.sources) == ["davy.events"]
    assert config.sources["davy.events"].format == "avro"
    assert (config.limits.block_records, config.limits.window_us, config.limits.lateness_us) == (
        65_536, 5_000_000, 5_000_000,
    )  # fmt: skip
    assert (config.clock.speed, config.clock.origin_us) == (1.0, 0)


def test_all_of_it(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("hush\n")
    config = parse_config(FULL.replace("SECRET", str(secret)), "davy.yaml", {"KAFKA_PASSWORD": "pa:s$s{word"})
    assert config.kafka == {
        "bootstrap.servers": "kafka-1:9092,kafka-2:9092", "security.protocol": "SASL_SSL",
        "sasl.password": "pa:s$s{word", "enable.idempotence": "true", "linger.ms": "5",
    }  # fmt: skip
    assert config.clickhouse is not None
    assert config.clickhouse.url.get_secret_value() == "clickhouse://davy:hush@db:9000/davy"
    assert config.schema_registry is not None
    assert config.schema_registry.url == "http://registry:8081"
    assert list(config.sources) == ["prod.davy.events", "orders"]
    assert config.sources["orders"].mapping["measures.basket"] == "basket.size"
    assert config.resolutions == {"basket": 0.01, "queue": 1e-6}
    assert config.topic("verdicts") == "prod.davy.verdicts"
    assert (config.limits.lateness_us, config.limits.keys_per_block) == (10_000_000, 500)
    assert config.traffic == Path("/var/lib/davy/traffic")
    assert config.with_data_dir(Path("x")).traffic == Path("x/traffic")
    assert config.with_data_dir(None) is config
    shown = repr(config) + str(config)
    assert "hush" not in shown
    assert "word" not in shown


def test_measures_may_be_a_list_of_names() -> None:
    assert parse_config("measures: [basket, queue]\n", "x").resolutions == {"basket": 1e-6, "queue": 1e-6}


def test_topics_are_a_closed_set() -> None:
    assert Config().topic("state") == "davy.state"
    assert len(TOPICS) == 12
    with pytest.raises(ValueError, match="there is no topic 'verdict'"):
        Config().topic("verdict")


def test_a_plain_dollar_brace() -> None:
    config = parse_config("kafka: {a: '$${X}', b: '$X', c: 'x${Y}z${Y}'}\n", "x", {"Y": "y"})
    assert config.kafka == {"a": "${X}", "b": "$X", "c": "xyzy"}


BAD: list[tuple[str, list[str]]] = [
    ("kafak: {a: b}", ["1:1: unknown field 'kafak': did you mean kafka?"]),
    ("kafka: {a: [1], b: }", ["1:12: a: must be one value: text, a number, true or false", "1:17: b: must be one value: text, a number, true or false"]),
    ("kafka: {a: '${NOPE}'}", ["1:12: the environment variable NOPE is not set: set it, or write the value here"]),
    ("kafka: {a: '${file:/no/such}'}", ["1:12: ${file:/no/such}: /no/such cannot be read: no such file or directory"]),
    ("kafka: {a: '${A-B}'}", ["1:12: ${A-B} names no environment variable: say ${NAME}, ${file:PATH}, or $${ to mean ${"]),
    ("http: {prot: 1}", ["1:8: unknown field 'prot': did you mean port?"]),
    ("http: {port: 70700}", ["1:14: port: '70700' must be less than or equal to 65535, like 7070"]),
    ("embedded: maybe", ["1:11: embedded: 'maybe' is neither true nor false"]),
    ("prefix: a b", ["1:9: prefix: 'a b' cannot begin a topic's name: say letters, digits, '.', '_' and '-', like davy."]),
    ("clickhouse: {}", ["1:1: url is missing: say url: clickhouse://localhost:9000/davy"]),
    ("dimensions: [segment, user]", ["1:23: dimensions[1]: 'user' is unknown: say one of segment, endpoint, instance"]),
    ("measures: {cpu_us: }", ["1:12: cpu_us is measured always: remove it"]),
    ("measures: [[a]]", ["1:11: measures: must be a list of names, or a mapping like {queue_length: {unit: requests}}"]),
    ("measures: {q: {resolution: 0}}", ["1:28: resolution: '0' must be greater than 0, like 0.001"]),
    ("inputs: {t: {format: xml}}", ["1:22: format: 'xml' is unknown: say one of avro, json, cloudevents, otlp_proto"]),
    ("inputs: {t: {mapping: {durtion_us: x}}}", ["1:24: 'durtion_us' is no field of RequestEvent: did you mean duration_us?"]),
    ("inputs: {t: {units: {duration_us: hours}}}", ["1:35: duration_us: 'hours' is unknown: say one of ns, us, ms, s, iso8601, B, KB, MB, GB, KiB, MiB, GiB"]),
    ("limits: {window: 5}", ["1:18: window: '5' has no unit: say 5s"]),
    ("limits: {block_records: 100000}", ["1:25: block_records: '100000' must be less than or equal to 65536"]),
    ("clock: {speed: nan}", ["1:16: speed: 'nan' must be a finite number, like 5"]),
    ("specs: [a]", ["1:8: specs: must be text"]),
    ("a: 1\n---\nb: 2", ["1:1: unknown field 'a': say one of kafka, embedded, prefix, data_dir, clickhouse, retention, raw_events, schema_registry, inputs, dimensions, measures, specs, traffic_dir, traffic, notify, http, health, signing, probes, alerts, slos, watch, limits, clock", "3:1: a davy.yaml has one document only: join them"]),
    ("- a", ["1:1: a davy.yaml is a mapping: say for example embedded: true"]),
    ("a: [", ["1:5: this is not YAML: while parsing a flow node, expected the node content, but found '<stream end>'"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), BAD)
def test_bad_input_has_its_place_and_what_would_be_right(text: str, expected: list[str]) -> None:
    with pytest.raises(Errors) as caught:
        parse_config(text, "davy.yaml", {})
    assert [str(finding) for finding in caught.value.findings] == [f"davy.yaml:{line}" for line in expected]


def test_secrets_are_not_in_findings() -> None:
    with pytest.raises(Errors) as caught:
        parse_config("kafka: {a: '${S}'}\nhttp: {port: 1, token: ['${S}']}\n", "x", {"S": "hush"})
    assert "hush" not in str(caught.value)


def test_the_file_named_else_davy_yaml_else_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_config() == Config()
    (tmp_path / "davy.yaml").write_text("prefix: a.\n")
    (tmp_path / "b.yaml").write_text("prefix: b.\n")
    assert load_config().prefix == "a."
    assert load_config(Path("b.yaml")).prefix == "b."
    with pytest.raises(UserError, match=r"c\.yaml cannot be read: no such file or directory"):
        load_config(Path("c.yaml"))


def test_json_schema_names_every_field() -> None:
    schema = config_json_schema()
    json.dumps(schema)
    assert set(schema["properties"]) == {
        "kafka", "embedded", "prefix", "data_dir", "clickhouse", "retention", "raw_events", "schema_registry", "inputs",
        "dimensions", "measures", "specs", "traffic_dir", "traffic", "notify", "http", "health", "signing", "probes", "alerts", "slos", "watch", "limits",
        "clock",
    }  # fmt: skip
    assert "required" not in schema
