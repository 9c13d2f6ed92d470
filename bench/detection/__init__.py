"""Does `davy detect` find what is there, and only that? Public labelled series and series with a known truth."""
