"""Writers' schemas: who may have written an Avro record, and whether we can read it.

A record names its writer's schema: by fingerprint (single-object encoding), which is one of Davy's own past or present or of
the folder that the input names; or by a registry's id (Confluent framing). What an id means never changes, so it is asked
once. That an id is not known is an answer about the record; that the registry does not answer is not, and stops the reader
instead.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from pathlib import Path
from typing import Any, Protocol

import avro.schema
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.errors import AvroException
from confluent_kafka.schema_registry import SchemaRegistryClient, SchemaRegistryError

from schemas import codec
from schemas.config import Registry
from schemas.errors import InfrastructureError, UserError
from schemas.located import read_text

REFUSED_MAX = 10_000
"""Ids without a usable schema that are remembered, so that one that comes again is not asked again."""
NOT_FOUND = 404
UNREACHABLE = "make sure it runs, or correct schema_registry in davy.yaml"


class Incompatible(ValueError):
    """Records of that schema cannot be read as RequestEvents; the text says why."""


def check(writer: codec.Document) -> None:
    """Raise `Incompatible` unless Avro's schema resolution leads from the writer's schema to ours."""
    try:
        ours, theirs = (avro.schema.parse(json.dumps(schema)) for schema in (codec.document("RequestEvent"), writer))
    except (AvroException, TypeError, ValueError) as error:
        raise Incompatible(f"it is no Avro schema: {error}") from error
    found = ReaderWriterCompatibilityChecker().get_compatibility(ours, theirs)
    if found.compatibility != SchemaCompatibilityType.compatible:
        where = ", ".join(sorted(found.locations))
        raise Incompatible(f"{'; '.join(sorted(found.messages))} (at {where})")


def shipped() -> dict[bytes, codec.Document]:
    """RequestEvent as it is and as it was, by fingerprint."""
    return {codec.schema_fingerprint(schema): schema for schema in codec.history("RequestEvent")}


def folder(path: Path, checked: bool) -> dict[bytes, codec.Document]:
    """All ``.avsc`` files of a folder, by fingerprint; raises `UserError` for one that cannot be read, or (if `checked`) that
    is not compatible with RequestEvent."""
    if not path.is_dir():
        raise UserError(f"{path}: there is no such folder of writers' schemas")
    found: dict[bytes, codec.Document] = {}
    for file in sorted(path.glob("*.avsc")):
        try:
            schema = json.loads(read_text(file))
            if checked:
                check(schema)
            found[codec.schema_fingerprint(schema)] = schema
        except (ValueError, KeyError, TypeError, codec.Malformed) as error:
            raise UserError(f"{file}: records of this schema cannot be read as RequestEvents: {error}") from error
    return found


class Ids(Protocol):
    """What resolves a registry's ids."""

    def writer(self, schema_id: int) -> codec.Document:
        """The schema; raises `codec.UnknownSchema` where there is none, `InfrastructureError` where nobody answers."""
        ...


class SchemaRegistry:
    """A Confluent-compatible registry; `checked`: its schemas must be compatible with RequestEvent."""

    def __init__(self, settings: Registry, checked: bool) -> None:
        more = {"basic.auth.user.info": settings.auth.get_secret_value()} if settings.auth else {}
        self.url = settings.url
        self.checked = checked
        self._client = SchemaRegistryClient({"url": settings.url, **more})
        self._refused: OrderedDict[int, str] = OrderedDict()

    def check_subject(self, topic: str) -> None:
        """Check every version that writers of the topic have registered; raises `UserError` for one that we cannot read."""
        subject = f"{topic}-value"
        try:
            versions = self._client.get_versions(subject)
        except SchemaRegistryError as error:
            if error.http_status_code == NOT_FOUND:  # nobody has written yet
                return
            raise self._silent(error) from error
        except Exception as error:
            raise self._silent(error) from error
        for version in versions:
            schema_id = self._registered(subject, version)
            try:
                self.writer(schema_id)
            except codec.UnknownSchema as error:
                raise UserError(
                    f"{topic}: version {version} of {subject} cannot be read: {error}; map its fields under inputs, or change "
                    "the schema"
                ) from error

    def writer(self, schema_id: int) -> codec.Document:
        """The schema of an id, asked once: the client remembers schemas, we remember refusals."""
        if schema_id not in self._refused:
            try:
                return self._fetch(schema_id)
            except (codec.UnknownSchema, Incompatible) as error:
                self._refused[schema_id] = str(error)
                if len(self._refused) > REFUSED_MAX:
                    self._refused.popitem(last=False)
        raise codec.UnknownSchema(f"schema id {schema_id}: {self._refused[schema_id]}")

    def _registered(self, subject: str, version: int) -> int:
        try:
            return int(self._client.get_version(subject, version).schema_id or 0)
        except Exception as error:
            raise self._silent(error) from error

    def _fetch(self, schema_id: int) -> codec.Document:
        try:
            found = self._client.get_schema(schema_id)
        except SchemaRegistryError as error:
            if error.http_status_code == NOT_FOUND:
                raise codec.UnknownSchema("the registry does not know it") from error
            raise self._silent(error) from error
        except Exception as error:
            raise self._silent(error) from error
        if found.schema_type not in (None, "AVRO") or found.references:
            raise codec.UnknownSchema("it is no Avro schema that stands alone")
        schema: Any = json.loads(found.schema_str or "null")
        if not isinstance(schema, dict):
            raise codec.UnknownSchema("it is no record")
        if self.checked:
            check(schema)  # pyright: ignore[reportUnknownArgumentType]
        return schema  # pyright: ignore[reportUnknownVariableType]

    def _silent(self, error: Exception) -> InfrastructureError:
        return InfrastructureError(
            f"the schema registry at {self.url} does not answer as it should: {error}; {UNREACHABLE}"
        )
