"""What real proxies make of the splitter's weights: shares by chi-square over real requests, and units that keep their arm."""

from __future__ import annotations

import collections
import itertools
import re
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from scipy.stats import chi2_contingency, chisquare

from deploy import splitter
from deploy.splitter import step_weights
from deploy.traffic import targets
from deploy.traffic.base import Order, Target, TargetError
from schemas.config import parse_config
from schemas.spec import load_specs
from streams.embedded import free_port
from tests.deploy.test_splitter import nginx
from tests.support.flagd import evaluated
from tests.support.haproxy import ask
from tests.support.system import program, until

(SPEC,) = load_specs("""\
id: shop-2
service: shop
environment: test
variants:
  control: {version: "1", upstream: ["127.0.0.1:8081"]}
  canary: {version: "2", upstream: ["127.0.0.1:8082"]}
  bolder: {version: "3", upstream: ["127.0.0.1:8083"]}
slis:
  - {name: errors, type: error_ratio, max_increase: 1pp}
steps:
  - {weight: 1%, duration: 1m}
""")
STEPS = (0.0123, 0.1, 0.45)
"""Of each of the two candidates."""
P_MIN = 0.001
PIPELINE = 250
CLOSED_MAX = 3
SETTLING = 3_000
NONE = dict.fromkeys(SPEC.variants, 0.0) | {"control": 1.0}


def variants(port: int, units: Sequence[str]) -> dict[str, str]:
    """Who answered each unit: one real request each, many on their way at a time. What a proxy left unanswered when it closed
    a connection (a reload) is asked again, as HTTP says."""
    found: list[str] = []
    request = "GET / HTTP/1.1\r\nHost: shop\r\nX-Unit-Id: {}\r\n\r\n"
    closed = 0
    while len(found) < len(units):
        part = units[len(found) : len(found) + PIPELINE]
        with socket.create_connection(("127.0.0.1", port), 20) as connection:
            connection.sendall("".join(request.format(unit) for unit in part).encode())
            text, answers = b"", list[bytes]()
            while len(answers) < len(part) and (more := connection.recv(65_536)):
                text += more
                answers = re.findall(rb"\r\n\r\n(control|canary|bolder)", text)
            closed += len(answers) < len(part)
            assert closed <= CLOSED_MAX, text[-500:]
            found += [answer.decode() for answer in answers]
    return dict(zip(units, found, strict=True))


def assert_shares(counts: Mapping[str, int], weights: Mapping[str, float]) -> None:
    total = sum(counts.values())
    names = [name for name, weight in weights.items() if weight]
    assert set(counts) == set(names)
    assert chisquare([counts[name] for name in names], [weights[name] * total for name in names]).pvalue > P_MIN, counts


def walked(target: Target, files: Target, port: int, requests: int, again: Callable[[], None]) -> None:
    """Every step, and the way back, with so many requests in all; `again` starts the proxy anew between two of them."""
    units = [f"user-{number}" for number in range(requests // (len(STEPS) + 1))]
    before, seen = NONE, list[dict[str, str]]()
    for number, step in enumerate(STEPS):
        weights = step_weights(SPEC, step)
        order = Order(f"o{number}", SPEC, weights, before)
        for one in (files, target):
            one.apply(order)
            assert one.fault(order) is None
        seen.append(variants(port, units))
        assert_shares(collections.Counter(seen[-1].values()), weights)
        before = weights
    for earlier, later in itertools.pairwise(seen):
        assert all(later[unit] == arm for unit, arm in earlier.items() if arm == "canary"), "who was let in stays in"
        moved = {(arm, later[unit]) for unit, arm in earlier.items() if later[unit] != arm}
        assert moved <= {("control", "canary"), ("control", "bolder"), ("bolder", "canary")}
    again()
    assert variants(port, units) == seen[-1], "each unit keeps its arm through a reload"


def configured(folder: Path, entry: str) -> tuple[Target, Target]:
    files, made = targets(parse_config(f"data_dir: {folder}\ntraffic:\n  - {entry}\n", "davy.yaml"))
    splitter.write(folder / "traffic" / SPEC.id, splitter.render(SPEC, NONE))
    return files, made


@contextmanager
def arms(folder: Path) -> Iterator[dict[str, int]]:
    """A server for each arm, which answers with its name; their ports."""
    folder.mkdir()
    ports = {name: free_port() for name in SPEC.variants}
    servers = "\n".join(
        f"server {{ listen 127.0.0.1:{port}; location / {{ return 200 '{name}'; }} }}" for name, port in ports.items()
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;\nevents {{ worker_connections 512; }}\n"
        f"http {{ access_log off; default_type text/plain; keepalive_requests 1000000; client_body_temp_path {folder}/t1;\n"
        f"proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3; uwsgi_temp_path {folder}/t4;\n"
        f"scgi_temp_path {folder}/t5;\n"
        f"{servers}\n}}\n"
    )
    process = subprocess.Popen([program("nginx", "nginx-light"), "-p", folder, "-c", folder / "nginx.conf"])
    try:
        until(lambda: all(listens(port) for port in ports.values()), 10, "every arm answered")
        yield ports
    finally:
        process.terminate()
        process.wait(10)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Proxy:
    """A HAProxy in front of the arms, as docs/rollout.md configures it; `by_map`: each unit by its hash."""

    def __init__(self, folder: Path, ports: Mapping[str, int], map_path: Path, by_map: bool) -> None:
        self.folder, self.socket, self.port = folder, folder / "haproxy.sock", free_port()
        chosen = f"""\
    http-request set-var(txn.unit) req.hdr(X-Unit-Id)
    http-request set-var(txn.bucket) str({SPEC.id}),concat(,txn.unit),xxh32(0),mod(10000)
    http-request set-var(txn.canary) str(canary),map_str_int({map_path},0)
    http-request set-var(txn.bolder) str(bolder),map_str_int({map_path},0)
    use-server canary if {{ var(txn.bucket),sub(txn.canary) -m int lt 0 }}
    use-server bolder if {{ var(txn.bucket),sub(txn.bolder) -m int lt 0 }}
    use-server control unless {{ var(txn.bucket),sub(txn.bolder) -m int lt 0 }}
"""
        servers = "\n".join(f"    server {name} 127.0.0.1:{port} weight 1" for name, port in ports.items())
        (folder / "haproxy.cfg").write_text(
            f"global\n    stats socket {self.socket} mode 600 level admin expose-fd listeners\n"
            "defaults\n    mode http\n    timeout connect 5s\n    timeout client 30s\n    timeout server 30s\n"
            f"frontend in\n    bind 127.0.0.1:{self.port}\n    default_backend davy_shop\n"
            f"backend davy_shop\n    balance roundrobin\n{chosen if by_map else ''}{servers}\n"
        )
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, *more: str) -> None:
        command = [program("haproxy", "haproxy"), "-db", "-f", str(self.folder / "haproxy.cfg"), *more]
        with (self.folder / "haproxy.log").open("ab") as log:
            self._processes.append(subprocess.Popen(command, stdout=log, stderr=log))
        until(lambda: self.socket.exists() and listens(self.port), 10, "HAProxy answered")

    def reload(self) -> None:
        """A new process takes the listening sockets over; the old one ends."""
        self.start("-x", str(self.socket), "-sf", str(self._processes[-1].pid))
        self._processes[-2].wait(30)

    def stop(self) -> None:
        for process in self._processes:
            process.terminate()
            process.wait(10)


@contextmanager
def haproxy(folder: Path, by_map: bool) -> Iterator[Proxy]:
    with ExitStack() as stack:
        ports = stack.enter_context(arms(folder / "arms"))
        proxy = Proxy(folder, ports, folder / "traffic" / SPEC.id / splitter.HAPROXY_MAP, by_map)
        stack.callback(proxy.stop)
        proxy.start()
        yield proxy


REQUESTS = [20_000, pytest.param(100_000, marks=pytest.mark.full)]


@pytest.mark.parametrize("requests", REQUESTS)
def test_nginx(tmp_path: Path, requests: int) -> None:
    folder, port = tmp_path / "traffic" / SPEC.id, free_port()
    files, target = configured(tmp_path, f"{{type: nginx, pid: {folder}/nginx.pid, config: {folder}/nginx.conf}}")
    with nginx(folder, port):
        walked(target, files, port, requests, lambda: reloaded(folder))


def test_nginx_is_read_back_right_however_soon_it_loads(tmp_path: Path) -> None:
    """The kernel tells its workers' age in hundredths of a second."""
    folder, port = tmp_path / "traffic" / SPEC.id, free_port()
    files, target = configured(tmp_path, f"{{type: nginx, pid: {folder}/nginx.pid, config: {folder}/nginx.conf}}")
    faults: list[str | None] = []
    with nginx(folder, port):
        for number in range(30):
            order = Order(f"o{number}", SPEC, step_weights(SPEC, STEPS[number % len(STEPS)]), NONE)
            for one in (files, target):
                one.apply(order)
            faults.append(target.fault(order))
    assert faults == [None] * 30


def test_exposure_in_one_experiment_says_nothing_of_another(tmp_path: Path) -> None:
    """The salt is the experiment's id, so that layers are independent."""
    units = [f"user-{number}" for number in range(8_000)]
    arms_of: list[dict[str, str]] = []
    for name in ("shop-2", "shop-3"):
        (spec,) = load_specs(SPEC.source.replace("id: shop-2", f"id: {name}"))
        folder, port = tmp_path / name, free_port()
        splitter.write(folder, splitter.render(spec, step_weights(spec, 0.3)))
        with nginx(folder, port):
            arms_of.append(variants(port, units))
    pairs = collections.Counter((arms_of[0][unit], arms_of[1][unit]) for unit in units)
    table = [[pairs[one, other] for other in SPEC.variants] for one in SPEC.variants]
    assert chi2_contingency(table).pvalue > P_MIN, pairs


def reloaded(folder: Path) -> None:
    """By hand, as an operator would."""
    done = subprocess.run(
        [program("nginx", "nginx-light"), "-p", folder, "-c", folder / "nginx.conf", "-s", "reload"], check=False
    )
    assert done.returncode == 0


@pytest.mark.parametrize("requests", REQUESTS)
def test_haproxy_by_map(tmp_path: Path, requests: int) -> None:
    files, target = configured(tmp_path, f"{{type: haproxy-map, socket: {tmp_path}/haproxy.sock}}")
    with haproxy(tmp_path, by_map=True) as proxy:
        walked(target, files, proxy.port, requests, proxy.reload)


@pytest.mark.parametrize("requests", REQUESTS)
def test_haproxy_by_server_weights(tmp_path: Path, requests: int) -> None:
    """They split requests, in turn: the shares are those of the weights, in 256ths of the greatest. Whose turn it is follows
    new weights only after a while: control came too seldom in some 1,200 requests after 1 % had become 45 %."""
    files, target = configured(tmp_path, f"{{type: haproxy, socket: {tmp_path}/haproxy.sock}}")
    units, before = [f"user-{number}" for number in range(requests // len(STEPS))], NONE
    with haproxy(tmp_path, by_map=False) as proxy:
        for number, step in enumerate(STEPS):
            weights = step_weights(SPEC, step)
            order = Order(f"o{number}", SPEC, weights, before)
            for one in (files, target):
                one.apply(order)
                assert one.fault(order) is None
            told = {name: int(ask(proxy.socket, f"get weight davy_shop/{name}").split()[0]) for name in weights}
            variants(proxy.port, units[:SETTLING])
            counts = collections.Counter(variants(proxy.port, units).values())
            assert_shares(counts, {name: weight / sum(told.values()) for name, weight in told.items()})
            assert all(abs(told[name] / sum(told.values()) - weight) <= 0.5 / 256 for name, weight in weights.items())
            before = weights


def test_a_map_that_is_not_there_or_refuses_is_told_and_undone(tmp_path: Path) -> None:
    _, target = configured(tmp_path, f"{{type: haproxy-map, socket: {tmp_path}/haproxy.sock}}")
    order = Order("o", SPEC, step_weights(SPEC, 0.1), NONE)
    with pytest.raises(TargetError, match="does not answer"):
        target.apply(order)
    with haproxy(tmp_path, by_map=False), pytest.raises(TargetError, match=r"does not show .*: Unknown map identifier"):
        target.apply(order)


# -- flagd's evaluator -------------------------------------------------------------------------------------------------


@pytest.mark.full
def test_flagds_own_evaluator(tmp_path: Path) -> None:
    """That in Go; tests/clients/test_flags.py has OpenFeature's provider in Python, which hashes differently."""
    path = tmp_path / "flags.json"
    _, target = configured(tmp_path, f"{{type: flagd, path: {path}}}")
    units, before, seen = [f"user-{number}" for number in range(400_000)], NONE, list[dict[str, str]]()
    for number, step in enumerate(STEPS):
        weights = step_weights(SPEC, step)
        order = Order(f"o{number}", SPEC, weights, before)
        target.apply(order)
        assert target.fault(order) is None
        seen.append(evaluated(path, SPEC.id, units))
        assert_shares(collections.Counter(seen[-1].values()), weights)
        before = weights
    for earlier, later in itertools.pairwise(seen):
        assert all(later[unit] == arm for unit, arm in earlier.items() if arm == "canary")
