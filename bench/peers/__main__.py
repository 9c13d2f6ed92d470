"""`python -m bench.peers NAME...`: peers beside the bare consumer on a real Kafka; `all` writes docs/benchmarks.md."""

from __future__ import annotations

import argparse
import sys
import time
from datetime import UTC, datetime

from confluent_kafka import KafkaException

from bench.document import machine, rewrite
from bench.kafka import own_kafka
from bench.peers.peer import CACHE, Peer, peers
from bench.peers.run import EXPERIMENTS, Figure, Topics, figure, keep, kept, table
from bench.peers.timed import Failed

ROUNDS = 3
KEPT = CACHE / "peers.jsonl"
BEGIN = "<!-- peers: written by python -m bench.peers all -->"


def main() -> int:
    """The exit code is 1 if any peer has no figure."""
    known = peers()
    options = _options(list(known))
    chosen = known if "all" in options.names else {n: p for n, p in known.items() if n in ("bare", *options.names)}
    if not options.resume:
        KEPT.unlink(missing_ok=True)
    where = machine()
    versions, failures = _prepared(chosen)
    with own_kafka() as broker:
        figures = _rounds(Topics(broker.bootstrap, _tell), chosen, failures, options.rounds, options.events)
    text = "\n".join([
        f"`python -m bench.peers {' '.join(sys.argv[1:])}`, {datetime.now(UTC):%Y-%m-%d}: 12 fields, {EXPERIMENTS} "
        f"experiments, 4 partitions, {where}; medians over {options.rounds} rounds in turns.",
        "",
        table(figures, chosen, {name: reason.splitlines()[0] for name, reason in failures.items()}),
        "",
        *(f"- {peer.title} ({versions.get(name, 'not installed')}): {peer.does}." for name, peer in chosen.items()),
    ])  # fmt: skip
    print(text)
    for name, reason in failures.items():
        print(f"{name}: {reason}", file=sys.stderr)
    if "all" in options.names and options.events is None:
        rewrite(BEGIN, text)
        KEPT.unlink(missing_ok=True)
    return 1 if failures else 0


def _options(names: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m bench.peers", description=__doc__)
    parser.add_argument(
        "names", nargs="+", choices=[*names, "all"], metavar="NAME", help=f"all, or: {', '.join(names)}"
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--events", type=int, help="the same number for all peers, in place of each one's own")
    parser.add_argument("--resume", action="store_true", help="go on with what a broken-off run had measured")
    return parser.parse_args()


def _prepared(chosen: dict[str, Peer]) -> tuple[dict[str, str], dict[str, str]]:
    """Versions of the peers that could be installed, and why others could not."""
    versions, failures = dict[str, str](), dict[str, str]()
    for name, peer in chosen.items():
        _tell(f"preparing {name}")
        try:
            versions[name] = peer.prepare()
        except Failed as failed:
            failures[name] = str(failed)
    return versions, failures


def _rounds(
    topics: Topics, chosen: dict[str, Peer], failures: dict[str, str], rounds: int, events: int | None
) -> list[Figure]:
    """All rounds in turns. A peer that fails goes into `failures` and is not asked again."""
    figures = kept(KEPT)
    done = {(found.peer, found.round) for found in figures}
    for number in range(1, rounds + 1):
        bare_rate: float | None = None
        for name, peer in chosen.items():
            wanted = [other for other in chosen if (other, number) not in done and other not in failures]
            if name in failures or not wanted or (name not in wanted and name != "bare"):
                continue
            begun = time.monotonic()
            try:
                if name != "bare" and bare_rate is None:
                    raise Failed("the bare consumer has no figure to compare with")
                found = figure(topics, name, peer, number, events or peer.events, bare_rate)
            except (Failed, KafkaException, TimeoutError) as failed:
                failures[name] = str(failed)
                _tell(f"round {number} of {rounds}: {name} has no figure: {failed}")
                continue
            if name == "bare":
                bare_rate = found.rate
            if (name, number) not in done:
                figures.append(found)
                keep(KEPT, found)
            _tell(
                f"round {number} of {rounds}: {name} {found.rate:,.0f} events/s, {found.bare_ratio:.4f} of bare, "
                f"{found.cpu_us:.2f} us CPU/event; took {time.monotonic() - begun:.0f} s in all"
            )
    return figures


def _tell(sentence: str) -> None:
    print(f"bench: {sentence}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
