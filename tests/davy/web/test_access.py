"""Who may steer: tokens known by their hash, people of a real identity provider's keys, and what the ledger calls them."""

from __future__ import annotations

import base64
import hmac
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import HTTPException
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey
from prometheus_client import REGISTRY
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from davy.web import identity
from davy.web.access import Access, Caller
from davy.web.app import make
from davy.web.events import Events
from davy.web.feed import Feed
from davy.web.refusals import LINES_PER_S
from schemas.access import digest
from schemas.config import Config, Http, parse_config
from schemas.control import Control, SpecApplied
from schemas.located import Errors
from streams import scenario as scenarios
from streams.clock import Clock
from tests.support.receiver import Call, Receiver, receiver

NOW = Clock()
SPEC = scenarios.load("errors").spec
PUBLISHED = b"a secret of sufficient length"


def access(**http: Any) -> Access:
    return Access(Http.model_validate(http), NOW)


def refused(held: Access, authorization: str | None, scope: Any = "command") -> tuple[int, str]:
    with pytest.raises(HTTPException) as error:
        held.caller(authorization, scope)
    return error.value.status_code, str(error.value.detail)


def test_where_nothing_is_configured_anybody_may() -> None:
    assert access().caller(None, "command") == Caller()


def test_a_named_token_does_what_its_scopes_say_and_the_ledger_names_it() -> None:
    held = access(
        token="of-all",
        tokens=[
            {"name": "argo", "sha256": digest("a"), "scopes": ["command"]},
            {"name": "old", "sha256": digest("o"), "until": "2020-01-01T00:00:00Z"},
            {"name": "new", "sha256": digest("n"), "until": "2999-01-01T00:00:00Z"},
        ],
    )
    assert held.caller("Bearer of-all", "spec") == Caller()
    assert held.caller("Bearer a", "command").actor("jo") == "jo via argo"
    assert held.caller("Bearer n", "flag") == Caller("new")
    assert refused(held, "Bearer a", "spec") == (403, "argo may send command, and this is spec: see http: in davy.yaml")
    assert refused(held, "Bearer o")[0] == 401
    assert "old ended at 2020" in refused(held, "Bearer o")[1]
    for nobody in (None, "", "Bearer ", "Bearer of-al", "Bearer " + digest("a"), "a b", "Basic YTpi"):
        assert refused(held, nobody)[0] == 401


def test_a_token_of_some_services_acts_on_their_experiments_only() -> None:
    http = {
        "tokens": [
            {"name": "shop", "sha256": digest("s"), "services": [SPEC.service]},
            {"name": "other", "sha256": digest("o"), "services": ["another"]},
        ]
    }
    config = Config.model_validate({"http": http})
    feed = Feed(config, threading.Event())
    feed.state.take(Control(SPEC.id, 1, "ann", "applied", SpecApplied(SPEC.source, SPEC.path, SPEC.digest)))
    client = TestClient(make(config, feed, Events(threading.Event())))
    body = {"command": "pause", "reason": "why", "actor": "ann", "variant": "none"}
    elsewhere = SPEC.source.replace(f"service: {SPEC.service}", "service: another")
    assert elsewhere != SPEC.source

    def asked(token: str, method: str, path: str, **more: Any) -> tuple[int, str]:
        answer = client.request(method, path, headers={"Authorization": f"Bearer {token}"}, **more)
        return answer.status_code, answer.json()["error"]

    command = f"/v1/experiments/{SPEC.id}/commands"
    assert asked("s", "POST", command, json=body) == (400, f"{SPEC.id} has no candidate 'none'")
    assert asked("o", "POST", command, json=body) == (
        403, f"other may act on another, and this is the service {SPEC.service!r}: see http: in davy.yaml",
    )  # fmt: skip
    assert asked("s", "POST", "/v1/experiments", content=elsewhere)[0] == 403, "a spec of another service"
    assert asked("o", "POST", "/v1/experiments", content=elsewhere)[0] == 403, (
        "an experiment taken from another service"
    )
    assert asked("s", "PUT", "/v1/flags/dark", content="x")[0] == 403, "flags are of all services"
    assert asked("s", "DELETE", "/v1/flags/dark")[0] == 403
    assert asked("s", "POST", "/v1/annotations", json={"text": "x"})[0] == 403


def test_a_persons_groups_may_have_services_of_their_own(issuer: Issuer) -> None:
    grants = {"sre": ["command", "flag"], "shop": ["command", "spec"], "cart": ["spec"]}
    oidc = {"issuer": issuer.held.url, "audience": "davy", "grants": grants, "services": {"shop": ["a"], "cart": ["b"]}}
    held = access(oidc=oidc)
    assert held.caller(issuer.token(groups=["shop"]), "command").services == {"a"}
    assert held.caller(issuer.token(groups=["shop", "cart"]), "spec").services == {"a", "b"}
    assert held.caller(issuer.token(groups=["shop", "cart"]), "command").services == {"a"}
    assert held.caller(issuer.token(groups=["shop", "sre"]), "command").services is None
    assert held.caller(issuer.token(groups=["shop", "sre"]), "spec").services == {"a"}


def test_what_a_token_command_prints_is_what_the_console_takes() -> None:
    made = subprocess.run(
        [sys.executable, "-m", "davy", "token", "argo", "--scope", "flag", "--valid", "1h", "--service", "a", "--json"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    told = json.loads(made.stdout)
    held = access(tokens=[told["entry"]])
    assert held.caller(f"Bearer {told['token']}", "flag") == Caller("argo", services=frozenset("a"))
    assert refused(held, f"Bearer {told['token']}", "command")[0] == 403
    assert told["token"] not in json.dumps(told["entry"])


@pytest.mark.parametrize(
    ("http", "told"),
    [
        ("{tokens: [{name: a, sha256: abc}]}", "sha256"),
        ("{tokens: [{name: a, sha256: %s, scopes: [all]}]}" % ("0" * 64), "scopes"),
        ("{tokens: [{name: a, sha256: %s, until: soon}]}" % ("0" * 64), "until"),
        ("{oidc: {issuer: 'http://login.example', audience: davy, grants: {a: [command]}}}", "issuer"),
        ("{oidc: {issuer: 'https://login.example', audience: davy}}", "grants"),
    ],
)
def test_what_is_wrong_in_davy_yaml_has_its_place(http: str, told: str) -> None:
    with pytest.raises(Errors) as errors:
        parse_config(f"http: {http}\n", "davy.yaml")
    assert any(str(finding).startswith("davy.yaml:1:") and told in str(finding) for finding in errors.value.findings)


class Issuer:
    """An identity provider: publishes its document and keys, signs tokens."""

    def __init__(self) -> None:
        self.rsa, self.ec = (RSAKey.generate_key(2048, {"kid": "r"}), ECKey.generate_key("P-256", {"kid": "e"}))
        self.published: list[Any] = [self.rsa]
        self.status = 200
        self.held: Receiver

    def answer(self, call: Call) -> tuple[int, Any]:
        if self.status != 200:
            return self.status, None
        if call.path == "/.well-known/openid-configuration":
            return 200, {"issuer": self.held.url, "jwks_uri": f"{self.held.url}/keys"}
        keys = [key.as_dict(private=False) for key in self.published]
        return 200, {"keys": [*keys, {"kty": "new"}, {"kty": "oct", "k": _coded(PUBLISHED), "kid": "o"}]}

    def token(self, key: Any = None, alg: str = "RS256", kid: str = "r", **claims: Any) -> str:
        now = int(time.time())
        body = {
            "iss": self.held.url, "aud": "davy", "iat": now, "exp": now + 60, "email": "jo@shop.example", "groups": ["sre"],
        } | claims  # fmt: skip
        body = {name: value for name, value in body.items() if value is not None}
        return "Bearer " + jwt.encode({"alg": alg, "kid": kid}, body, key or self.rsa, algorithms=[alg])

    def access(self) -> Access:
        oidc = {"issuer": self.held.url, "audience": "davy", "grants": {"sre": ["command", "spec"], "shop": ["flag"]}}
        return access(oidc=oidc)


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    made = Issuer()
    with receiver(made.answer) as held:
        made.held = held
        yield made


def test_a_person_is_who_the_provider_says_and_may_what_their_groups_may(issuer: Issuer) -> None:
    held = issuer.access()
    assert held.caller(issuer.token(), "command") == Caller("jo@shop.example", True)
    assert held.caller(issuer.token(), "command").actor("somebody else") == "jo@shop.example"
    assert refused(held, issuer.token(), "flag")[0] == 403
    assert held.caller(issuer.token(groups="shop"), "flag").name == "jo@shop.example"
    assert refused(held, issuer.token(groups=["guests"]))[0] == 403
    assert refused(held, issuer.token(groups=None))[0] == 403
    assert len(issuer.held.calls) == 2, "keys are asked for once"


def test_what_is_no_sound_token_of_the_provider_is_refused(issuer: Issuer) -> None:
    held, now = issuer.access(), int(time.time())
    other = RSAKey.generate_key(2048, {"kid": "r"})
    head, body, signature = issuer.token().removeprefix("Bearer ").split(".")
    confused = f"{_coded(json.dumps({'alg': 'HS256', 'kid': 'r'}).encode())}.{body}"
    secret = hmac.digest(issuer.rsa.as_pem(private=False), confused.encode(), "sha256")
    forged = f"Bearer {confused}.{_coded(secret)}"
    wrong = {
        "another key": issuer.token(other), "no such key": issuer.token(kid="z"),
        "public key as a secret": forged,
        "a shared secret that is published": issuer.token(OctKey.import_key(PUBLISHED), "HS256", "o"),
        "ended": issuer.token(exp=now - 60), "not yet": issuer.token(iat=now + 3600), "no end": issuer.token(exp=None),
        "of another issuer": issuer.token(iss="https://evil.example"), "for another": issuer.token(aud="grafana"),
        "nobody": issuer.token(email=None), "unsigned": f"Bearer eyJhbGciOiJub25lIn0.{body}.",
        "changed": f"Bearer {head}.{body[:-2]}AA.{signature}", "no token": "Bearer a.b.c",
    }  # fmt: skip
    answers = {why: refused(held, token) for why, token in wrong.items()}
    assert {why: status for why, (status, _) in answers.items()} == dict.fromkeys(wrong, 401)
    assert all(len(told) < 200 and "\n" not in told for _, told in answers.values())
    assert held.caller(issuer.token(), "command").person


def _coded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def test_keys_rotate_and_a_provider_that_is_away_refuses_nobody_for_good(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = issuer.access()
    issuer.status = 500
    assert refused(held, issuer.token())[0] == 503
    issuer.status = 200
    assert refused(held, issuer.token())[0] == 503, "it is not asked for every caller"
    monkeypatch.setattr(identity, "AGAIN_S", 0.0)
    assert held.caller(issuer.token(), "command").person
    issuer.published = [issuer.rsa, issuer.ec]
    assert held.caller(issuer.token(issuer.ec, "ES256", "e"), "command").person
    issuer.published, issuer.status = [issuer.ec], 500
    assert held.caller(issuer.token(), "command").person, "keys are believed for an hour"
    monkeypatch.setattr(identity, "KEPT_S", 0.0)
    assert refused(held, issuer.token())[0] == 503
    issuer.status = 200
    assert refused(held, issuer.token())[0] == 401, "a key that was withdrawn"


def test_the_api_refuses_with_a_challenge(issuer: Issuer) -> None:
    http = {"oidc": {"issuer": issuer.held.url, "audience": "davy", "grants": {"sre": ["flag"]}}}
    config = Config.model_validate({"http": http})
    client = TestClient(make(config, Feed(config, threading.Event()), Events(threading.Event())))
    answer = client.post("/v1/annotations", json={"text": "x"})
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    answer = client.post("/v1/annotations", json={"text": "x"}, headers={"Authorization": issuer.token()})
    assert (answer.status_code, answer.json()["error"][:15]) == (403, "jo@shop.example")


def test_who_is_refused_is_in_the_log_and_counted_and_no_token_with_it() -> None:
    config = Config.model_validate({"http": {"token": "s3cret"}})
    client = TestClient(make(config, Feed(config, threading.Event()), Events(threading.Event())))
    before = REGISTRY.get_sample_value("davy_web_refused_total", {"status": "401"}) or 0.0
    with capture_logs() as lines:
        for _ in range(3 * LINES_PER_S):
            client.post("/v1/annotations", json={"text": "x"}, headers={"Authorization": "Bearer gue55\n{}"})
        client.post("/v1/annotations", json={"text": "x"}, headers={"Origin": "http://evil.example"})
        client.get("/v1/experiments")
    assert REGISTRY.get_sample_value("davy_web_refused_total", {"status": "401"}) == before + 3 * LINES_PER_S
    told = [line for line in lines if line["event"] == "a caller was refused"]
    assert LINES_PER_S <= len(told) < 3 * LINES_PER_S
    assert (told[0]["status"], told[0]["method"], told[0]["path"]) == (401, "POST", "/v1/annotations")
    assert "gue55" not in str(lines)


def test_every_answer_has_the_headers_that_browsers_obey() -> None:
    config = Config()
    client = TestClient(make(config, Feed(config, threading.Event()), Events(threading.Event())))
    for path in ("/", "/app.js", "/v1/experiments", "/v1/nothing", "/healthz", "/secret.txt"):
        headers = client.get(path, headers={"Origin": "http://evil.example"}).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"], path
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["referrer-policy"] == "no-referrer", path
        assert headers["cache-control"] in ("no-store", "no-cache"), path
        assert not [name for name in headers if name.startswith("access-control-")], path
