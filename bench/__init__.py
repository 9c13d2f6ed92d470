"""Side-by-side measurements on real parts; `python -m bench` (make bench) writes docs/benchmarks.md."""
