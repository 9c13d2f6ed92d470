"""The language: events, windows, verdicts, specs; Avro files; codec. Pure."""

__version__ = "0.1.0"
