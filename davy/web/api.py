"""The application whose description says what the console's own handlers answer, where FastAPI's would say something else."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import FastAPI, Query
from fastapi.responses import JSONResponse

from davy.web.answers import PAGE_MAX, Json
from schemas import __version__

Limit = Annotated[int, Query(ge=1, le=PAGE_MAX)]
Cursor = Annotated[int, Query(ge=0)]
TITLE = "Davy"
DESCRIPTION = """\
JSON over HTTP, UTC times as ISO 8601 with microseconds.

- **Versions**: the path names it. Within `/v1` names are added, never changed or removed: pass over what you do not know.
- **Pages**: lists take `limit` and `cursor`; `next` is the cursor of the following page, null on the last.
- **ETags**: an answer's `ETag`, sent again as `If-None-Match`, is answered by 304 while nothing changed.
- **Errors**: `{"error": "one sentence"}`. 503 means that the broker, or what was read of it, is missing: ask again.
- **Token**: where `http.token`, `http.tokens` or `http.oidc` is configured, whatever changes something needs
  `Authorization: Bearer TOKEN`; what a token may send depends on its scopes.
- **Clock**: every answer says its time in `Davy-Now`, by which freshness is told.
"""
ERROR: Json = {
    "title": "Error", "type": "object", "required": ["error"],
    "properties": {
        "error": {"type": "string", "description": "What is wrong, and what to do."},
        "findings": {"type": "array", "items": {"type": "string"}, "description": "Each with its line and column."},
    },
}  # fmt: skip
PAGE: Json = {
    "title": "Page", "type": "object", "required": ["items", "next"],
    "properties": {
        "items": {"type": "array", "items": {"type": "object"}},
        "next": {"type": ["integer", "null"], "description": "The next page's cursor; null: this is the last."},
    },
}  # fmt: skip
TOKEN: Json = {
    "type": "http",
    "scheme": "bearer",
    "description": "`http:` in davy.yaml says whose; not asked for without.",
}


class Tagged(JSONResponse):
    """JSON with an ETag: who asks again with `If-None-Match` is told 304 where nothing changed.

    Long lists are made into one by their routes: FastAPI would first go through every value of a plain answer once more.
    """

    def render(self, content: Any) -> bytes:
        body = super().render(content)
        self.tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        return body

    def init_headers(self, headers: Mapping[str, str] | None = None) -> None:
        super().init_headers(headers)
        self.headers["ETag"], self.headers["Cache-Control"] = self.tag, "no-cache"


class Api(FastAPI):
    """FastAPI with this module's description."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(
            title=TITLE, version=__version__, description=DESCRIPTION, docs_url=None, redoc_url=None,
            license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"}, openapi_url="/v1/openapi.json", **settings,
        )  # fmt: skip

    def openapi(self) -> Json:
        """The OpenAPI document."""
        if self.openapi_schema is None:
            document = super().openapi()
            parts = document["components"]
            for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's: ours are sentences
                parts["schemas"].pop(name, None)
            parts["schemas"] |= {"Error": ERROR, "Page": PAGE}
            parts["securitySchemes"] = {"token": TOKEN}
            for path, methods in document["paths"].items():
                for method, operation in methods.items():
                    _as_answered(path, method, operation)
        assert self.openapi_schema is not None
        return self.openapi_schema


def _as_answered(path: str, method: str, operation: Json) -> None:
    responses: Json = operation["responses"]
    parameters: list[Json] = operation.pop("parameters", [])
    names = {parameter["name"] for parameter in parameters}
    kept = [parameter for parameter in parameters if parameter["name"] != "authorization"]
    if kept:
        operation["parameters"] = kept
    if responses.pop("422", None):
        responses["400"] = _refusal("Something in it cannot be used.")
    if "authorization" in names:
        operation["security"] = [{"token": []}, {}]
        responses["401"] = _refusal("The token is missing or wrong.")
        responses["403"] = _refusal("It is not this caller's to send.")
        responses["503"] = _refusal("The broker does not take it.")
    if "{" in path:
        responses["404"] = _refusal("There is none of that name.")
    if "cursor" in names:
        responses["200"]["content"]["application/json"]["schema"] = {"$ref": "#/components/schemas/Page"}
    if method == "get" and path.startswith("/v1/") and "application/json" in responses["200"].get("content", {}):
        responses["304"] = {"description": "As `If-None-Match` has it: nothing changed."}


def _refusal(what: str) -> Json:
    return {
        "description": what,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
