"""Ways to apply a verdict: a command that is run, a URL that is called. Both get the verdict's JSON and its id.

Each says None when the verdict was applied, or why it was not, as a clause.
"""

from __future__ import annotations

import json
import os
import subprocess

from deploy.exchange import NoAnswer, exchange
from schemas.errors import UserError
from schemas.verdict import Verdict

OUTPUT_MAX = 300
"""Characters of what a command or a server said, for the reason."""


class Command:
    """`/bin/sh -c COMMAND`: the verdict's JSON on its standard input, its main fields as `DAVY_...` variables."""

    def __init__(self, command: str, timeout_s: float) -> None:
        self.command, self.timeout_s = command, timeout_s

    def __call__(self, verdict: Verdict, attempt: int) -> str | None:
        """Applied when it ends with 0 in time."""
        try:
            done = subprocess.run(
                ["/bin/sh", "-c", self.command], input=json.dumps(verdict.to_json()).encode(), capture_output=True,
                timeout=self.timeout_s, check=False, env=os.environ | variables(verdict, attempt),
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return f"the command did not end within {self.timeout_s:g} s"
        except OSError as error:
            return f"the command cannot be run: {error.strerror}"
        if done.returncode == 0:
            return None
        said = (done.stderr or done.stdout).decode("utf-8", "replace").strip()[-OUTPUT_MAX:]
        return f"the command ended with {done.returncode}" + (f": {said}" if said else "")


class Url:
    """POST of the verdict's JSON as a CloudEvent in binary mode; `Idempotency-Key` is the verdict's id."""

    def __init__(self, url: str, timeout_s: float) -> None:
        if not url.startswith(("http://", "https://")):
            raise UserError(f"--url {url}: say an address that begins with http:// or https://")
        self.url, self.timeout_s = url, timeout_s

    def __call__(self, verdict: Verdict, attempt: int) -> str | None:
        """Applied when the answer is 2xx."""
        document = verdict.to_json()
        headers = {
            "Content-Type": "application/json", "Idempotency-Key": verdict.verdict_id, "Davy-Attempt": str(attempt),
            "ce-specversion": "1.0", "ce-id": verdict.verdict_id, "ce-source": "/davy/subscriber",
            "ce-type": "davy.v1.Verdict", "ce-time": str(document["issued_at"]), "ce-subject": verdict.experiment_id,
        }  # fmt: skip
        try:
            exchange("POST", self.url, headers, json.dumps(document).encode(), timeout_s=self.timeout_s, bytes_max=1)
        except NoAnswer as error:
            return f"{self.url} {error}"
        return None


def variables(verdict: Verdict, attempt: int) -> dict[str, str]:
    """A verdict's main fields for a command's environment."""
    fields = {
        "VERDICT_ID": verdict.verdict_id, "EXPERIMENT": verdict.experiment_id, "VARIANT": verdict.variant,
        "SERVICE": verdict.service, "ENVIRONMENT": verdict.environment, "ACTION": verdict.action,
        "CONCLUSION": verdict.conclusion, "PHASE": verdict.phase, "STEP": str(verdict.step),
        "WEIGHT": f"{verdict.weight:g}", "EPOCH": str(verdict.epoch), "SEQUENCE": str(verdict.sequence),
        "REASON": verdict.reason, "ATTEMPT": str(attempt),
    }  # fmt: skip
    return {f"DAVY_{name}": value.replace("\0", " ") for name, value in fields.items()}
