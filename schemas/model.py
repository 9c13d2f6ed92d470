"""What specs and configuration share: frozen pydantic models; errors with a place, and what is right."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from schemas.located import Finding, Loc, Located, is_mapping
from schemas.units import parse_duration, parse_share

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
TEXT_MAX = 1000
_PLAIN = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")

M = TypeVar("M", bound="Model")


class Model(BaseModel):
    """Frozen; unknown fields are errors; an empty field that has a default has its default."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, serialize_by_alias=True)

    @model_validator(mode="before")
    @classmethod
    def _empty_is_default(cls, data: Any) -> Any:
        if not is_mapping(data):
            return data
        optional = {field.alias or name for name, field in cls.model_fields.items() if not field.is_required()}
        return {name: value for name, value in data.items() if value is not None or name not in optional}


def identifier(value: object) -> str:
    """An id or a name that ends up in file names, keys and proxies' configuration."""
    if not isinstance(value, str) or not ID.fullmatch(value):
        told = repr(value) if isinstance(value, str) else "this"
        raise ValueError(
            f"{told} is not a name: say letters, digits, '.', '_' and '-', up to 128, a letter or digit first"
        )
    return value


def text(value: object) -> str:
    """One line of text, not empty."""
    if not isinstance(value, str):
        raise ValueError("must be text" if value is not None else "must not be empty")
    if not value.strip() or len(value) > TEXT_MAX or not _PLAIN.fullmatch(value):
        raise ValueError(f"must be one line of text with 1 to {TEXT_MAX} characters")
    return value


def positive_duration(value: object) -> int:
    """Microseconds, more than none."""
    if (micros := parse_duration(value)) == 0:
        raise ValueError(f"{value!r} is no time at all: say for example 5m")
    return micros


def inner_share(value: object) -> float:
    """A share above 0 % and below 100 %."""
    if not 0 < (share := parse_share(value)) < 1:
        raise ValueError(f"{str(value)!r} must be above 0% and below 100%")
    return share


DURATION_PATTERN = r"^[0-9.]+\s*(us|ms|s|m|h|d)$"
SHARE_PATTERN = r"^[0-9.]+\s*%?$"
DurationUs = Annotated[
    int, BeforeValidator(parse_duration), WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN})
]
PositiveUs = Annotated[
    int, BeforeValidator(positive_duration), WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN})
]
_SHARE_SCHEMA: dict[str, Any] = {
    "anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"type": "string", "pattern": SHARE_PATTERN}]
}
Share = Annotated[float, BeforeValidator(parse_share), WithJsonSchema(_SHARE_SCHEMA)]
InnerShare = Annotated[float, BeforeValidator(inner_share), WithJsonSchema(_SHARE_SCHEMA)]
Identifier = Annotated[
    str, BeforeValidator(identifier), WithJsonSchema({"type": "string", "pattern": f"^{ID.pattern}$"})
]
Text = Annotated[
    str,
    BeforeValidator(text),
    WithJsonSchema({"type": ["string", "number"], "minLength": 1, "maxLength": TEXT_MAX}),
]
Finite = Annotated[float, Field(allow_inf_nan=False)]


def validated(model: type[M], document: Located) -> tuple[M | None, list[Finding]]:
    """The document as a model, or everything that is wrong with it."""
    try:
        return model.model_validate(document.data), []
    except ValidationError as error:
        details = error.errors(include_url=False)
        return None, [_finding(model, document, detail) for detail in details if not _hollow(detail)]


def made_of(kinds: Mapping[str, type[Model]], entry: Mapping[str, Any]) -> tuple[str, Model | None, str | None]:
    """An entry whose `type` says which model it is of: the type, the model, and what is wrong, to follow the entry's place."""
    options = dict(entry)
    kind = str(options.pop("type", None))
    if kind not in kinds:
        return kind, None, f": type {kind!r} is unknown: {suggestion(kind, kinds)}"
    try:
        return kind, kinds[kind].model_validate(options), None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return kind, None, f" ({kind}): {where}: {first['msg']}"


def field_names(model: type[Model]) -> set[str]:
    """Names of a model's fields as they are written."""
    return set(_fields(model))


def suggestion(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name."""
    names = list(known)
    close = difflib.get_close_matches(name.lower(), names, 1)
    return f"did you mean {close[0]}?" if close else f"say one of {', '.join(names)}"


def _hollow(detail: ErrorDetails) -> bool:
    """A list that counts as empty only because every entry of it is wrong."""
    return detail["type"] == "too_short" and bool(detail["input"])


def _finding(model: type[Model], document: Located, detail: ErrorDetails) -> Finding:
    loc: Loc = detail["loc"]
    if loc and loc[-1] == "[key]":
        return document.at_key(loc[:-1], str(detail.get("ctx", {}).get("error", detail["msg"])))
    name = next((part for part in reversed(loc) if isinstance(part, str)), "the document")
    around = _annotation_at(model, loc[:-1])
    fields = _fields(around) if loc else {}
    if detail["type"] == "extra_forbidden":
        return document.at_key(loc, f"unknown field {name!r}: {suggestion(name, fields)}")
    if detail["type"] == "missing":
        return document.at_key(loc[:-1], f"{name} is missing: say {name}: {_example(fields.get(name))}")
    told = f"{name}[{loc[-1]}]" if loc and isinstance(loc[-1], int) else name
    return document.at(loc, f"{told}: {_complaint(detail, fields.get(name))}")


def _complaint(detail: ErrorDetails, field: FieldInfo | None) -> str:
    kind, context, given = detail["type"], detail.get("ctx", {}), detail["input"]
    example = f", like {_example(field)}" if field is not None and field.examples else ""
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", context["expected"])
        return f"{_shown(given)} is unknown: {suggestion(str(given), choices)}"
    if kind in ("model_type", "dict_type"):
        return f"must be a mapping{example}, not {_shown(given)}"
    if kind in ("tuple_type", "list_type"):
        return f"must be a list{example}, not {_shown(given)}"
    if kind == "string_type":
        return f"must be text{example}, not {_shown(given)}"
    if kind == "too_short":
        return f"must not be empty: say {_example(field)}"
    if kind == "too_long":
        return f"has {context['actual_length']} entries: at most {context['max_length']} are taken"
    if kind.startswith("int_"):
        return f"{_shown(given)} is not a whole number{example}"
    if kind.startswith("float_"):
        return f"{_shown(given)} is not a number{example}"
    if kind.startswith("bool_"):
        return f"{_shown(given)} is neither true nor false"
    said = str(detail["msg"]).removeprefix("Input should be ")
    return f"{_shown(given)} must be {said}{example}"


def _shown(value: object) -> str:
    if value is None or value == "":
        return "nothing"
    if isinstance(value, (dict, list)):
        return "a mapping" if isinstance(value, dict) else "a list"
    return repr(value if len(str(value)) <= 40 else f"{str(value)[:37]}...")


def _example(field: FieldInfo | None) -> str:
    return str(field.examples[0]) if field is not None and field.examples else "..."


def _fields(annotation: Any) -> dict[str, FieldInfo]:
    """Fields of a model by the names they are written with."""
    for kind in _branches(annotation):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return {field.alias or name: field for name, field in kind.model_fields.items()}
    return {}


def _annotation_at(annotation: Any, loc: Loc) -> Any:
    """The type that stands at a path inside a model."""
    for part in loc:
        fields = _fields(annotation)
        if fields:
            annotation = fields[str(part)].annotation if part in fields else None
            continue
        inner = [get_args(kind) for kind in _branches(annotation) if get_origin(kind) in (dict, tuple)]
        annotation = inner[0][0 if isinstance(part, int) else 1] if inner else None
    return annotation


def _branches(annotation: Any) -> list[Any]:
    """A type without its annotations, a union as its members."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _branches(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return [branch for member in get_args(annotation) for branch in _branches(member)]
    return [annotation]
