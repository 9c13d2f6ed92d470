"""Access: who may steer Davy over HTTP, and by which certificate the console is known."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field

from schemas.codec import micros
from schemas.model import Identifier, Model, Text, text

Scope = Literal["command", "spec", "flag", "annotation"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
TOKENS_MAX = 100
GRANTS_MAX = 100
SERVICES_MAX = 1000
SECURE = r"^(https://|http://(localhost|127\.0\.0\.1)[:/])"
"""An identity provider is asked over TLS, unless it is this machine."""


def digest(token: str) -> str:
    """What is kept of a token. It has 256 random bits, so it needs neither salt nor a slow hash.

    >>> digest("a")[:16]
    'ca978112ca1bbdca'
    """
    return hashlib.sha256(token.encode()).hexdigest()


def _time(value: str) -> str:
    micros(value)
    return value


Services = Annotated[tuple[Text, ...], Field(min_length=1, max_length=SERVICES_MAX)]


class Token(Model):
    """One caller's token, of which only the hash is known here; `davy token` makes one. `until` it is taken. With `services`
    it is for their experiments only."""

    name: Identifier = Field(examples=["argo"])
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    scopes: tuple[Scope, ...] = Field(default=SCOPES, min_length=1, examples=["[command]"])
    until: Annotated[Text, AfterValidator(_time)] | None = Field(default=None, examples=["'2027-06-30T00:00:00Z'"])
    services: Services | None = Field(default=None, examples=["[checkout]"])

    @property
    def until_us(self) -> int | None:
        """UTC microseconds."""
        return None if self.until is None else micros(self.until)


class Oidc(Model):
    """People of an identity provider (OpenID Connect): a bearer token that `issuer` signed for `audience`. The claim `name` is
    who the ledger says it was, and each value of the claim `groups` that `grants` names gives its scopes: for experiments of
    all services, or of those that `services` says of the group."""

    issuer: Text = Field(examples=["https://login.example/realms/shop"], pattern=SECURE)
    audience: Text = Field(examples=["davy"])
    name: Text = "email"
    groups: Text = "groups"
    grants: dict[Text, tuple[Scope, ...]] = Field(
        min_length=1, max_length=GRANTS_MAX, examples=["{sre: [command, spec, flag, annotation], shop: [command]}"]
    )
    services: dict[Text, Services] = Field(default={}, max_length=GRANTS_MAX, examples=["{shop: [checkout, cart]}"])


File = Annotated[Path, BeforeValidator(text)]


class Tls(Model):
    """PEM files, read again when they change. With `clients` only who has a certificate of these authorities is answered."""

    certificate: File = Field(examples=["/etc/davy/tls.crt"])
    key: File = Field(examples=["/etc/davy/tls.key"])
    clients: File | None = Field(default=None, examples=["/etc/davy/clients.crt"])
