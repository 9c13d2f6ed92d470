"""`davy support`: one file with what a maintainer needs, without secrets."""

from __future__ import annotations

import io
import json
import os
import platform
import sys
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import Annotated, Any

import typer

from davy.checks import examine
from davy.commands.doctor import row
from davy.options import ConfigFile, DataDir, Json, load
from schemas import __version__
from schemas.config import Config
from schemas.errors import UserError
from schemas.located import is_list, is_mapping

LOG_BYTES_MAX = 1 << 20
"""Of the end of each log file."""
LOGS_MAX = 50
SECRET_MIN = 4
"""Shorter values are no secrets, and would blacken half of every log."""
HIDDEN = "(hidden)"
KAFKA_SHOWN = frozenset({
    "bootstrap.servers", "client.id", "security.protocol", "sasl.mechanism", "sasl.mechanisms", "group.protocol",
    "session.timeout.ms", "message.timeout.ms", "enable.idempotence", "compression.type", "linger.ms",
})  # fmt: skip
OPEN = ("traffic", "notify", "probes", "alerts")
"""Parts whose entries say what they like: only these of their texts are shown."""
OPEN_SHOWN = frozenset({"type", "name", "kind", "mode", "service", "environment", "interval", "timeout"})


def support(config: Config, out: Path | None, as_json: bool = False) -> int:
    """Write the bundle and say what is in it; raises `UserError` where the file cannot be written."""
    path = out or Path(f"davy-support-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.tar.gz")
    shown, secrets = redacted(config)
    sizes: dict[str, int] = {}
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({(error.strerror or str(error)).lower()}): choose another with --out"
        ) from error
    with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as bundle:
        for name, content in parts(config, shown):
            clean = without(content, secrets).encode()
            entry = tarfile.TarInfo(f"davy-support/{name}")
            entry.size, entry.mtime = len(clean), int(time.time())
            bundle.addfile(entry, io.BytesIO(clean))
            sizes[name] = len(clean)
            if not as_json:
                print(f"{len(clean):>10,} bytes  {name}", flush=True)
    print(
        json.dumps({"file": str(path), "bytes": sizes}) if as_json else f"{path}: look through it before you pass it on"
    )
    return 0


def parts(config: Config, shown: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Names and contents, as soon as they are known."""
    installed = {found.name: found.version for found in distributions()}
    about = {
        "davy": __version__, "python": sys.version, "platform": platform.platform(), "cores": os.cpu_count(),
        "time": datetime.now(UTC).isoformat(), "installed": dict(sorted(installed.items())),
    }  # fmt: skip
    yield "about.json", json.dumps(about, indent=2)
    yield "config.json", json.dumps(shown, indent=2)
    yield "doctor.json", json.dumps([row(*found) for found in examine(config)], indent=2)
    logs = sorted((config.data_dir / "logs").glob("*.log"), key=lambda path: path.stat().st_mtime, reverse=True)
    for log in logs[:LOGS_MAX]:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LOG_BYTES_MAX))
            yield f"logs/{log.name}", file.read().decode("utf-8", "replace")


def redacted(config: Config) -> tuple[dict[str, Any], set[str]]:
    """The configuration with everything hidden that may be secret, and what was hidden."""
    secrets: set[str] = set()
    document = config.model_dump(mode="json", by_alias=True)
    document["kafka"] = {
        name: value if name in KAFKA_SHOWN else _hide(value, secrets) for name, value in config.kafka.items()
    }
    for part in OPEN:
        if part in document:
            document[part] = _open(document[part], secrets)
    for secret in _secrets(config.model_dump(mode="python", by_alias=True)):
        secrets.add(secret)
    return document, {secret for secret in secrets if len(secret) >= SECRET_MIN}


def without(text: str, secrets: set[str]) -> str:
    """The text with none of them in it."""
    for secret in sorted(secrets, key=len, reverse=True):  # one may hold another
        text = text.replace(secret, HIDDEN).replace(json.dumps(secret)[1:-1], HIDDEN)
    return text


def _open(value: Any, secrets: set[str]) -> Any:
    if is_mapping(value):
        return {
            name: item if name in OPEN_SHOWN and isinstance(item, str) else _open(item, secrets)
            for name, item in value.items()
        }
    if is_list(value):
        return [_open(item, secrets) for item in value]
    return _hide(value, secrets) if isinstance(value, str) else value


def _hide(value: str, secrets: set[str]) -> str:
    secrets.add(value)
    return HIDDEN


def _secrets(value: Any) -> Iterator[str]:
    """Values of all `SecretStr`."""
    if hasattr(value, "get_secret_value"):
        yield value.get_secret_value()
    elif isinstance(value, Mapping):
        for item in value.values():  # pyright: ignore[reportUnknownVariableType]
            yield from _secrets(item)
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for item in value:  # pyright: ignore[reportUnknownVariableType]
            yield from _secrets(item)


def command(
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Default: davy-support-TIME.tar.gz here.")] = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Versions, configuration, what the doctor says, ends of logs.

    \b
    Example: davy support --out bundle.tar.gz

    Exit code: 0; 2 bad config, or the file cannot be written.
    """
    raise typer.Exit(support(load(config, data_dir), out, as_json))
