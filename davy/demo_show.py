"""How the demo shows what it reads: JSON lines for programs, a live view for a terminal, plain lines for a
pipe."""

from __future__ import annotations

import json
import os
import sys
import time
import webbrowser
from pathlib import Path
from typing import Any, Protocol, Self

from rich.console import Console
from rich.live import Live

from davy.commands.replay import sentence
from davy.scene import Scene
from davy.terminal import render
from schemas.decision import Decision
from schemas.verdict import Verdict
from schemas.window import WindowSummary

FRAME_S = 0.25


class Show(Protocol):
    """Entered once everything runs."""

    def __enter__(self) -> Self:
        """Begin."""
        ...

    def __exit__(self, *_: object) -> None:
        """End."""
        ...

    def take(self, record: Verdict | WindowSummary | Decision) -> None:
        """One record, as it comes."""
        ...

    def tick(self, now_us: int) -> None:
        """Some time has passed; the scene's figures are new."""
        ...


class JsonLines:
    """One object per line: the first says that all is ready, verdicts are bare, all others have a `kind`."""

    def __init__(self, address: str, kafka: str, data_dir: Path) -> None:
        self._ready = {"kind": "ready", "http": address, "kafka": kafka, "data_dir": str(data_dir)}

    def __enter__(self) -> Self:
        _print(self._ready)
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def take(self, record: Verdict | WindowSummary | Decision) -> None:
        """Print it."""
        match record:
            case Verdict():
                _print(record.to_json())
            case WindowSummary():
                _print({"kind": "window", **record.to_json()})
            case Decision():
                told = record.to_json()
                _print({**told, "kind": "decision", "decision": told["kind"]})

    def tick(self, now_us: int) -> None:
        """Nothing to say."""


class Terminal:
    """The live view on its own screen; what it showed last stays when it ends."""

    def __init__(self, scene: Scene, browser: bool) -> None:
        self.scene = scene
        self._console = Console()
        self._live = Live(console=self._console, screen=True, auto_refresh=False)
        self._browser = browser
        self._drawn = 0.0

    def __enter__(self) -> Self:
        if self._browser and (sys.platform == "darwin" or "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ):
            webbrowser.open(
                f"{self.scene.address}/#/e/{self.scene.spec.id}"
            )  # without a display it would open a browser in this terminal
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()
        self._console.print(render(self.scene, self._console.width))
        self._console.print(following(self.scene), style="dim", highlight=False)

    def take(self, record: Verdict | WindowSummary | Decision) -> None:
        """Into the scene."""
        self.scene.take(record)

    def tick(self, now_us: int) -> None:
        """Draw, a few times a second at most."""
        self.scene.now_us = now_us
        if time.monotonic() - self._drawn >= FRAME_S:
            self._drawn = time.monotonic()
            self._live.update(render(self.scene, self._console.width), refresh=True)


class Lines:
    """Verdicts whose action is new and all decisions, a line each, with a `label` before it where there are several."""

    def __init__(self, scene: Scene, label: str = "") -> None:
        self.scene = scene
        self._label = f"{label}: " if label else ""

    def __enter__(self) -> Self:
        print(f"davy demo: {self.scene.title}; dashboard at {self.scene.address}", flush=True)
        return self

    def __exit__(self, *_: object) -> None:
        for verdict in self.scene.verdicts.values():
            print(f"{self._label}last verdict: {sentence(verdict)}", flush=True)
        if not self._label:
            print(following(self.scene), flush=True)

    def take(self, record: Verdict | WindowSummary | Decision) -> None:
        """Tell what is new."""
        before = len(self.scene.actions), self.scene.actions[-1] if self.scene.actions else None
        self.scene.take(record)
        action = self.scene.actions[-1] if self.scene.actions else None
        if action is not None and (len(self.scene.actions), action) != before:
            print(f"{self._label}{action.line()}", flush=True)

    def tick(self, now_us: int) -> None:
        """Nothing to say."""
        self.scene.now_us = now_us


def following(scene: Scene) -> str:
    """What to do after the demo."""
    return f"next: davy explain {scene.spec.id} says why; davy init begins a release of your own"


def _print(line: dict[str, Any]) -> None:
    print(json.dumps(line, allow_nan=False), flush=True)
