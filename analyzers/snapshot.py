"""States as JSON and back, bit for bit: restore-continue equals continue.

A state is a frozen dataclass of this package whose fields are numbers, strings, None, tuples, mappings with
string keys, numpy arrays, ``array("d")`` and other such states; fields that no constructor takes are left out. Arrays travel
as base64 of their little-endian bytes; finite floats as JSON numbers, which Python writes shortest and exact. A state names
its class; only dataclasses below `analyzers` are ever made from a snapshot.
"""

from __future__ import annotations

import base64
import importlib
import math
import sys
from array import array
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, cast

import numpy as np

Json = Any
T = TypeVar("T")
_TYPE, _ARRAY, _PLAIN, _TUPLE, _MAP = "type", "array", "plain", "tuple", "map"
_DTYPES = {"<f8", "<i8", "|b1"}


class Unsnapshotable(TypeError):
    """A value that a state may not hold, or a snapshot that no state has made."""


def dump(state: object) -> dict[str, Json]:
    """The state as JSON; raises `Unsnapshotable` for what it may not hold.

    >>> from analyzers.dispersion import ShareClumps
    >>> text = dump(ShareClumps.zero())
    >>> load(ShareClumps, text).effective_buckets()
    0.0
    """
    if not is_dataclass(state) or isinstance(state, type):
        raise Unsnapshotable(f"{type(state).__name__} is no state")
    return _dump(state)


def load(cls: type[T], data: Mapping[str, Json]) -> T:
    """The state of class `cls` that `dump` wrote; raises `Unsnapshotable`."""
    state = _load(data)
    if not isinstance(state, cls):
        raise Unsnapshotable(f"the snapshot holds a {type(state).__name__}, not a {cls.__name__}")
    return state


def _dump(value: Any) -> Json:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise Unsnapshotable(f"{value} is not finite")
        return float(value)
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, np.ndarray):
        return _dump_array(cast("np.ndarray[Any, Any]", value))
    if isinstance(value, array):
        return {_PLAIN: _dump_plain(cast("array[float]", value))}
    if isinstance(value, tuple):
        return {_TUPLE: [_dump(item) for item in cast("tuple[Any, ...]", value)]}
    if isinstance(value, Mapping):
        items = cast("Mapping[str, Any]", value)
        return {_MAP: {key: _dump(items[key]) for key in sorted(items)}}
    if is_dataclass(value) and not isinstance(value, type):
        kind = type(value)
        return {_TYPE: f"{kind.__module__}:{kind.__qualname__}"} | {
            field.name: _dump(getattr(value, field.name)) for field in fields(value) if field.init
        }
    raise Unsnapshotable(f"a state may not hold a {type(value).__name__}")


def _dump_array(array: np.ndarray[Any, Any]) -> Json:
    kind = array.dtype.newbyteorder("<").str
    if kind not in _DTYPES:
        raise Unsnapshotable(f"a state may not hold arrays of {array.dtype}")
    data = np.ascontiguousarray(array, kind).tobytes()
    return {_ARRAY: kind, "shape": list(array.shape), "data": base64.b64encode(data).decode("ascii")}


def _dump_plain(values: array[float]) -> str:
    if values.typecode != "d":
        raise Unsnapshotable(f"a state may not hold arrays of {values.typecode}")
    return base64.b64encode(_little(values).tobytes()).decode("ascii")


def _little(values: array[float]) -> array[float]:
    """The same with little-endian bytes, or back."""
    swapped = values[:]
    if sys.byteorder == "big":
        swapped.byteswap()
    return swapped


def _load(data: Json) -> Any:
    if not isinstance(data, Mapping):
        return data
    node = cast("Mapping[str, Json]", data)
    if _TYPE in node:
        kind = _class(node[_TYPE])
        return kind(**{name: _load(item) for name, item in node.items() if name != _TYPE})
    if _ARRAY in node:
        if node[_ARRAY] not in _DTYPES:
            raise Unsnapshotable(f"unknown array type {node[_ARRAY]!r}")
        raw = np.frombuffer(base64.b64decode(node["data"]), node[_ARRAY])
        return raw.reshape(node["shape"]).copy()
    if _PLAIN in node:
        return _little(array("d", base64.b64decode(node[_PLAIN])))
    if _TUPLE in node:
        return tuple(_load(item) for item in node[_TUPLE])
    return {key: _load(item) for key, item in node[_MAP].items()}


@cache
def _class(name: str) -> type[Any]:
    module, _, qualname = name.partition(":")
    if module.startswith("analyzers."):
        kind = getattr(importlib.import_module(module), qualname, None)
        if isinstance(kind, type) and is_dataclass(kind):
            return kind
    raise Unsnapshotable(f"{name} is no state of this program")
