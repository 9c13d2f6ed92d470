"""The fail-safe matrix: each part of a running Davy struck by each fault, on real parts, in every state of a rollout."""
