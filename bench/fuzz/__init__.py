"""Fuzzing: bytes that nobody would send, at everything that reads bytes of others (`python -m bench.fuzz`)."""
