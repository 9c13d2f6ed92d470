"""The scenarios: one module and one spec each; `streams.scenario` finds them."""
