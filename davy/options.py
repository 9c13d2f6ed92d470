"""Options that every command takes, and the configuration that they name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from schemas.config import Config

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Configuration (default ./davy.yaml where there is one)."),
]
DataDir = Annotated[
    Path | None,
    typer.Option("--dir", metavar="DIR", help="Where Davy keeps its data (default .davy, or the configuration's)."),
]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable output, nothing else on stdout.")]


def load(config_path: Path | None, data_dir: Path | None) -> Config:
    """The configuration: the file named, else ./davy.yaml where there is one, else the defaults; `data_dir` wins."""
    from schemas.config import load_config  # what needs no configuration starts without

    return load_config(config_path).with_data_dir(data_dir)
