"""A small shop in three versions, behind HAProxy, with load: what `davy demo --scenario live` runs."""
