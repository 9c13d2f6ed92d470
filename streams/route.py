"""Which delta partition a service's rows belong to: Kafka's own murmur2, so that any client agrees.

>>> murmur2(b"21"), murmur2(b"foobar")
(-973932308, -790332482)
"""

from __future__ import annotations

from functools import lru_cache

_SEED, _M, _MASK = 0x9747B28C, 0x5BD1E995, 0xFFFFFFFF
ROUTES_CACHED = 65_536


def murmur2(data: bytes) -> int:
    """The signed 32-bit hash of Kafka's default partitioner."""
    h = _SEED ^ len(data)
    whole = len(data) & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * _M & _MASK
        k = (k ^ k >> 24) * _M & _MASK
        h = (h * _M & _MASK) ^ k
    rest = data[whole:]
    if rest:
        h = (h ^ int.from_bytes(rest, "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    h ^= h >> 15
    return h - (1 << 32) if h >> 31 else h


@lru_cache(ROUTES_CACHED)
def delta_partition(service: str, environment: str, partitions: int) -> int:
    """The partition of `davy.deltas` that counts and judges this service in this environment."""
    return (murmur2(f"{service}\0{environment}".encode()) & 0x7FFFFFFF) % partitions
