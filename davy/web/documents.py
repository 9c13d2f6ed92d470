"""`python -m davy.web.documents docs/api`: what programs meet, from the code that serves them. The HTTP API as OpenAPI, the
topics as AsyncAPI, the YAML files as JSON Schema.

Examples are real: a simulated release is judged, and what the console says about it is what stands there. Needs the
development dependencies.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from davy.commands.simulate import recorded
from davy.web.app import make
from davy.web.events import Events
from davy.web.feed import Feed
from schemas import __version__, codec
from schemas.config import TOPICS, Config, config_json_schema
from schemas.control import Control, SpecApplied
from schemas.spec import experiment_json_schema
from schemas.verdict import Verdict
from schemas.window import WindowSummary
from streams import scenario as scenarios
from streams.judge_settings import JudgeSettings
from streams.layout import Layout
from streams.replay import Recording, replay
from streams.simulator import Simulator
from streams.topics import wanted

Document = dict[str, Any]
SCENARIO, EVENTS = "errors", 30_000
AVRO = "application/vnd.apache.avro+json;version=1.9.0"
CHANNELS: Mapping[str, tuple[str, str, str]] = {
    "events": ("RequestEvent", "receive", "One record per request, from services."),
    "control": ("Control", "receive", "Specs as applied, persons' commands, weights as intended and as applied."),
    "deltas": ("Delta", "send", "Internal: mergeable partial aggregates of log ranges."),
    "windows": ("WindowSummary", "send", "Closed windows, per-variant SLIs."),
    "verdicts": ("Verdict", "send", "What deployers obey."),
    "decisions": ("Decision", "send", "The ledger: one record per action taken or refused."),
    "probes": ("ProbeResult", "send", "What probes found."),
    "deadletters": ("", "send", "What could not be used, as it came, with the reason in its headers."),
    "state": ("", "send", "Internal: the judge's state."),
    "budgets": (
        "BudgetStatus",
        "send",
        "Objectives of services: what is left of the error budget, and how fast it burns.",
    ),
    "flags": (
        "FlagChange",
        "receive",
        "Feature flags as people set them: the newest of a key counts.",
    ),
    "incidents": ("Incident", "send", "What people should know: when it opens, and when it is over."),
}
"""Message, Davy's side of it, and what it is."""
DEAD_HEADERS = ("davy_topic", "davy_partition", "davy_offset", "davy_reason")
EXAMPLES = (
    "/healthz", "/v1/experiments", "/v1/experiments/{experiment_id}", "/v1/experiments/{experiment_id}/verdicts",
    "/v1/experiments/{experiment_id}/windows", "/v1/argo/{experiment_id}",
)  # fmt: skip


def openapi() -> Document:
    """The API of the web role, with what it answers about a simulated release."""
    from starlette.testclient import TestClient

    stop = threading.Event()
    feed = Feed(Config(), stop)
    spec = scenarios.load(SCENARIO).spec
    feed.state.take(Control(spec.id, 0, "jo", "applied", SpecApplied(spec.source, spec.path, spec.digest)))
    for record in _story():
        feed.state.take(record)
    app = make(Config(), feed, Events(stop))
    document: Document = json.loads(json.dumps(app.openapi()))
    client = TestClient(app)
    for path in EXAMPLES:
        answer = client.get(
            path.replace("{experiment_id}", spec.id), params={"limit": 1} if "experiments" in path else {}
        )
        content = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]
        content["example"] = answer.raise_for_status().json()
    return document


def asyncapi(config: Config) -> Document:
    """Every topic with its key, its Avro schema, its headers, how it is kept, and an example where the simulation made one."""
    made = {topic.topic: topic for topic in wanted(config)}
    examples = _examples()
    channels: Document = {}
    operations: Document = {}
    messages: Document = {}
    for name in TOPICS:
        message, action, what = CHANNELS[name]
        message = message or name
        topic = made[config.topic(name)]
        channels[name] = {
            "address": config.topic(name), "description": what,
            "messages": {message: {"$ref": f"#/components/messages/{message}"}},
            "bindings": {
                "kafka": {"partitions": topic.num_partitions, "topicConfiguration": _settings(topic.config or {})},
            },
        }  # fmt: skip
        operations[f"{action}_{name}"] = {
            "action": action, "channel": {"$ref": f"#/channels/{name}"}, "summary": what,
            "messages": [{"$ref": f"#/channels/{name}/messages/{message}"}],
        }  # fmt: skip
        messages[message] = _message(message, examples.get(message))
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Davy", "version": __version__, "license": {"name": "Apache-2.0"},
            "description": "Davy's topics. Values are Avro in single-object encoding, or Confluent framing with a registry.",
        },
        "defaultContentType": "application/avro", "channels": channels, "operations": operations,
        "components": {"messages": messages},
    }  # fmt: skip


def _settings(settings: Mapping[str, str]) -> Document:
    """Kafka's as the binding has them."""
    return {name: value.split(",") if name == "cleanup.policy" else int(value) for name, value in settings.items()}


def _message(name: str, example: Document | None) -> Document:
    text = {"type": "string"}
    message: Document = {"name": name, "bindings": {"kafka": {"key": text}}}
    if name == "Verdict":
        cloud = ("specversion", "id", "source", "type", "time", "subject")
        message["headers"] = {
            "type": "object", "required": [f"ce_{key}" for key in cloud],
            "properties": {f"ce_{key}": text for key in cloud} | {"content-type": text, "davy_signature": text},
        }  # fmt: skip
    if name == "deadletters":
        message["headers"] = {"type": "object", "properties": dict.fromkeys(DEAD_HEADERS, text)}
    if name in codec.names():
        message["payload"] = {"schemaFormat": AVRO, "schema": codec.document(name)}
    if example is not None:
        message["examples"] = [{"payload": example}]
    return message


def _recording() -> Recording:
    batches = list(recorded(Simulator(scenarios.load(SCENARIO), seed=1), EVENTS))
    return Recording.of(pa.Table.from_batches(batches))


@cache
def _story() -> list[Verdict | WindowSummary]:
    settings = JudgeSettings.of(Config(), 0, 1, {"recorded": "simulated"})
    outputs = replay([scenarios.load(SCENARIO).spec], _recording(), Layout.of(Config()), settings, [])
    return [output for output in outputs if isinstance(output, (Verdict, WindowSummary))]


def _examples() -> Mapping[str, Document]:
    story = _story()
    batch = next(iter(recorded(Simulator(scenarios.load(SCENARIO), seed=1), 1)))
    event: Document = batch.to_pylist()[0]
    stamp = event["timestamp"]
    event["timestamp"] = stamp if isinstance(stamp, int) else codec.micros(stamp.isoformat())
    return {
        "RequestEvent": codec.to_json("RequestEvent", event),
        "Verdict": next(record.to_json() for record in reversed(story) if isinstance(record, Verdict)),
        "WindowSummary": next(record.to_json() for record in reversed(story) if isinstance(record, WindowSummary)),
    }


def documents() -> Mapping[str, Document]:
    """By file name."""
    return {
        "openapi.json": openapi(),
        "asyncapi.json": asyncapi(Config()),
        "experiment.schema.json": experiment_json_schema(),
        "config.schema.json": config_json_schema(),
    }


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, document in documents().items():
        (folder / name).write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
