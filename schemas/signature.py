"""Signatures of records: DSSE over the value, Ed25519, beside it in a Kafka header. Pure.

The header holds a whole DSSE envelope (JSON), which any DSSE library reads. What counts here is the record's own value: the
signature must be one over it, whatever the envelope's payload says. The payload's type is signed with it, so a signature of
one kind of record is none of another. A key id is a hint for people; every trusted key is tried.

>>> from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
>>> key = Ed25519PrivateKey.generate()
>>> signer, keys = Signer("2026-11", key), Keys({"2026-11": key.public_key()})
>>> header = signer.sign("Verdict", b"value")
>>> keys.fault("Verdict", b"value", header), keys.fault("Verdict", b"other", header)
(None, 'its signature is not of any trusted key (2026-11)')
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, cast

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from schemas.frozen import frozen
from schemas.located import is_list, is_mapping
from schemas.model import Identifier, Model

if TYPE_CHECKING:  # imported where it is used: only who signs or checks needs the library
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

HEADER = "davy_signature"
SIGNATURES_MAX = 8
"""Signatures of an envelope that are tried; more are not looked at."""
HEADER_BYTES_MAX = 2_000_000
"""A longer header is no signature of ours: the payload in it is a verdict at most."""
PUBLIC_KEYS_MAX = 32


def _pem(text: str, half: Literal["private", "public"]) -> Any:
    """An Ed25519 key in PEM."""
    from cryptography.hazmat.primitives.asymmetric import ed25519
    from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

    wanted = ed25519.Ed25519PrivateKey if half == "private" else ed25519.Ed25519PublicKey
    try:
        key = load_pem_private_key(text.encode(), None) if half == "private" else load_pem_public_key(text.encode())
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, wanted):
        made = "openssl genpkey -algorithm ed25519" if half == "private" else "openssl pkey -in KEY.pem -pubout"
        raise ValueError(f"is no Ed25519 {half} key in PEM without a password: make one with {made}")
    return key


def _public_pem(value: str) -> str:
    _pem(value, "public")
    return value


class Signing(Model):
    """Ed25519 keys for verdicts and the ledger (PEM): one to sign with, some to trust, by key id. Where any is trusted, a
    verdict that none of them signed is refused. To change keys: trust the new one everywhere, sign with it, remove the old."""

    key_id: Identifier | None = Field(default=None, examples=["2026-11"])
    private_key: SecretStr | None = Field(default=None, examples=["${file:signing.pem}"])
    public_keys: dict[Identifier, Annotated[str, AfterValidator(_public_pem)]] = Field(
        default={}, max_length=PUBLIC_KEYS_MAX, examples=["{2026-11: '${file:2026-11.pub.pem}'}"]
    )

    @field_validator("private_key")
    @classmethod
    def _is_private(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            _pem(value.get_secret_value(), "private")
        return value

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.key_id is None) != (self.private_key is None):
            missing = "key_id" if self.key_id is None else "private_key"
            raise ValueError(f"{missing} is missing: key_id and private_key go together")
        return self

    def load_private(self) -> Any:
        """The private key; only where there is one."""
        return _pem(self.private_key.get_secret_value() if self.private_key else "", "private")

    def load_public(self) -> dict[str, Any]:
        """The trusted public keys by id."""
        return {name: _pem(text, "public") for name, text in self.public_keys.items()}


def payload_type(kind: str) -> str:
    """The signed name of a kind of record: `Verdict`, `Decision`."""
    return f"application/vnd.davy.v1.{kind}+avro"


def pre_authentication(kind: str, value: bytes) -> bytes:
    """What is signed (DSSE protocol, version 1): lengths make it unambiguous.

    >>> pre_authentication("Verdict", b"hello")
    b'DSSEv1 36 application/vnd.davy.v1.Verdict+avro 5 hello'
    """
    return encoded(payload_type(kind), value)


def encoded(kind: str, value: bytes) -> bytes:
    """What is signed of a payload of any type, by the type's full name."""
    name = kind.encode()
    return b"DSSEv1 %d %s %d %s" % (len(name), name, len(value), value)


@frozen()
class Signer:
    """Signs with the one private key that is configured."""

    key_id: str
    key: Ed25519PrivateKey

    @classmethod
    def of(cls, signing: Signing) -> Self | None:
        """From the configuration; None where no private key is configured."""
        if signing.private_key is None or signing.key_id is None:
            return None
        return cls(signing.key_id, signing.load_private())

    def sign(self, kind: str, value: bytes) -> bytes:
        """The header of a record with this value."""
        return self.envelope(payload_type(kind), value)

    def envelope(self, kind: str, value: bytes) -> bytes:
        """A DSSE envelope of a payload of any type, by the type's full name."""
        signature = self.key.sign(encoded(kind, value))
        envelope = {
            "payload": base64.b64encode(value).decode(),
            "payloadType": kind,
            "signatures": [{"keyid": self.key_id, "sig": base64.b64encode(signature).decode()}],
        }
        return json.dumps(envelope, separators=(",", ":")).encode()


@frozen()
class Keys:
    """Public keys that are trusted, by id; none at all means that signatures are not asked for."""

    trusted: Mapping[str, Ed25519PublicKey]

    @classmethod
    def of(cls, signing: Signing) -> Self:
        """Those of the configuration; the one that belongs to its private key is trusted, too."""
        trusted = signing.load_public()
        if signing.private_key is not None and signing.key_id is not None:
            trusted.setdefault(signing.key_id, signing.load_private().public_key())
        return cls(trusted)

    def fault(self, kind: str, value: bytes, header: bytes | None) -> str | None:
        """Why a record is not to be believed, as a clause; None when it is signed well or signatures are not asked for."""
        if not self.trusted:
            return None
        return "it is not signed" if header is None else self.fault_of(payload_type(kind), value, header)

    def fault_of(self, kind: str, value: bytes, envelope: bytes) -> str | None:
        """Why a payload of any type, by the type's full name, is not to be believed; None when a trusted key signed it."""
        signatures = _signatures(envelope)
        if not signatures:
            return "its signature cannot be read"
        signed = encoded(kind, value)
        if any(_good(key, signature, signed) for signature in signatures for key in self.trusted.values()):
            return None
        return f"its signature is not of any trusted key ({', '.join(self.trusted)})"


def of_headers(headers: Any) -> bytes | None:
    """The signature among Kafka headers (pairs, or a mapping); None where there is none, or more than one."""
    pairs = cast("Mapping[str, Any]", headers).items() if is_mapping(headers) else headers or ()
    found = [value for name, value in pairs if name == HEADER]
    return found[0] if len(found) == 1 and isinstance(found[0], bytes) else None


def _good(key: Ed25519PublicKey, signature: bytes, signed: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(signature, signed)
    except InvalidSignature:
        return False
    return True


def _signatures(header: bytes) -> list[bytes]:
    """All signatures of an envelope; none where it is not one."""
    if len(header) > HEADER_BYTES_MAX:
        return []
    try:
        envelope = json.loads(header)
    except (ValueError, RecursionError):
        return []
    listed = envelope.get("signatures") if is_mapping(envelope) else None
    found: list[bytes] = []
    for item in listed[:SIGNATURES_MAX] if is_list(listed) else []:
        text = item.get("sig") if is_mapping(item) else None
        if isinstance(text, str):
            try:
                found.append(base64.b64decode(text, validate=True))
            except (binascii.Error, ValueError):
                continue
    return found
