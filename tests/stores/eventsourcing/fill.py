"""Appends the events on standard input (NDJSON; streams are UUIDs) to the store at the URL given."""

import json
import sys
from collections import defaultdict
from datetime import datetime, timezone
from urllib.parse import urlsplit
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate


class Order(Aggregate):
    pass


class Orders(Application):
    pass


def event_class(name, fields):
    annotations = {field: object for field in fields}
    names = {"__annotations__": annotations, "__module__": "orders", "__qualname__": f"Order.{name}"}
    return type(Aggregate.Event)(name, (Aggregate.Event,), names)


url = urlsplit(sys.argv[1])
orders = Orders(
    env={
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": url.path.lstrip("/"),
        "POSTGRES_HOST": url.hostname,
        "POSTGRES_PORT": str(url.port),
        "POSTGRES_USER": url.username,
        "POSTGRES_PASSWORD": url.password or "",
    }
)
classes = {}
versions = defaultdict(int)
batch = []
for line in sys.stdin:
    event = json.loads(line)
    stream, kind, data = event["stream"], event["type"], event["data"]
    if kind not in classes:
        classes[kind] = event_class(kind, data)
    versions[stream] += 1
    time = datetime.fromtimestamp(event["timestamp"] / 1000, timezone.utc)
    batch.append(classes[kind](originator_id=UUID(stream), originator_version=versions[stream], timestamp=time, **data))
    if len(batch) == 1000:
        orders.events.put(batch)
        batch = []
orders.events.put(batch)
