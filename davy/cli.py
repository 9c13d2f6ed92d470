"""The command line: names, options and exit codes. Each command imports what it needs when it runs, so that
help is instant."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from schemas import __version__
from schemas.errors import DavyError, InfrastructureError, UserError

DEBUG = "--debug"

app = typer.Typer(
    name="davy",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Judge canary releases from live request events.",
    epilog="Any command takes --debug, which shows a traceback where there would be a sentence.",
)

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Configuration (default ./davy.yaml where there is one)."),
]
DataDir = Annotated[
    Path | None,
    typer.Option("--dir", metavar="DIR", help="Where Davy keeps its data (default .davy, or the configuration's)."),
]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable output, nothing else on stdout.")]


def main() -> None:
    """Run the command line; errors become one sentence on stderr and an exit code."""
    debug = DEBUG in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != DEBUG]
    try:
        app(args=arguments, prog_name="davy", standalone_mode=True)
    except DavyError as error:
        if debug:
            raise
        # findings begin with their place
        print(error if hasattr(error, "findings") else f"davy: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # the reader of our output has seen enough
        sys.stderr.close()
        sys.exit(0)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if debug:
            raise
        print(
            f"davy: something unexpected happened ({type(error).__name__}: {error}); "
            "run the command again with --debug and report what it shows",
            file=sys.stderr,
        )
        sys.exit(InfrastructureError.exit_code)


def _version(show: bool) -> None:
    if show:
        print(f"davy {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False,
) -> None:
    """Options of `davy` itself."""


def _example(*lines: str) -> str:
    return "Example: " + "; ".join(lines)


@app.command(epilog=_example("davy demo --scenario healthy"))
def demo(
    scenario: Annotated[
        str, typer.Option(help="Which traffic: see `davy simulate --help`; live: a real service behind HAProxy.")
    ] = "errors",
    duration: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Ends by itself after that (default 120, live 240); 0: on Ctrl-C."),
    ] = None,
    speed: Annotated[
        float | None, typer.Option(help="Seconds of event time in a second (default: the scenario's).")
    ] = None,
    port: Annotated[int, typer.Option(help="Of the dashboard; 0 picks a free one.")] = 7070,
    data_dir: Annotated[Path, typer.Option("--dir", metavar="DIR", help="Where the demo keeps its data.")] = Path(
        ".davy"
    ),
    config: ConfigFile = None,
    as_json: Json = False,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open the dashboard.")] = False,
) -> None:
    """Everything on this machine: a broker, traffic, judgement, rollout, store and console.

    Exit code: 1 if the canary was rolled back, 0 if it was promoted, else 3.
    """
    from davy.commands.demo import Options
    from davy.commands.demo import demo as command

    raise typer.Exit(command(Options(scenario, duration, speed, port, data_dir, config, as_json, no_browser)))


@app.command(epilog=_example("davy run", "davy run ingest judge --config davy.yaml"))
def run(
    roles: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ROLE]...", help="ingest, judge, rollout, sink, web, probe, alert; none: all."),
    ] = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    spare: Annotated[
        bool, typer.Option("--spare", help="Import all, then wait for a line on stdin before taking the role.")
    ] = False,
) -> None:
    """Run the service on the configured Kafka and ClickHouse."""
    from davy.commands import run as command

    command.run(roles or [], config, data_dir, spare)


@app.command(epilog=_example("davy replay checkout.yaml events.ndjson --json"))
def replay(
    spec: Annotated[Path | None, typer.Argument(help="A spec file, or a folder of them.")] = None,
    events: Annotated[list[Path] | None, typer.Argument(help=".avro, .ndjson or .parquet files.")] = None,
    verdict: Annotated[
        str | None, typer.Option(metavar="ID", help="Judge the log again up to this verdict, and compare.")
    ] = None,
    decisions: Annotated[
        Path | None, typer.Option(help="A recorded ledger: the shifts of traffic as they were.")
    ] = None,
    speed: Annotated[str, typer.Option(help="Only `max`: as fast as this machine can.")] = "max",
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Judge recorded events with the same engine, without a broker.

    Exit code: 1 if any last verdict is ROLLBACK, else 3 if any is not PROMOTE, else 0.
    """
    from davy.commands import replay as command
    from davy.commands.run import load

    if speed != "max":
        raise UserError(f"--speed {speed}: a replay only knows max")
    if verdict is not None:
        from davy.commands.reproduce import reproduce

        raise typer.Exit(reproduce(verdict, load(config, data_dir)))
    if spec is None or not events:
        raise UserError("say a spec and recorded events, or --verdict ID")
    raise typer.Exit(command.run(spec, events, load(config, data_dir), as_json, decisions))


@app.command(epilog=_example("davy detect latency.csv", "davy detect series.csv --column p99_us --json"))
def detect(
    series: Annotated[Path, typer.Argument(metavar="SERIES.csv", help="First column a timestamp, first line names.")],
    column: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which has the values (default: value, or the only one).")
    ] = None,
    detector: Annotated[
        str,
        typer.Option(metavar="NAME", help="How: adwin, bayesian, e-detector, ensemble, page-hinkley, seasonal, ..."),
    ] = "ensemble",
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Find anomalies and changes in any series; what a row gets depends on the rows up to it only.

    An empty value is a missing one. Rows are taken in the file's order.
    """
    from davy.commands.detect import detect as command

    raise typer.Exit(command(series, column, detector, as_json))


@app.command(epilog=_example("davy simulate errors --events 100000 --seed 7 --out events.avro"))
def simulate(
    scenario: Annotated[str, typer.Argument(help="healthy, errors, latency, no-traffic, mismatch or blip.")],
    out: Annotated[
        str, typer.Option(metavar="FILE|kafka", help="An .avro, .ndjson or .parquet file, or kafka.")
    ] = "kafka",
    events: Annotated[
        int | None, typer.Option(help="How many (default: the steps' worth, to Kafka until Ctrl-C).")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(help="Events per second of event time (default: the scenario's).")
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same events.")] = 0,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Synthetic traffic, reproducible from its seed."""
    from davy.commands.run import load
    from davy.commands.simulate import simulate as command

    written = command(scenario, load(config, data_dir), events, rate, seed, out)
    print(f"davy: {written} events to {out}", file=sys.stderr)


@app.command(epilog=_example("davy lint checkout.yaml davy.yaml", "davy lint checkout.yaml --rate 40"))
def lint(
    files: Annotated[list[Path], typer.Argument(help="Experiment specs and configuration files.")],
    rate: Annotated[
        float | None,
        typer.Option(help="Requests per second of all arms: is it enough for the tolerances within max_duration?"),
    ] = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Check specs and configuration; each finding as file:line:column: message.

    Exit code: 0 clean, 2 findings.
    """
    from davy.commands.lint import lint as command

    findings = command(files, rate)
    for finding in findings:
        print(finding)
    raise typer.Exit(2 if findings else 0)


@app.command(epilog=_example("davy support --out bundle.tar.gz"))
def support(
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Default: davy-support-TIME.tar.gz here.")] = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """One file with what a maintainer needs: versions, configuration, what the doctor says, ends of logs. No secrets.

    Exit code: 0, 2 bad config, or the file cannot be written.
    """
    from davy.commands.run import load
    from davy.commands.support import support as command

    raise typer.Exit(command(load(config, data_dir), out))


@app.command("import", epilog=_example("davy import flagger canary.yaml > checkout.yaml"))
def import_(
    system: Annotated[str, typer.Argument(help="argo, flagger, kayenta or openslo.")],
    files: Annotated[
        list[Path], typer.Argument(help="Its files; AnalysisTemplates beside the Rollouts that use them.")
    ],
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Another system's canary configuration as specs, with what could not be carried over as comments.

    Exit code: 0, 2 bad input.
    """
    from davy.commands.import_ import imported

    print(imported(system, files), end="")


@app.command(epilog=_example("davy plan checkout.yaml --rate 200 --normal errors=0.3%"))
def plan(
    spec: Annotated[Path, typer.Argument(help="A spec file, or a folder of them.")],
    rate: Annotated[float, typer.Option(help="Requests per second of all arms together.")],
    normal: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=LEVEL", help="What is normal for an SLI: errors=0.5%, latency-p99=120ms (may be repeated)."
        ),
    ] = None,
    spread: Annotated[
        float, typer.Option(help="Standard deviation of times and measures, as a multiple of their mean.")
    ] = 1.0,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Requests and time that a spec's promises take, before the start: per SLI and step.

    Exit code: 0, 2 bad spec or option.
    """
    from davy.commands.plan import plan as command

    raise typer.Exit(command(spec, rate, spread, normal or [], as_json))


@app.command(epilog=_example("davy apply checkout.yaml"))
def apply(
    files: Annotated[list[Path], typer.Argument(help="Experiment specs.")],
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Lint specs, then put them in force."""
    from davy.commands.apply import apply as command
    from davy.commands.run import load

    for spec in command(files, load(config, data_dir)):
        print(f"{spec.id} applied")


@app.command(epilog=_example("davy schema RequestEvent"))
def schema(
    name: Annotated[str | None, typer.Argument(help="Without one: the list.")] = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Print one schema, a bare JSON document."""
    from davy.commands import schema as command

    print(command.schema(name) if name else "\n".join(command.names()))


@app.command(epilog=_example("davy explain checkout-2.4.0"))
def explain(
    subject: Annotated[str, typer.Argument(metavar="VERDICT_ID|EXPERIMENT")],
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Why a verdict is what it is.

    Exit code: 0, 3 unknown.
    """
    from davy.commands.explain import explain as command
    from davy.commands.run import load

    raise typer.Exit(command(subject, load(config, data_dir), config))


@app.command(epilog=_example("davy report checkout-2.4.0 --out report.html", "davy report --search cache"))
def report(
    experiment: Annotated[str | None, typer.Argument(help="Without one: the list.")] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="An .md or .html file (default: Markdown here).")
    ] = None,
    search: Annotated[
        str, typer.Option(metavar="WORDS", help="Of the list, those with all the words in spec or ledger.")
    ] = "",
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """What was learned from an experiment: hypothesis, design, what was seen, decision, cost.

    Exit code: 0, 3 unknown.
    """
    from davy.commands.report import find
    from davy.commands.report import report as command
    from davy.commands.run import load

    settings = load(config, data_dir)
    raise typer.Exit(find(search, settings, as_json) if experiment is None else command(experiment, settings, out))


@app.command(epilog=_example("davy query 'select variant, sum(errors), sum(rows) from windows group by variant'"))
def query(
    sql: Annotated[str, typer.Argument()],
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """SQL on the analysts' store, embedded or server."""
    from davy.commands.query import query as command
    from davy.commands.run import load

    raise typer.Exit(command(sql, load(config, data_dir), as_json))


@app.command(epilog=_example("davy init --service checkout --control 2.3.1 --canary 2.4.0"))
def init(
    service: Annotated[str | None, typer.Option(help="As its events name it (asked for, where it is missing).")] = None,
    control: Annotated[str | None, typer.Option(metavar="VERSION", help="What runs now (asked for).")] = None,
    canary: Annotated[str | None, typer.Option(metavar="VERSION", help="What is to be released (asked for).")] = None,
    environment: Annotated[str, typer.Option(help="As its events name it.")] = "production",
    experiment_id: Annotated[str | None, typer.Option("--id", help="Default: SERVICE-VERSION.")] = None,
    owner: Annotated[str | None, typer.Option(help="Who answers for it.")] = None,
    unit: Annotated[str, typer.Option(help="request, user, session or shard.")] = "request",
    max_errors: Annotated[str, typer.Option(metavar="CHANGE", help="Allowed: 0.5pp or 10%.")] = "0.5pp",
    max_latency: Annotated[str, typer.Option(metavar="CHANGE", help="Allowed at p99: 10% or 20ms.")] = "10%",
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Default: ID.yaml.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Write a first experiment spec, with a comment on every choice."""
    from davy.commands.init import Answers
    from davy.commands.init import init as command

    answers = Answers(service, control, canary, environment, experiment_id, owner, unit, max_errors, max_latency)
    path, name = command(answers, out, force)
    print(f"{path} written; next: davy lint {path}, davy apply {path}, davy status {name} --watch")


@app.command(epilog=_example("davy history checkout"))
def history(
    service: Annotated[str, typer.Argument()],
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """What became of a service's releases, from the analysts' store.

    Exit code: 0, 3 unknown.
    """
    from davy.commands.history import history as command
    from davy.commands.run import load

    raise typer.Exit(command(service, load(config, data_dir), as_json))


@app.command(epilog=_example("davy export windows verdicts --out history"))
def export(
    tables: Annotated[list[str] | None, typer.Argument(metavar="[TABLE]...", help="None: all.")] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the files go, one per table.")] = Path("."),
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Write tables of the analysts' store as Parquet files."""
    from davy.commands.export import export as command
    from davy.commands.run import load

    for table, rows in command(tables or [], out, load(config, data_dir)).items():
        print(f"{out / table}.parquet: {rows:,} rows")


@app.command(epilog=_example("davy doctor", "davy doctor --config davy.yaml --json"))
def doctor(config: ConfigFile = None, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Check broker, topics, schemas, ClickHouse, clocks and lag, and say what to do about each finding.

    Exit code: 0 without a problem, 4 with one.
    """
    from davy.commands.doctor import doctor as command
    from davy.commands.run import load

    raise typer.Exit(command(load(config, data_dir), as_json))


@app.command(epilog=_example("davy bench --events 2000000", "davy bench --brokers localhost:9092 --json"))
def bench(
    events: Annotated[int | None, typer.Option(help="How many to measure with.")] = None,
    brokers: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="A Kafka (default: the embedded broker).")
    ] = None,
    experiments: Annotated[int | None, typer.Option(help="How many at the same time (default 200).")] = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Measure this machine: a bare consumer against Davy's first stage."""
    from davy.commands.bench import bench as command

    raise typer.Exit(command(events, brokers, experiments, as_json))


@app.command(epilog=_example("davy split checkout.yaml --weight 10% --out traffic/checkout-2.4.0"))
def split(
    spec: Annotated[Path, typer.Argument(help="A spec file with one experiment.")],
    weight: Annotated[str, typer.Option(help="Share of every candidate: 10% or 0.1.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the files go; each is replaced by rename.")],
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """The traffic splitter alone: files for flagd, nginx and HAProxy for one weight."""
    from davy.commands.split import split as command

    shares = command(spec, weight, out)
    print(f"{out}: " + ", ".join(f"{name} {100 * share:.4g} %" for name, share in shares.items()))


@app.command(epilog=_example("davy shift checkout.yaml --weight 10%", "davy shift checkout.yaml --undo"))
def shift(
    spec: Annotated[Path, typer.Argument(help="A spec file with one experiment.")],
    weight: Annotated[str | None, typer.Option(help="Share of every candidate: 10% or 0.1.")] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Back to before the last shift.")] = False,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """The executor alone: set weights at every target of traffic: in davy.yaml, read back, undone where one fails.

    Exit code: 0, 2, 4 if a target does not do as told.
    """
    from davy.commands.run import load
    from davy.commands.shift import shift as command

    weights, trace = command(spec, weight, undo, load(config, data_dir))
    print("\n".join(trace.lines))
    if trace.fault is not None:
        raise InfrastructureError(f"the traffic is where it was: {trace.fault}")
    print(", ".join(f"{name} {100 * share:.4g} %" for name, share in weights.items()))


@app.command(epilog=_example("davy repair --partition 3 --blocks 12..14"))
def repair(
    partition: Annotated[int, typer.Option(metavar="P", min=0, help="Of the source topic.")],
    blocks: Annotated[str, typer.Option(metavar="A..B", help="First and last; `A..` means all from A on.")],
    topic: Annotated[str | None, typer.Option(help="Which source, where there are several.")] = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Emit the counts of log ranges again, where a verdict's reason says that some are missing."""
    from davy.commands.repair import repair as command
    from davy.commands.run import load

    raise typer.Exit(command(partition, blocks, topic, load(config, data_dir)))


@app.command(epilog=_example("davy status checkout-2.4.0 --watch"))
def status(
    experiment: Annotated[str | None, typer.Argument(help="Without one: all.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Print every change until the rollout is over.")] = False,
    timeout: Annotated[str, typer.Option(metavar="DURATION", help="How long to watch.")] = "10m",
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Where rollouts stand.

    Exit code: 1 if any was rolled back, else 3 if any is not promoted, else 0.
    """
    from davy.commands.run import load
    from davy.commands.status import status as command

    raise typer.Exit(command(experiment, watch, as_json, timeout, load(config, data_dir)))


@app.command(
    epilog=_example(
        "davy subscribe checkout-2.4.0 --exec './deploy.sh $DAVY_ACTION $DAVY_WEIGHT'",
        "davy subscribe --url https://deployer.example/verdicts --action ROLLBACK",
    )
)
def subscribe(
    experiment: Annotated[str | None, typer.Argument(help="Without one: all.")] = None,
    command: Annotated[
        str | None, typer.Option("--exec", metavar="COMMAND", help="Run by sh: JSON on stdin, fields as $DAVY_... .")
    ] = None,
    url: Annotated[str | None, typer.Option(metavar="URL", help="Gets the JSON by POST; 2xx means applied.")] = None,
    name: Annotated[str, typer.Option(help="Of this subscriber: it goes on where one of that name ended.")] = "default",
    action: Annotated[list[str] | None, typer.Option(help="Apply only these; may be said repeatedly.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Apply the latest state, then end.")] = False,
    timeout: Annotated[str, typer.Option(metavar="DURATION", help="For one application.")] = "60s",
    ledger: Annotated[bool, typer.Option(help="Whether refusals are written to the ledger.")] = True,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Apply verdicts by a command or a URL: checked, each once, after an absence the latest only.

    Exit code: 0 on clean stop, 1 if something could not be applied, 2, 4.
    """
    from davy.commands.run import load
    from davy.commands.subscribe import Options
    from davy.commands.subscribe import subscribe as subscribe_command

    options = Options(experiment, command, url, name, tuple(action or ()), once, timeout, ledger, as_json)
    raise typer.Exit(subscribe_command(options, load(config, data_dir)))


@app.command(epilog=_example("davy ledger checkout-2.4.0", "davy ledger verify", "davy ledger verify checkout-2.4.0"))
def ledger(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[verify] [EXPERIMENT]", help="Without one: all.", show_default=False)
    ] = None,
    head: Annotated[
        str | None, typer.Option(metavar="HASH", help="With verify: a head noted earlier, which must be there still.")
    ] = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Every decision and refusal: read them, or verify that none was changed, removed or put in.

    Exit code: 0, with verify 1 if the ledger is not as it was written, 2, 3 unknown, 4.
    """
    from davy.commands import ledger as command
    from davy.commands.run import load

    said = list(words or ())
    verify = said[:1] == ["verify"]
    names = said[1:] if verify else said
    if len(names) > 1:
        raise UserError(f"{names[1]!r} is one word too many: say davy ledger [verify] [EXPERIMENT]")
    if head is not None and not verify:
        raise UserError("--head goes with verify")
    name, settings = (names[0] if names else None), load(config, data_dir)
    raise typer.Exit(command.verify(name, head, settings, as_json) if verify else command.show(name, settings, as_json))


def _person(name: str, help_text: str) -> None:
    """One command by which a person steers a rollout."""

    def command(
        experiment: Annotated[str, typer.Argument(help="Its id.")],
        reason: Annotated[str, typer.Option(metavar="TEXT", help="Why: it goes into the ledger.")],
        variant: Annotated[str | None, typer.Option(help="Only this candidate.")] = None,
        config: ConfigFile = None,
        data_dir: DataDir = None,
    ) -> None:
        from davy.commands.person import UNKNOWN, tell
        from davy.commands.run import load

        code = tell(name, experiment, reason, variant, load(config, data_dir))
        if code == UNKNOWN:
            print(f"davy: there is no experiment {experiment!r}: davy status lists them", file=sys.stderr)
        else:
            print(f"{name} of {experiment} sent; the ledger shows what comes of it")
        raise typer.Exit(code)

    command.__doc__ = help_text
    app.command(name, epilog=_example(f'davy {name} checkout-2.4.0 --reason "seen it in staging"'))(command)


for _name, _help in {
    "approve": "Let a rollout go on that waits for a person.",
    "pause": "Hold a rollout where it is.",
    "resume": "Let a paused or invalid rollout go on.",
    "promote": "Give the candidate all traffic now.",
    "abort": "End a rollout and give control all traffic.",
    "rollback": "Give control all traffic now.",
}.items():
    _person(_name, _help)
