"""What stands in docs/api is what the code serves."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastavro
import jsonschema
import pytest
from openapi_spec_validator import validate

from davy.web import documents
from schemas import codec
from schemas.config import TOPICS, Config
from streams.topics import wanted

ROOT = Path(__file__).parents[3]
HOME = ROOT / "docs" / "api"
ASYNCAPI = ROOT / "tests" / "support" / "asyncapi" / "3.0.0.json.gz"


@pytest.fixture(scope="module")
def fresh() -> dict[str, Any]:
    return json.loads(json.dumps(documents.documents()))


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def without_examples(node: Any) -> Any:
    """Verdicts in examples change with every improvement of the judge: those files may be older."""
    if isinstance(node, dict):
        return {key: without_examples(value) for key, value in node.items() if key not in ("example", "examples")}
    return [without_examples(value) for value in node] if isinstance(node, list) else node


def test_the_files_are_up_to_date_and_lead_nowhere_wrong(fresh: dict[str, Any]) -> None:
    assert {path.name for path in HOME.glob("*.json")} == set(fresh)
    for name, made in fresh.items():
        document = json.loads((HOME / name).read_text())
        assert without_examples(document) == without_examples(made), "run python -m davy.web.documents docs/api"
        for reference in set(references(document)):
            place = document
            for part in reference.removeprefix("#/").split("/"):
                place = place[part.replace("~1", "/")]


def test_openapi_is_valid_and_has_examples(fresh: dict[str, Any]) -> None:
    document = fresh["openapi.json"]
    validate(document)
    argo = document["paths"]["/v1/argo/{experiment_id}"]["get"]["responses"]["200"]["content"]["application/json"]
    assert argo["example"]["verdict"]["experiment_id"] == "demo-errors"
    parts = document["components"]["schemas"]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation.get("description"), f"{method} {path} does not say what it is"
            for content in operation.get("requestBody", {}).get("content", {}).values():
                named = content["schema"].get("$ref", "").rpartition("/")[2]
                assert content.get("example") or parts[named]["examples"], f"{method} {path} has no example"
    commands = document["paths"]["/v1/experiments/{experiment_id}/commands"]["post"]
    assert {"200", "400", "401", "404", "503"} <= set(commands["responses"])
    assert {"token": []} in commands["security"]


def test_asyncapi_is_valid(fresh: dict[str, Any]) -> None:
    schema = json.loads(gzip.decompress(ASYNCAPI.read_bytes()))
    jsonschema.Draft7Validator(schema).validate(fresh["asyncapi.json"])


def test_every_topic_is_a_channel_as_it_is_created(fresh: dict[str, Any]) -> None:
    document = fresh["asyncapi.json"]
    assert list(document["channels"]) == list(TOPICS)
    for topic in wanted(Config()):
        channel = document["channels"][topic.topic.removeprefix("davy.")]
        assert channel["address"] == topic.topic
        assert channel["bindings"]["kafka"]["partitions"] == topic.num_partitions
    for name, message in document["components"]["messages"].items():
        if name in codec.names():
            fastavro.parse_schema(message["payload"]["schema"])
    shown = {name for name, message in document["components"]["messages"].items() if "examples" in message}
    assert shown == {"RequestEvent", "Verdict", "WindowSummary"}


@pytest.mark.parametrize("name", ["experiment", "config"])
def test_editors_get_a_valid_schema_that_completes_and_complains(name: str, fresh: dict[str, Any]) -> None:
    schema = fresh[f"{name}.schema.json"]
    jsonschema.Draft202012Validator.check_schema(schema)
    checker = jsonschema.Draft202012Validator(schema)
    assert [error.message for error in checker.iter_errors({"no_such_field": 1}) if "no_such_field" in error.message]
