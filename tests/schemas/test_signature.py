"""Signatures: DSSE as its own protocol says, over the value alone; keys from the configuration, with rotation."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from hypothesis import given
from hypothesis import strategies as st

from schemas.config import parse_config
from schemas.located import Errors
from schemas.signature import HEADER, Keys, Signer, Signing, of_headers
from tests.support.signing import key_pair

OLD, NEW = key_pair(), key_pair()


def signer(pair: tuple[str, str], key_id: str) -> Signer:
    made = Signer.of(Signing.model_validate({"key_id": key_id, "private_key": pair[0]}))
    assert made is not None
    return made


def trusting(**pairs: tuple[str, str]) -> Keys:
    return Keys.of(Signing.model_validate({"public_keys": {name: pair[1] for name, pair in pairs.items()}}))


def test_the_envelope_is_dsse_over_the_value_and_any_other_library_can_check_it() -> None:
    value = b"\xc3\x01 any bytes at all"
    envelope = json.loads(signer(OLD, "old").sign("Verdict", value))
    assert base64.b64decode(envelope["payload"]) == value
    (signature,) = envelope["signatures"]
    assert signature["keyid"] == "old"
    kind = envelope["payloadType"]
    signed = b" ".join([b"DSSEv1", str(len(kind)).encode(), kind.encode(), str(len(value)).encode(), value])
    public = load_pem_public_key(OLD[1].encode())
    public.verify(base64.b64decode(signature["sig"]), signed)  # type: ignore[call-arg]
    with pytest.raises(InvalidSignature):
        public.verify(base64.b64decode(signature["sig"]), signed + b"!")  # type: ignore[call-arg]


def test_keys_rotate_without_a_gap() -> None:
    """Both are trusted while the signer changes; once the old one is removed, what it signed is refused."""
    by_old, by_new = (signer(pair, name).sign("Verdict", b"v") for pair, name in ((OLD, "old"), (NEW, "new")))
    before, between, after = trusting(old=OLD), trusting(old=OLD, new=NEW), trusting(new=NEW)
    told = [
        [keys.fault("Verdict", b"v", header) is None for header in (by_old, by_new)]
        for keys in (before, between, after)
    ]
    assert told == [[True, False], [True, True], [False, True]]
    assert after.fault("Verdict", b"v", by_old) == "its signature is not of any trusted key (new)"


def test_what_is_not_signed_well_is_refused_and_without_keys_nothing_is_asked() -> None:
    keys, good = trusting(old=OLD), signer(OLD, "old").sign("Verdict", b"v")
    assert keys.fault("Verdict", b"v", None) == "it is not signed"
    assert keys.fault("Decision", b"v", good) is not None, "a signature of one kind passed for another"
    assert keys.fault("Verdict", b"w", good) is not None
    assert Keys.of(Signing()).fault("Verdict", b"v", None) is None
    assert of_headers([(HEADER, good)]) == of_headers({HEADER: good}) == good
    assert of_headers([(HEADER, good), (HEADER, b"another")]) is None


@given(st.one_of(st.binary(max_size=200), st.recursive(
    st.none() | st.booleans() | st.text(max_size=5) | st.integers(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["signatures", "sig", "keyid"]), inner),
    max_leaves=12,
).map(lambda value: json.dumps(value).encode())))  # fmt: skip
def test_no_header_whatever_is_in_it_passes_or_raises(header: bytes) -> None:
    assert trusting(old=OLD).fault("Verdict", b"v", header) is not None


def test_keys_come_from_openssl_through_files(tmp_path: Path) -> None:
    private, public = tmp_path / "k.pem", tmp_path / "k.pub.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", private], check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)
    text = f"signing: {{key_id: a, private_key: '${{file:{private}}}', public_keys: {{b: '${{file:{public}}}'}}}}"
    signing = parse_config(text, "davy.yaml").signing
    made = Signer.of(signing)
    assert made is not None
    assert Keys.of(signing).fault("Verdict", b"v", made.sign("Verdict", b"v")) is None
    assert "PRIVATE" not in repr(signing)


@pytest.mark.parametrize(("text", "finding"), [
    ("signing: {key_id: a}", "private_key is missing: key_id and private_key go together"),
    ("signing: {key_id: a, private_key: no}", "is no Ed25519 private key in PEM without a password: make one with openssl"),
    ("signing: {public_keys: {a: no}}", "is no Ed25519 public key"),
])  # fmt: skip
def test_a_wrong_key_is_a_finding_with_its_place(text: str, finding: str) -> None:
    with pytest.raises(Errors) as raised:
        parse_config(text, "davy.yaml")
    assert finding in str(raised.value)
    assert str(raised.value).startswith("davy.yaml:1:")
