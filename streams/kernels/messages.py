"""librdkafka's messages where they lie: `rd_kafka_message_t` is public (rdkafka.h), and read by address.

The functions of librdkafka are called by address, too, so that what is compiled can be kept for other processes.
"""

from __future__ import annotations

from typing import Any

import numba  # pyright: ignore[reportMissingTypeStubs]
import numpy as np
from numba import types  # pyright: ignore
from numba.core import cgutils  # pyright: ignore
from numba.extending import intrinsic  # pyright: ignore

from streams.kernels import Array, compiled, making
from streams.kernels.memory import copy

ERR, TOPIC, PARTITION, PAYLOAD, LENGTH, KEY, KEY_LENGTH, OFFSET = range(8)
"""Columns of `fields`, and the words of eight bytes of the struct; err and partition are 32 bits of theirs."""
TIMESTAMP = 8
COLUMNS = 9
NO_KEY = -1
"""As `KEY_LENGTH` of a record without one; an empty one has 0."""


def _pointer(kind: Any) -> Any:
    @intrinsic
    def pointer(context: Any, address: Any) -> Any:  # pyright: ignore
        """A number as a pointer."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

        return types.CPointer(kind)(types.int64), generate  # pyright: ignore

    return pointer


_words = _pointer(types.int64)  # pyright: ignore


@intrinsic
def _call(context: Any, function: Any, first: Any, second: Any) -> Any:  # pyright: ignore
    """The C function at an address, given two words (one that takes fewer passes over the rest); its answer as int64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = context.get_value_type(types.int64)  # pyright: ignore
        kind = cgutils.ir.FunctionType(word, [word, word])  # pyright: ignore
        return builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), arguments[1:])

    return types.int64(types.int64, types.int64, types.int64), generate  # pyright: ignore


@making
def look(messages: Array, timestamp: int, fields: Array) -> int:
    """Fill `fields`, int64 (n, COLUMNS), from the messages at the addresses `messages`, int64 (n,); `timestamp` is the address
    of `rd_kafka_message_timestamp`. Bytes of all keys and payloads."""
    total, none = 0, np.empty(1, np.int32)
    for i in range(len(messages)):
        message = numba.carray(_words(messages[i]), (8,))  # pyright: ignore
        for word in range(8):
            fields[i, word] = message[word]
        fields[i, ERR] = np.int64(np.int32(message[ERR] & 0xFFFFFFFF))
        fields[i, PARTITION] = np.int64(np.int32(message[PARTITION] & 0xFFFFFFFF))
        fields[i, TIMESTAMP] = _call(timestamp, messages[i], none.ctypes.data)  # pyright: ignore[reportCallIssue]
        total += fields[i, LENGTH]
        if fields[i, KEY] == 0:
            fields[i, KEY_LENGTH] = NO_KEY
        else:
            total += fields[i, KEY_LENGTH]
    return total


@compiled
def take(messages: Array, destroy: int, fields: Array, data: Array, begin: Array, end: Array) -> None:
    """Copy the payloads, one after the other, then the keys, to `data`, uint8 (bytes,), where `begin` and `end`, int64 (2, n),
    then say (payloads first; a record without a key has an empty one). The messages go back through `destroy`, the address
    of `rd_kafka_message_destroy`."""
    n, place = len(messages), 0
    for i in range(n):
        begin[0, i] = place
        copy(fields[i, PAYLOAD], fields[i, LENGTH], data, place)  # pyright: ignore
        place += fields[i, LENGTH]
        end[0, i] = place
    for i in range(n):
        begin[1, i] = place
        size = max(fields[i, KEY_LENGTH], 0)
        copy(fields[i, KEY], size, data, place)  # pyright: ignore
        place += size
        end[1, i] = place
        _call(destroy, messages[i], 0)  # pyright: ignore[reportCallIssue]
