"""Traffic targets from the configuration, each against the real thing where there is one."""

from __future__ import annotations

import collections
import http.server
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy import splitter
from deploy.traffic import adapters, targets
from deploy.traffic.base import Order, Target, TargetError
from schemas.config import parse_config
from schemas.errors import UserError
from schemas.spec import load_specs
from streams.embedded import free_port
from tests.deploy.test_splitter import nginx, variants

(SPEC,) = load_specs("""\
id: e
service: shop
environment: test
variants:
  control: {version: "1", upstream: ["127.0.0.1:8081"]}
  canary: {version: "2", upstream: ["127.0.0.1:8082"]}
slis:
  - {name: errors, type: error_ratio, max_increase: 1pp}
steps:
  - {weight: 25%, duration: 1m}
""")
START, HALF = {"control": 1.0, "canary": 0.0}, {"control": 0.5, "canary": 0.5}
ORDER = Order("o1", SPEC, HALF, START, reason="why not")


def configured(folder: Path, entry: str) -> Target:
    """The target that an entry of `traffic:` makes."""
    config = parse_config(f"data_dir: {folder}\ntraffic:\n  - {entry}\n", "davy.yaml")
    files, made = targets(config)
    assert files.name == "files"
    return made


def test_every_kind_is_found_by_its_name() -> None:
    assert sorted(adapters()) == [
        "dry-run",
        "envoy",
        "files",
        "flagd",
        "haproxy",
        "haproxy-map",
        "hook",
        "httproute",
        "nginx",
        "webhook",
    ]


@pytest.mark.parametrize(("entry", "sentence"), [
    ("{type: haproxi, socket: /x}", "davy.yaml: traffic[0]: type 'haproxi' is unknown: did you mean haproxy?"),
    ("{type: haproxy}", "davy.yaml: traffic[0] (haproxy): socket: Field required"),
    ("{type: webhook, url: ftp://x}", "davy.yaml: traffic[0] (webhook): url: "),
    ("{type: files, x: 1}", "davy.yaml: traffic[0] (files): x: "),
])  # fmt: skip
def test_a_wrong_entry_is_told(tmp_path: Path, entry: str, sentence: str) -> None:
    with pytest.raises(UserError) as raised:
        configured(tmp_path, entry)
    assert str(raised.value).startswith(sentence)


def test_a_real_nginx_loads_the_files_anew_and_is_seen_to(tmp_path: Path) -> None:
    folder, port = tmp_path / "traffic" / "e", free_port()
    config = f"{{type: nginx, pid: {folder}/nginx.pid, config: {folder}/nginx.conf}}"
    target = configured(tmp_path, config)
    splitter.write(folder, splitter.render(SPEC, START))
    with pytest.raises(TargetError, match="does not run"):
        target.apply(ORDER)
    with nginx(folder, port):
        assert set(variants(port, 200).values()) == {"control"}
        assert target.fault(replace(ORDER, weights=START)) is None
        time.sleep(0.05)  # process start times have a resolution of 10 ms
        splitter.write(folder, splitter.render(SPEC, HALF))
        assert "what the files said before" in str(target.fault(ORDER))
        target.apply(ORDER)
        assert target.fault(ORDER) is None
        counts = collections.Counter(variants(port, 400).values())
        assert 140 < counts["canary"] < 260, counts
        (folder / "nginx-split.conf").write_text("nonsense")
        with pytest.raises(TargetError, match=r"would not load: .*unexpected end of file"):
            target.apply(ORDER)
        assert set(variants(port, 50).values()) == {"control", "canary"}, "it goes on with what it had"


def test_davy_shift_is_the_executor_alone_and_can_be_undone(tmp_path: Path) -> None:
    spec, flags = tmp_path / "e.yaml", tmp_path / "flags.json"
    spec.write_text(SPEC.source)
    (tmp_path / "davy.yaml").write_text(f"data_dir: {tmp_path}\ntraffic: [{{type: flagd, path: {flags}}}]\n")

    def davy(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable,
            "-m",
            "davy",
            "shift",
            str(spec),
            *arguments,
            "--config",
            str(tmp_path / "davy.yaml"),
        ]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert davy("--undo").returncode == 2
    done = davy("--weight", "50%")
    assert (done.returncode, "control 50 %, canary 50 %" in done.stdout) == (0, True), done.stderr
    assert splitter.read_back(tmp_path / "traffic" / "e") == HALF
    assert davy("--undo").returncode == 0
    assert splitter.read_back(tmp_path / "traffic" / "e") == START
    flags.write_text("no json")
    failed = davy("--weight", "50%")
    assert (failed.returncode, "the traffic is where it was: " in failed.stderr) == (4, True)
    assert splitter.read_back(tmp_path / "traffic" / "e") == START


def test_a_flag_file_keeps_what_others_wrote(tmp_path: Path) -> None:
    path = tmp_path / "flags.json"
    path.write_text('{"flags": {"other": {"state": "ENABLED"}}, "metadata": {"x": 1}}')
    target = configured(tmp_path, f"{{type: flagd, path: {path}}}")
    assert target.fault(ORDER) is not None
    target.apply(ORDER)
    assert target.fault(ORDER) is None
    document = json.loads(path.read_text())
    assert (document["metadata"], document["flags"]["other"]) == ({"x": 1}, {"state": "ENABLED"})
    assert document["flags"]["e"]["targeting"]["fractional"][1:] == [["canary", 5000], ["control", 5000]]
    path.write_text("no json")
    with pytest.raises(TargetError, match="cannot be read"):
        target.apply(ORDER)


@contextmanager
def gateway() -> Iterator[tuple[str, dict[str, Any]]]:
    """An HTTP server that takes weights and tells them; `state` says what it got and how it misbehaves."""
    state: dict[str, Any] = {"weights": dict(START), "got": [], "status": 200, "deaf": False}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state["got"].append((self.headers["Idempotency-Key"], self.headers["Authorization"], body))
            if state["status"] == 200 and not state["deaf"]:
                state["weights"] = body["weights"]
            self._send(state["status"], b"told")

        def do_GET(self) -> None:
            self._send(200, json.dumps({"weights": state["weights"]}).encode())

        def _send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/weights", state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_webhook_is_told_and_read_back(tmp_path: Path) -> None:
    with gateway() as (url, state):
        target = configured(tmp_path, f"{{type: webhook, url: '{url}', read_url: '{url}', token: secret}}")
        assert "other weights of control, canary" in str(target.fault(ORDER))
        target.apply(ORDER)
        assert target.fault(ORDER) is None
        ((key, authorization, body),) = state["got"]
        assert (key, authorization, body["weights"], body["reason"]) == ("o1", "Bearer secret", HALF, "why not")
        state.update(deaf=True)
        back = replace(ORDER, order_id="o2", weights=START)
        target.apply(back)
        assert target.fault(back) is not None, "a target that only says yes is not believed"
        state["status"] = 503
        with pytest.raises(TargetError, match="answered 503: told"):
            target.apply(back)
    with pytest.raises(TargetError, match="cannot be reached"):
        target.apply(back)


def test_a_hook_runs_with_the_order_in_its_environment_and_may_be_checked(tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = f'echo "$DAVY_ORDER_ID $DAVY_WEIGHTS" > {out}'
    target = configured(tmp_path, json.dumps({"type": "hook", "command": command, "check": f"grep -q o1 {out}"}))
    assert (target.blind, target.fault(ORDER) is None) == (False, False)
    target.apply(ORDER)
    assert (target.fault(ORDER), out.read_text()) == (None, f"o1 {json.dumps(HALF)}\n")
    failing = configured(tmp_path, "{type: hook, command: 'echo no >&2; exit 3'}")
    with pytest.raises(TargetError, match="ended with 3: no"):
        failing.apply(ORDER)
