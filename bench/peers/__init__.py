"""The same events and the same windows through other stream processors, side by side (`python -m bench.peers`).

One file per peer: it says what the peer needs and reads back what it counted, and (where the peer is a Python library)
it is also the program that runs in the peer's own process.
"""
