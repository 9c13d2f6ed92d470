"""GitHub deployments: one for each candidate, whose status follows the rollout.

The deployment is found by its task, so nothing has to be remembered: made with the first traffic (`in_progress`), then
`success` when the candidate was promoted, `failure` when it was rolled back, `inactive` when a person aborted.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from pydantic import Field, SecretStr

from deploy.notify.base import Adapter, Notice, NotTold
from deploy.notify.http_json import call
from schemas.located import is_list, is_mapping
from schemas.model import Model, Text

DESCRIPTION_MAX = 140
"""Characters that GitHub takes."""
STATES = {"deployed": "in_progress", "upgraded": "success", "rolledback": "failure"}


class Options(Model):
    """`ref` is what was deployed; `{version}` in it is the candidate's version."""

    repository: Text = Field(examples=["example/checkout"], pattern="^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$")
    token: SecretStr = Field(examples=["${GITHUB_TOKEN}"])
    ref: Text = Field(default="{version}", examples=["v{version}"])
    api: Text = Field(default="https://api.github.com", pattern="^https?://")
    log_url: Text | None = Field(default=None, examples=["https://davy.example/"])


class GitHub:
    """One repository."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.name = f"github {options.repository}"

    def tell(self, notice: Notice) -> None:
        place = f"{self.options.api}/repos/{self.options.repository}/deployments"
        state = "inactive" if notice.decision.kind == "abort" else STATES[notice.what]
        status: dict[str, Any] = {
            "state": state, "description": notice.decision.reason[:DESCRIPTION_MAX],
            "environment": notice.spec.environment, "auto_inactive": state == "success",
        }  # fmt: skip
        if self.options.log_url is not None:
            status["log_url"] = self.options.log_url
        self._call("POST", f"{place}/{self._deployment(place, notice)}/statuses", status)

    def _deployment(self, place: str, notice: Notice) -> int:
        """The id of the candidate's deployment, which is made where it is not there yet."""
        task, ref = f"davy:{notice.spec.id}:{notice.variant}", self.options.ref.replace("{version}", notice.version)
        wanted = {"task": task, "environment": notice.spec.environment, "ref": ref}
        found = self._call("GET", f"{place}?{urlencode(wanted)}", None)
        if is_list(found) and found and is_mapping(found[0]):
            return int(found[0]["id"])
        body: dict[str, Any] = {
            **wanted, "auto_merge": False, "required_contexts": [], "description": notice.spec.hypothesis[:DESCRIPTION_MAX],
            "production_environment": notice.spec.environment == "production",
        }  # fmt: skip
        made = self._call("POST", place, body)
        if not is_mapping(made) or "id" not in made:
            raise NotTold(f"{place} made no deployment of {ref}")
        return int(made["id"])

    def _call(self, method: str, url: str, body: Any) -> Any:
        headers = {
            "Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28", "User-Agent": "davy",
            "Authorization": f"Bearer {self.options.token.get_secret_value()}", "Content-Type": "application/json",
        }  # fmt: skip
        return call(method, url, headers, body)


ADAPTER = Adapter("github", Options, GitHub)
