"""The console and the other roles over TLS: certificates that are renewed, clients that must show one."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from davy import tls as module
from davy.health import answering
from davy.tls import Certificate
from davy.web import role
from schemas.access import Tls
from schemas.config import Config
from schemas.errors import UserError
from streams.embedded import EmbeddedBroker
from tests.support.system import until


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority `ca`, and certificates of it: `one` and `two` for localhost, `client`; `other` is of nobody."""
    folder = tmp_path_factory.mktemp("papers")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-addext", "subjectAltName=DNS:localhost")
    for name in ("ca", "other"):
        openssl(*new, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.crt")
    for name in ("one", "two", "client"):
        openssl(
            *new,
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-subj",
            f"/CN={name}",
            "-keyout",
            f"{name}.key",
            "-out",
            f"{name}.crt",
        )
    return folder


def trusting(papers: Path, shown: str | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(papers / "ca.crt"))
    if shown is not None:
        context.load_cert_chain(papers / f"{shown}.crt", papers / f"{shown}.key")
    return context


def shown_name(port: int, context: ssl.SSLContext) -> str:
    with (
        socket.create_connection(("localhost", port), 5) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        subject: dict[str, str] = dict(pair[0] for pair in (secure.getpeercert() or {})["subject"])  # pyright: ignore
        return subject["commonName"]


@contextmanager
def health(config: Config) -> Iterator[int]:
    with answering(config, "judge", lambda: None) as port:
        yield port


def config(papers: Path, tmp_path: Path, **tls: str) -> Config:
    named = {what: str(papers / file) for what, file in tls.items()}
    return Config.model_validate({"data_dir": str(tmp_path), "health": {"host": "localhost", "tls": named}})


def test_a_role_answers_over_tls_and_tells_prometheus_so(papers: Path, tmp_path: Path) -> None:
    with health(config(papers, tmp_path, certificate="one.crt", key="one.key")) as port:
        with urllib.request.urlopen(f"https://localhost:{port}/healthz", timeout=5, context=trusting(papers)) as answer:
            assert json.load(answer) == {"ok": True}
        (scrape,) = json.loads(next((tmp_path / "scrape").iterdir()).read_text())
        assert scrape["labels"] == {"role": "judge", "__scheme__": "https"}
        with pytest.raises(OSError, match=r"without response|reset"):
            urllib.request.urlopen(f"http://localhost:{port}/healthz", timeout=5)


def test_whoever_shakes_no_hand_holds_nobody_up(papers: Path, tmp_path: Path) -> None:
    with (
        health(config(papers, tmp_path, certificate="one.crt", key="one.key")) as port,
        socket.create_connection(("localhost", port), 5),
        urllib.request.urlopen(f"https://localhost:{port}/readyz", timeout=5, context=trusting(papers)) as answer,
    ):
        assert answer.status == 200


def test_only_clients_of_the_authority_are_answered(papers: Path, tmp_path: Path) -> None:
    with health(config(papers, tmp_path, certificate="one.crt", key="one.key", clients="ca.crt")) as port:
        url = f"https://localhost:{port}/healthz"
        with urllib.request.urlopen(url, timeout=5, context=trusting(papers, "client")) as answer:
            assert answer.status == 200
        for nobody in (None, "other"):
            with pytest.raises(OSError, match=r"alert|EOF|reset"):
                urllib.request.urlopen(url, timeout=5, context=trusting(papers, nobody))


def test_a_renewed_certificate_is_taken_up_and_half_of_one_is_not(papers: Path, tmp_path: Path) -> None:
    here = {name: tmp_path / name for name in ("tls.crt", "tls.key")}

    def put(name: str, *suffixes: str) -> None:
        for suffix in suffixes:
            place = here[f"tls.{suffix}"]
            place.write_bytes((papers / f"{name}.{suffix}").read_bytes())
            os.utime(place, ns=(0, os.stat(place).st_mtime_ns + 1))

    put("one", "crt", "key")
    certificate = Certificate(Tls.model_validate({"certificate": str(here["tls.crt"]), "key": str(here["tls.key"])}))
    with (
        socket.create_server(("localhost", 0)) as listener,
        certificate.context.wrap_socket(listener, server_side=True) as server,
    ):
        port = server.getsockname()[1]

        def accept() -> None:
            for _ in range(3):
                server.accept()[0].close()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        assert shown_name(port, trusting(papers)) == "one"
        put("two", "crt")
        certificate.renew()
        assert shown_name(port, trusting(papers)) == "one", "its key is still missing"
        put("two", "key")
        certificate.renew()
        assert shown_name(port, trusting(papers)) == "two"
        thread.join(5)


@pytest.mark.parametrize(
    ("tls", "told"),
    [
        ({"key": "two.key"}, "key values mismatch"), ({"certificate": "none.crt"}, "No such file"),
        ({"clients": "one.key"}, "clients' authorities"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_said_in_a_sentence(papers: Path, tls: dict[str, str], told: str) -> None:
    named = {what: papers / file for what, file in ({"certificate": "one.crt", "key": "one.key"} | tls).items()}
    with pytest.raises(UserError, match=told) as error:
        Certificate(Tls.model_validate({what: str(path) for what, path in named.items()}))
    assert "tls: in davy.yaml" in str(error.value)


def test_the_console_answers_over_tls(
    papers: Path, tmp_path: Path, tansu: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.05)
    told = {name: tmp_path / name for name in ("tls.crt", "tls.key")}
    for name, place in told.items():
        place.write_bytes((papers / name.replace("tls", "one")).read_bytes())
    whole = Config.model_validate({
        "kafka": {"bootstrap.servers": tansu.bootstrap}, "embedded": True, "data_dir": str(tmp_path / "data"),
        "http": {"host": "localhost", "port": 0, "tls": {"certificate": str(told["tls.crt"]), "key": str(told["tls.key"])}},
    })  # fmt: skip
    stop = threading.Event()
    thread = threading.Thread(target=role.serve, args=(whole, stop))
    thread.start()
    try:
        folder = tmp_path / "data" / "scrape"
        until(lambda: folder.is_dir() and any(folder.glob("web-*.json")), 30, "the console told its address")
        (scrape,) = json.loads(next(folder.glob("web-*.json")).read_text())
        assert scrape["labels"]["__scheme__"] == "https"
        port = int(scrape["targets"][0].rpartition(":")[2])
        with urllib.request.urlopen(
            f"https://localhost:{port}/healthz", timeout=20, context=trusting(papers)
        ) as answer:
            assert json.load(answer) == {"ok": True}
            assert answer.headers["Strict-Transport-Security"]
        for name, place in told.items():
            place.write_bytes((papers / name.replace("tls", "two")).read_bytes())
        until(lambda: shown_name(port, trusting(papers)) == "two", 20, "the renewed certificate was shown")
    finally:
        stop.set()
        thread.join(20)
