"""What every type of receiver makes of an incident, against what its documentation asks for."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from deploy.incidents import types
from deploy.incidents.base import Post
from schemas.alerts import Receiver
from schemas.incident import Incident

NOW = 1_790_000_000_000_000
LABELS = {"service": "checkout", "experiment": "checkout-2", "variant": "canary", "verdict_id": "v-1"}
INCIDENT = Incident(
    "rollback/checkout-2/canary", "critical", "roll <back> & go", "errors rose", NOW, NOW, labels=LABELS
)
OVER = replace(INCIDENT, updated=NOW + 60_000_000, ended=NOW + 60_000_000)


def post(kind: str, incident: Incident, link: str | None = "https://davy.example/") -> Post:
    receiver = Receiver.model_validate({"type": kind, "url": "http://there/path", "key": "secret"})
    return types()[kind].write(incident, receiver, link, NOW + 1_000_000)


def body(kind: str, incident: Incident) -> Any:
    return json.loads(post(kind, incident).body)


def test_all_types_are_found() -> None:
    assert list(types()) == ["alertmanager", "pagerduty", "slack", "webhook"]
    assert [name for name, writer in types().items() if writer.repeats] == ["alertmanager"]


@pytest.mark.parametrize("kind", ["alertmanager", "pagerduty", "slack", "webhook"])
def test_each_is_pure_links_the_console_and_survives_long_text(kind: str) -> None:
    assert post(kind, INCIDENT) == post(kind, INCIDENT)
    assert b"https://davy.example/#checkout-2" in post(kind, INCIDENT).body
    assert b"davy.example" not in post(kind, INCIDENT, link=None).body
    assert json.loads(post(kind, replace(INCIDENT, title="x" * 5000, text='"\n\x00é')).body)


def test_alertmanager_has_one_identity_for_all_news() -> None:
    (first,), (last,) = body("alertmanager", INCIDENT), body("alertmanager", OVER)
    assert first["labels"] == last["labels"]
    assert first["labels"]["alertname"] == "DavyRollback"
    assert "verdict_id" not in first["labels"]
    assert first["annotations"]["verdict_id"] == "v-1"
    assert (first["startsAt"], last["endsAt"]) == ("2026-09-21T14:13:20.000000Z", "2026-09-21T14:14:20.000000Z")
    assert first["endsAt"] == "2026-09-21T14:18:21.000000Z"
    assert post("alertmanager", INCIDENT).url == "http://there/path/api/v2/alerts"


def test_pagerduty_triggers_and_resolves_with_one_key() -> None:
    first, last = body("pagerduty", INCIDENT), body("pagerduty", OVER)
    assert (first["event_action"], last["event_action"]) == ("trigger", "resolve")
    assert first["dedup_key"] == last["dedup_key"]
    assert first["routing_key"] == "secret"
    assert first["payload"]["severity"] in ("critical", "error", "warning", "info")
    assert (first["payload"]["source"], first["payload"]["custom_details"]["text"]) == ("checkout", "errors rose")
    assert len(body("pagerduty", replace(INCIDENT, title="x" * 5000))["payload"]["summary"]) == 1024


def test_slack_reads_no_markup_in_what_others_wrote() -> None:
    assert "roll &lt;back&gt; &amp; go" in body("slack", INCIDENT)["text"]
    assert "resolved" in body("slack", OVER)["text"]


def test_the_webhook_is_a_cloudevent() -> None:
    for incident, news in ((INCIDENT, "opened"), (OVER, "resolved")):
        sent = post("webhook", incident)
        assert sent.content_type == "application/cloudevents+json"
        event = JSONFormat().read(CloudEvent, sent.body)
        assert event.get_type() == f"davy.v1.Incident.{news}"
        assert event.get_subject() == "rollback/checkout-2/canary"
    assert body("webhook", INCIDENT)["id"] != body("webhook", OVER)["id"]
