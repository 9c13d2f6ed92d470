"""Ed25519 keys for tests."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat


def key_pair() -> tuple[str, str]:
    """A private and its public key, PEM."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


def indented(pem: str, by: int) -> str:
    """As the text of a YAML block scalar."""
    return "|\n" + "".join(f"{' ' * by}{line}\n" for line in pem.splitlines())
