"""Scenarios with known truth, through a rollout and the watch after it, in simulated time; figures for docs/detection.md."""
