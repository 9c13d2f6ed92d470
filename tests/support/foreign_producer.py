"""A service that knows nothing of Davy: the schema from a file, a public Avro library, Kafka. Run as a program.

Sends events of several experiments at a steady pace in real time and writes down every one that it sent:
per experiment, version, variant and 5 s window the rows and errors, as JSON on stdout at the end.
"""

import io
import json
import random
import sys
import time

import fastavro
from confluent_kafka import Producer

bootstrap, topic, schema_file, fingerprint, seconds, total, plan_text = sys.argv[1:]
with open(schema_file, encoding="utf-8") as file:
    schema = fastavro.parse_schema(json.load(file))
plan = json.loads(plan_text)  # experiment -> {"service", "versions": {variant: version}, "errors": {variant: share}}
header = b"\xc3\x01" + bytes.fromhex(fingerprint)
producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20, "queue.buffering.max.messages": 500000})
random.seed(7)
sent: dict[str, list[int]] = {}
names = list(plan)
count, begin = int(total), time.time()
pace = count / float(seconds)
for i in range(count):
    if i % 500 == 0:
        ahead = begin + i / pace - time.time()
        producer.poll(max(0.0, ahead))
        while time.time() < begin + i / pace:
            producer.poll(0.005)
    name = names[i % len(names)]
    experiment = plan[name]
    variant = "canary" if random.random() < 0.5 else "control"
    failed = random.random() < experiment["errors"][variant]
    now = time.time_ns() // 1000
    record = {
        "timestamp": now,
        "service": experiment["service"],
        "environment": "production",
        "version": experiment["versions"][variant],
        "experiment_id": name,
        "variant": variant,
        "segment": None,
        "unit_id": None,
        "instance": f"pod-{i % 3}",
        "endpoint": "/pay",
        "status": 500 if failed else 200,
        "error": None,
        "duration_us": int(random.lognormvariate(10, 0.5)),
        "cpu_us": None,
        "memory_bytes": None,
        "measures": None,
        "sample_rate": 1.0,
    }
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, record)
    while True:
        try:
            producer.produce(topic, header + out.getvalue())
            break
        except BufferError:
            producer.poll(0.1)
    key = json.dumps([name, experiment["versions"][variant], variant, now // 5_000_000 * 5_000_000])
    tally = sent.setdefault(key, [0, 0])
    tally[0] += 1
    tally[1] += failed
assert producer.flush(60) == 0
print(json.dumps(sent))
