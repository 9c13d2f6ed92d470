"""`python -m bench.fuzz [EXECUTIONS [RECORD]]`: libFuzzer, through Atheris, at every target; figures into docs/security.md.
What was done is kept in the record, and not done again: many executions may be run in parts.
`python -m bench.fuzz --api [REQUESTS]`: Schemathesis at every route of a console.

Each target runs in a process of its own, so that a crash of machine code is a find, too; parsers of text are instrumented, so
that new branches are looked for. Inputs that found new ones are kept in .fuzz and are where the next run begins.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from bench.document import heading, rewrite

HOME = Path(__file__).parents[2]
CORPUS = HOME / ".fuzz"
DOCUMENT = HOME / "docs" / "security.md"
BEGIN = "<!-- fuzz: written by python -m bench.fuzz -->"
BEGIN_API = "<!-- fuzz-api: written by python -m bench.fuzz --api -->"
EXECUTIONS, REQUESTS = 10_000_000, 100_000
BYTES_MAX = 4096
SECONDS_MAX = 20
"""One input that takes longer is a find."""
MEMORY_MB_MAX = 3000
INSTRUMENTED = ("schemas", "davy.importers")


def main(executions: int, record: Path | None = None, write: bool = True) -> int:
    """Fuzz all targets; 1 where anything was found."""
    from bench.fuzz.targets import TARGETS

    head = heading("target", ["executions", "seconds", "kept inputs", "finds"])
    done_before = record.read_text().splitlines() if record is not None and record.exists() else []
    lines, wrong, ran = [*head, *done_before], 0, 0
    for target in TARGETS:
        began, runs = time.monotonic(), max(int(executions * target.share), 100)
        ran += runs
        if any(line.startswith(f"| {target.name} | {runs:,} |") for line in done_before):
            continue
        print(f"{target.name}: {runs:,} executions ...", flush=True)
        done, said = fuzz(target.name, runs)
        wrong += not done
        if not done:
            print(said[-4000:])
        kept = len(list(folder(target.name).iterdir()))
        lines.append(f"| {target.name} | {runs:,} | {time.monotonic() - began:.0f} | {kept:,} | {0 if done else 1} |")
        if record is not None and done:
            with record.open("a") as file:
                file.write(lines[-1] + "\n")
    total = f"{ran:,} executions, finds: **{wrong}**"
    print(total)
    if write:
        command = f"`python -m bench.fuzz {executions}`, {datetime.now(UTC):%Y-%m-%d}"
        rewrite(BEGIN, "\n".join([f"{command}: {total}.", "", *lines]), DOCUMENT)
    return int(wrong > 0)


def api(requests: int) -> int:
    """Ask a console on an embedded broker; 1 where it failed."""
    from bench.fuzz.api import asked
    from streams.embedded import EmbeddedBroker
    from streams.topics import ensure_topics
    from tests.support.served import now, served, story

    began, wrong = time.monotonic(), 0
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker = stack.enter_context(EmbeddedBroker(place))
        console = stack.enter_context(served(place, kafka=broker.bootstrap))
        ensure_topics(console.config)
        console.take(*story(now(), windows=3))
        try:
            found = asked(console.url, requests)
        except AssertionError as error:
            found, wrong = {}, 1
            print(error)
    statuses = sum(found.values(), Counter[int]())
    answers = ", ".join(f"{count:,} times {status}" for status, count in sorted(statuses.items()))
    text = (
        f"`python -m bench.fuzz --api {requests}`, {datetime.now(UTC):%Y-%m-%d}: {sum(statuses.values()):,} requests at "
        f"{len(found)} routes in {time.monotonic() - began:.0f} s; failures: **{wrong}**. Answers: {answers}."
    )
    print(text)
    rewrite(BEGIN_API, text, DOCUMENT)
    return wrong


def folder(name: str) -> Path:
    """Where a target's inputs are kept."""
    place = CORPUS / name.replace(" ", "-")
    place.mkdir(parents=True, exist_ok=True)
    return place


def fuzz(name: str, runs: int, seed: int = 1) -> tuple[bool, str]:
    """Whether nothing was found, and what the fuzzer said."""
    from bench.fuzz.targets import TARGETS

    target = next(target for target in TARGETS if target.name == name)
    place = folder(name)
    for content in target.seeds():
        (place / hashlib.sha256(content).hexdigest()[:16]).write_bytes(content)
    options = [
        f"-runs={runs}", f"-seed={seed}", f"-max_len={BYTES_MAX}", f"-timeout={SECONDS_MAX}", f"-rss_limit_mb={MEMORY_MB_MAX}",
        f"-artifact_prefix={CORPUS}/find-{name.replace(' ', '-')}-", "-print_final_stats=1",
    ]  # fmt: skip
    command = [sys.executable, "-m", "bench.fuzz", "--one", name, *options, str(place)]
    done = subprocess.run(
        command, cwd=HOME, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": str(HOME)}
    )
    return done.returncode == 0 and f"number_of_executed_units: {runs}" in done.stderr, done.stdout + done.stderr


def one(name: str, options: list[str]) -> None:
    """This process fuzzes one target until libFuzzer ends it."""
    import atheris

    with atheris.instrument_imports(include=list(INSTRUMENTED)):
        from bench.fuzz.targets import TARGETS
    target = next(target for target in TARGETS if target.name == name)
    run = target.made()

    def test(data: bytes) -> None:
        try:
            run(data)
        except target.promised:
            return

    atheris.Setup(["fuzz", *options], test)
    atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one(sys.argv[2], sys.argv[3:])
    elif sys.argv[1:2] == ["--api"]:
        sys.exit(api(int(sys.argv[2]) if sys.argv[2:] else REQUESTS))
    else:
        sys.exit(main(int(sys.argv[1]) if sys.argv[1:] else EXECUTIONS, Path(sys.argv[2]) if sys.argv[2:] else None))
