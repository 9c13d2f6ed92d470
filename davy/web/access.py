"""Who may change something: by the token of all, by a named one, or as a person of an identity provider."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Any

from fastapi import HTTPException

from davy.web.identity import Provider, Unknown
from schemas.access import Scope, digest
from schemas.config import Http
from streams.clock import Clock

BEARER = "Bearer "
NOBODY = "http"
"""Who asks where nobody says."""
NAMED_MAX = 5
"""Of the services that a refusal names."""
NEEDED = "this needs the token: send it as Authorization: Bearer TOKEN"
UNKNOWN = "this token is not known here: send another as Authorization: Bearer TOKEN"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: `name` is that of a token or of a `person`, None where nobody can be told from anybody."""

    name: str | None = None
    person: bool = False
    services: frozenset[str] | None = None
    """Whose experiments are theirs; None: of all."""

    def only(self, service: str | None) -> None:
        """403 where that is not theirs; None: what is of no service, or of all."""
        if self.services is not None and service not in self.services:
            what = "what is of all services" if service is None else f"the service {service!r}"
            theirs = ", ".join(sorted(self.services)[:NAMED_MAX])
            raise HTTPException(403, f"{self.name} may act on {theirs}, and this is {what}: see http: in davy.yaml")

    def actor(self, claimed: str) -> str:
        """Whom the ledger names: a person is who the provider says, a token speaks for whom it says.

        >>> Caller().actor("jo"), Caller("argo").actor("jo"), Caller("argo").actor("http"), Caller("jo@x", True).actor("me")
        ('jo', 'jo via argo', 'argo', 'jo@x')
        """
        if self.name is None:
            return claimed
        return self.name if self.person or claimed in (NOBODY, self.name) else f"{claimed} via {self.name}"


class Access:
    """Says who a caller is, or refuses."""

    def __init__(self, http: Http, clock: Clock) -> None:
        self._token = None if http.token is None else digest(http.token.get_secret_value())
        self._tokens = http.tokens
        self._provider = None if http.oidc is None else Provider(http.oidc)
        self._clock = clock

    @property
    def open(self) -> bool:
        """Whether anybody may do anything."""
        return self._token is None and not self._tokens and self._provider is None

    def caller(self, authorization: str | None, scope: Scope) -> Caller:
        """Who asks. 401 for nobody that is known here, 403 where it is not theirs, 503 where the provider does not answer."""
        if self.open:
            return Caller()
        given = (authorization or "").removeprefix(BEARER).strip()
        if not given:
            raise _refusal(NEEDED)
        shown = digest(given)
        if self._token is not None and hmac.compare_digest(shown, self._token):
            return Caller()
        found = [token for token in self._tokens if hmac.compare_digest(shown, token.sha256)]
        if found:
            token = found[-1]
            if token.until_us is not None and self._clock.now_us() >= token.until_us:
                raise _refusal(f"the token {token.name} ended at {token.until}: make a new one with davy token")
            services = None if token.services is None else frozenset(token.services)
            return _within(Caller(token.name, services=services), token.scopes, scope)
        if self._provider is None or given.count(".") != 2:
            raise _refusal(UNKNOWN)
        try:
            person = self._provider.person(given)
        except Unknown as error:
            raise (HTTPException(503, str(error)) if error.away else _refusal(str(error))) from error
        return _within(Caller(person.name, True, person.services.get(scope)), person.scopes, scope)


def _refusal(sentence: str) -> HTTPException:
    return HTTPException(401, sentence, {"WWW-Authenticate": "Bearer"})


def _within(caller: Caller, scopes: Any, scope: Scope) -> Caller:
    if scope not in scopes:
        may = f"may send {', '.join(scopes)}" if scopes else "is in no group that may send anything"
        raise HTTPException(403, f"{caller.name} {may}, and this is {scope}: see http: in davy.yaml")
    return caller
