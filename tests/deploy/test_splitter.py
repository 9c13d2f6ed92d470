"""The splitter's files: as the contract says, never half written, and as nginx understands them."""

from __future__ import annotations

import collections
import http.client
import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy import splitter
from schemas.errors import UserError
from schemas.spec import ExperimentSpec, load_specs
from streams.embedded import free_port
from tests.support.system import program, until

TEXT = """\
apiVersion: davy/v1
kind: Experiment
id: checkout-2.4.0
service: checkout
environment: production
variants:
  control: {version: 2.3.1, upstream: ["127.0.0.1:8081"]}
  canary: {version: 2.4.0, upstream: ["127.0.0.1:8082"]}
  bolder: {version: 2.5.0, upstream: ["127.0.0.1:8083"]}
slis:
  - {name: errors, type: error_ratio, max_increase: 0.5pp}
steps:
  - {weight: 1%, duration: 5m}
"""


def spec(text: str = TEXT) -> ExperimentSpec:
    (found,) = load_specs(text)
    return found


def test_the_flag_has_integer_weights_that_add_up_candidates_first() -> None:
    document = json.loads(splitter.render(spec(), {"control": 0.8, "canary": 0.1, "bolder": 0.1})["flagd.json"])
    flag = document["flags"]["checkout-2.4.0"]
    assert flag["variants"] == {"control": "control", "canary": "canary", "bolder": "bolder"}
    assert flag["targeting"]["fractional"][1:] == [["canary", 1000], ["bolder", 1000], ["control", 8000]]


def test_nginx_splits_by_unit_candidates_first_the_rest_last() -> None:
    text = splitter.render(spec(), {"control": 0.95, "canary": 0.05, "bolder": 0.0})["nginx-split.conf"]
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    assert lines[0] == 'split_clients "checkout-2.4.0$http_x_unit_id" $davy_variant {'
    assert [line.split() for line in lines[1:-1]] == [["5.00%", "canary;"], ["*", "control;"]]


def test_upstreams_name_their_variant_and_weight_zero_is_down() -> None:
    text = splitter.render(spec(), {"control": 1.0, "canary": 0.0, "bolder": 0.0})["nginx-upstream.conf"]
    assert text.lstrip().startswith("upstream davy_checkout {")
    servers = [line.strip() for line in text.splitlines() if line.strip().startswith("server")]
    assert sorted(line.rpartition("# ")[2] for line in servers) == ["bolder", "canary", "control"]
    for line in servers:
        assert (" down;" in line) == (not line.endswith("# control")), line


def test_haproxy_takes_before_it_gives() -> None:
    growing = splitter.render(spec(), {"control": 0.5, "canary": 0.5, "bolder": 0.0})["haproxy.cmds"].splitlines()
    assert all(line.startswith("set server davy_checkout/") for line in growing)
    numbers = {line.split("/")[1].split()[0]: int(line.split()[-1]) for line in growing}
    assert numbers == {"control": 256, "canary": 256, "bolder": 0}
    back = splitter.render(spec(), {"control": 1.0, "canary": 0.0, "bolder": 0.0})["haproxy.cmds"].splitlines()
    assert back[-1] == "set server davy_checkout/control weight 256"


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_what_is_written_is_read_back(first: int, second: int) -> None:
    if first + second > 10_000:
        first, second = 10_000 - first, 10_000 - second
    weights = {"canary": first / 10_000, "bolder": second / 10_000, "control": (10_000 - first - second) / 10_000}
    parts = splitter.shares(weights, ("canary", "bolder"))
    assert sum(parts.values()) == 10_000
    assert list(parts)[:2] == ["canary", "bolder"]
    assert parts == {name: round(weight * 10_000) for name, weight in weights.items()}


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    done = threading.Event()
    faults: list[str] = []

    def read() -> None:
        while not done.is_set():
            for name in ("flagd.json", "nginx-split.conf"):
                path = tmp_path / name
                if path.exists():
                    text = path.read_text()
                    if not text.endswith("}\n"):
                        faults.append(text)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(200):
        share = number / 1000
        splitter.write(tmp_path, splitter.render(spec(), {"canary": share, "control": 1 - share}))
    done.set()
    reader.join()
    assert not faults
    assert splitter.read_back(tmp_path)["canary"] == pytest.approx(0.199)
    assert not list(tmp_path.glob(".*"))


def test_more_than_all_traffic_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="2 candidates at this weight are more than all traffic"):
        splitter.split(spec(), 0.6, tmp_path)
    assert splitter.read_back(tmp_path) == {}


# -- a real nginx ------------------------------------------------------------------------------------------------------


@contextmanager
def nginx(folder: Path, port: int) -> Iterator[None]:
    """An nginx that answers with the variant, with the splitter's files of `folder`."""
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; worker_processes 1;\n"
        "events { worker_connections 64; }\n"
        f"http {{ access_log off; client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2;\n"
        f"fastcgi_temp_path {folder}/t3; uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;\n"
        f"include {folder}/nginx-split.conf; include {folder}/nginx-upstream.conf;\n"
        f"server {{ listen 127.0.0.1:{port}; location / {{ default_type text/plain; return 200 $davy_variant; }} }} }}\n"
    )
    binary = program("nginx", "nginx-light")
    checked = subprocess.run(
        [binary, "-t", "-p", folder, "-c", folder / "nginx.conf"], capture_output=True, check=False
    )
    assert checked.returncode == 0, checked.stderr.decode()
    process = subprocess.Popen([binary, "-p", folder, "-c", folder / "nginx.conf"])
    try:
        until(lambda: answers(port), 10, "nginx answered")
        yield
    finally:
        process.terminate()
        process.wait(10)


def answers(port: int) -> bool:
    try:
        return bool(variants(port, 1))
    except OSError:
        return False


def variants(port: int, units: int) -> dict[str, str]:
    """Which variant each unit gets."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    found: dict[str, str] = {}
    for unit in (f"u{number}" for number in range(units)):
        connection.request("GET", "/", headers={"X-Unit-Id": unit})
        found[unit] = connection.getresponse().read().decode()
    connection.close()
    return found


def test_nginx_gives_the_shares_and_a_unit_keeps_its_arm(tmp_path: Path) -> None:
    seen: list[dict[str, str]] = []
    for share in (0.1, 0.3):
        splitter.write(tmp_path, splitter.render(spec(), {"canary": share, "bolder": 0.0, "control": 1 - share}))
        port = free_port()
        with nginx(tmp_path, port):
            seen.append(variants(port, 2000))
        counts = collections.Counter(seen[-1].values())
        assert set(counts) == {"canary", "control"}
        assert abs(counts["canary"] / 2000 - share) < 4 * (share * (1 - share) / 2000) ** 0.5
    before, after = seen
    assert all(after[unit] == "canary" for unit, variant in before.items() if variant == "canary")
