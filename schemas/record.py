"""What every typed record can do: become the plain values of Avro, and come back from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from typing import Any, ClassVar, Self, cast

from schemas import codec

_SCALARS = (int, str, bytes, float)


@cache
def _names(kind: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def plain(value: Any) -> Any:
    """Records, tuples and mappings as Avro writes them: dicts and lists."""
    if isinstance(value, Record):
        return {name: plain(getattr(value, name)) for name in _names(type(value))}
    if value is None or isinstance(value, _SCALARS):
        return value
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in cast("list[Any]", value)]
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in cast("Mapping[str, Any]", value).items()}
    return value


class Record:
    """Base of the frozen dataclasses that mirror an Avro record, field for field."""

    __slots__ = ()
    SCHEMA: ClassVar[str]
    """Name of the record's own Avro file; records that live inside others have none."""

    def to_avro(self) -> dict[str, Any]:
        """The values that Avro writes."""
        return plain(self)

    @classmethod
    def from_avro(cls, data: Mapping[str, Any]) -> Self:
        """From the values that Avro reads; records with records inside override this."""
        return cls(**data)

    def encode(self) -> bytes:
        """Single-object encoding."""
        return codec.encode(self.SCHEMA, self.to_avro())

    @classmethod
    def decode(cls, data: bytes, resolve: codec.Resolver | None = None) -> Self:
        """From either framing; raises `codec.Malformed` or `codec.UnknownSchema`."""
        return cls.from_avro(codec.decode_as(cls.SCHEMA, data, resolve))

    def to_json(self) -> dict[str, Any]:
        """The JSON form: the same names, times as ISO 8601."""
        return codec.to_json(self.SCHEMA, self.to_avro())
