"""A person of an identity provider: what a signed token (JWT, RFC 7519) of OpenID Connect says of who sends it.

Signatures are checked against the provider's published keys, which are asked for when they are first needed and again when a
token names a key that is not known, but not more often than every `AGAIN_S`. Only asymmetric algorithms are taken: a public
key can then never pass for a shared secret, nor an unsigned token for a signed one (RFC 8725).
"""

from __future__ import annotations

import json
import math
import re
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import GuestProtocol, JWKRegistry, KeySet
from joserfc.jwt import JWTClaimsRegistry

from deploy.exchange import NoAnswer, exchange
from schemas.access import SCOPES, SECURE, Oidc, Scope
from schemas.located import is_list, is_mapping

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA")
LEEWAY_S = 30
"""By so much may clocks differ."""
AGAIN_S = 30.0
KEPT_S = 3600.0
"""So long published keys are believed: one that a provider withdraws is refused after that."""
TIMEOUT_S = 5.0
ANSWER_BYTES_MAX = 1_000_000
NAME_MAX = 200


class Unknown(Exception):
    """Why nobody is known by a token, in a sentence; `away`: the provider does not answer, so nobody knows."""

    def __init__(self, sentence: str, away: bool = False) -> None:
        super().__init__(sentence)
        self.away = away


@dataclass(frozen=True, slots=True)
class Person:
    """Who it is, and what they may send."""

    name: str
    scopes: tuple[Scope, ...]
    services: Mapping[Scope, frozenset[str]]
    """By scope; a scope that is not here is for all services."""


class Provider:
    """One issuer and its keys."""

    def __init__(self, oidc: Oidc) -> None:
        self.oidc = oidc
        self._keys = KeySet([])
        self._asked_s = self._had_s = -math.inf
        self._lock = threading.Lock()

    def person(self, token: str) -> Person:
        """Whose token it is; raises `Unknown`. May ask the provider, which takes up to `TIMEOUT_S` twice."""
        claims_of = JWTClaimsRegistry(
            leeway=LEEWAY_S, exp={"essential": True}, iat={"essential": True},
            iss={"essential": True, "value": self.oidc.issuer}, aud={"essential": True, "value": self.oidc.audience},
        )  # fmt: skip
        try:
            claims = jwt.decode(token, self._keys_for, ALGORITHMS).claims
            claims_of.validate(claims)
        except InvalidKeyIdError as error:
            raise Unknown(f"the token is signed by a key that {self.oidc.issuer} does not publish") from error
        except (JoseError, ValueError) as error:
            raise Unknown(f"the token is not taken: {_clause(error)}") from error
        name = claims.get(self.oidc.name)
        if not isinstance(name, str) or not 0 < len(name.strip()) <= NAME_MAX:
            raise Unknown(f"the token does not say who you are: its claim {self.oidc.name!r} is missing")
        held = claims.get(self.oidc.groups)
        groups = {held} if isinstance(held, str) else {str(group) for group in held} if is_list(held) else set[str]()
        ours = [(group, scopes) for group, scopes in self.oidc.grants.items() if group in groups]
        granted = {scope for _, scopes in ours for scope in scopes}
        return Person(name.strip(), tuple(scope for scope in SCOPES if scope in granted), self._services(ours))

    def _services(self, grants: Sequence[tuple[str, Sequence[Scope]]]) -> dict[Scope, frozenset[str]]:
        """By scope: those of all groups that have it, unless one has it for all services."""
        found: dict[Scope, frozenset[str]] = {}
        for scope in SCOPES:
            named = [self.oidc.services.get(group) for group, scopes in grants if scope in scopes]
            limited = [services for services in named if services is not None]
            if limited and len(limited) == len(named):
                found[scope] = frozenset[str]().union(*limited)
        return found

    def _keys_for(self, token: GuestProtocol) -> KeySet:
        """The provider's keys, with the one that the token names if it is published."""
        named = token.headers().get("kid")
        with self._lock:
            now_s = time.monotonic()
            old = now_s - self._had_s > KEPT_S
            known = named is None or any(key.kid == named for key in self._keys)
            if (old or not known) and now_s - self._asked_s >= AGAIN_S:
                self._asked_s = now_s
                self._keys, self._had_s, old = self._published(), now_s, False
            if old:
                raise Unknown(f"{self.oidc.issuer} did not tell its keys: try again in a minute", away=True)
            return self._keys

    def _published(self) -> KeySet:
        """The provider's keys for signatures."""
        about = _document(f"{self.oidc.issuer.rstrip('/')}/.well-known/openid-configuration")
        if about.get("issuer") != self.oidc.issuer:
            raise Unknown(f"{self.oidc.issuer} says that it is {about.get('issuer')!r}: configure that", away=True)
        place = str(about.get("jwks_uri"))
        if not re.match(SECURE, place):
            raise Unknown(f"{self.oidc.issuer} publishes its keys at {place!r}, which is not https", away=True)
        listed = _document(place).get("keys")
        keys: list[Any] = []
        for entry in listed if is_list(listed) else ():
            if is_mapping(entry) and entry.get("kty") != "oct":
                try:
                    keys.append(JWKRegistry.import_key(dict(entry)))
                except (JoseError, ValueError):  # a kind of key that nobody here knows
                    continue
        return KeySet(keys)


def _document(url: str) -> Mapping[str, Any]:
    try:
        found = json.loads(exchange("GET", url, {}, timeout_s=TIMEOUT_S, bytes_max=ANSWER_BYTES_MAX))
    except NoAnswer as error:
        raise Unknown(f"{url} {error}", away=True) from error
    except ValueError as error:
        raise Unknown(f"{url} answered no JSON", away=True) from error
    if not is_mapping(found):
        raise Unknown(f"{url} answered no JSON object", away=True)
    return found


def _clause(error: Exception) -> str:
    said = getattr(error, "description", "") or str(error) or type(error).__name__
    return said.rstrip(".")
