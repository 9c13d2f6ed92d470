"""How Davy itself is run: files for Prometheus, Alertmanager, Grafana, containers, Kubernetes, systemd, ClickHouse and Kafka.

`python -m deploy.ops` writes those again that are made from code; a test says when that was forgotten.
"""
