"""`probes:` of davy.yaml: what is probed, how often, and where probes may go at all.

>>> sessions = {"kind": "redis", "address": "10.1.2.3:6379"}
>>> Probes.model_validate({"allow": ["10.0.0.0/8"], "targets": {"sessions": sessions}}).refused()
{}
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from schemas.model import Identifier, Model, PositiveUs, Text

TARGETS_MAX = 1000
ARGUMENTS_MAX = 64


class Target(Model):
    """One dependency, and the services that depend on it.

    `address` is what its kind takes: a URL, HOST:PORT, or a name; `command` is for the kind command. The circuit opens after
    `open_after` failures in a row, is tried again after `cool_down`, and closes after `close_after` successes in a row.
    """

    kind: Identifier = Field(examples=["redis"])
    address: SecretStr | None = Field(default=None, min_length=1, examples=["127.0.0.1:6379"])
    command: tuple[Text, ...] = Field(default=(), max_length=ARGUMENTS_MAX, examples=["[/usr/local/bin/check, --fast]"])
    services: tuple[Text, ...] = Field(default=(), examples=["[checkout]"])
    every_us: PositiveUs = Field(default=10_000_000, alias="every", json_schema_extra={"default": "10s"})
    timeout_us: PositiveUs = Field(default=2_000_000, alias="timeout", json_schema_extra={"default": "2s"})
    open_after: int = Field(default=3, ge=1, le=1000)
    close_after: int = Field(default=2, ge=1, le=1000)
    cool_down_us: PositiveUs = Field(default=10_000_000, alias="cool_down", json_schema_extra={"default": "10s"})
    expires_within_us: PositiveUs = Field(
        default=14 * 86_400_000_000, alias="expires_within", json_schema_extra={"default": "14d"}
    )
    """A certificate that ends sooner is a failure (kind tls)."""

    @model_validator(mode="after")
    def _has_one_place(self) -> Self:
        if (self.kind == "command") != bool(self.command) or (self.address is None) != bool(self.command):
            raise ValueError("say address, or for kind: command the command's words in command")
        if self.address is not None and self.host is None:
            raise ValueError("address has no host: say HOST:PORT, or a URL like http://HOST:PORT/path")
        return self

    @property
    def place(self) -> str:
        """The address, with its secrets."""
        return self.address.get_secret_value() if self.address is not None else ""

    @property
    def host(self) -> str | None:
        """Where the probe goes; None for a command."""
        return self.host_and_port(0)[0] or None

    def host_and_port(self, default_port: int) -> tuple[str, int]:
        """Of the address; ("", 0) where it has none."""
        try:
            parts = urlsplit(self.place if "://" in self.place else f"//{self.place}")
            return parts.hostname or "", parts.port or default_port
        except ValueError:
            return "", 0


class Probes(Model):
    """All of it. `allow`: hosts, ``*.domain``, networks like 10.0.0.0/8, and the programs of commands; nothing else is
    probed. `concurrency` probes run at the same time, each begins up to `jitter` of its interval later than due."""

    allow: tuple[Text, ...] = Field(default=(), max_length=TARGETS_MAX, examples=["[10.0.0.0/8, '*.internal']"])
    concurrency: int = Field(default=16, ge=1, le=1000)
    jitter: Annotated[float, Field(ge=0, le=1)] = 0.1
    targets: dict[Identifier, Target] = Field(default={}, max_length=TARGETS_MAX)

    def refused(self) -> dict[str, str]:
        """Targets outside of the allow-list: why, by name."""
        why = {name: self._refusal(target) for name, target in self.targets.items()}
        return {name: reason for name, reason in why.items() if reason is not None}

    def _refusal(self, target: Target) -> str | None:
        goes_to = target.host or target.command[0]
        if any(_matches(goes_to, each) for each in self.allow):
            return None
        return f"probes may not go to {goes_to}: put it into probes.allow, or remove the target"


def _matches(host: str, allowed: str) -> bool:
    host, allowed = host.lower().rstrip("."), allowed.lower()
    if allowed.startswith("*."):
        return host.endswith(allowed[1:])
    if host == allowed:
        return True
    try:
        return ip_address(host) in ip_network(allowed, strict=False)
    except ValueError:
        return False
