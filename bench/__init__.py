"""Side-by-side measurements on real parts, written to docs/: `python -m bench` (make bench), `python -m bench.peers`."""
