"""Misbehaves on demand, for the tests of a host: one way per event type. Between the faults it counts the events of each stream."""

import datetime
import random
import sys
import time

from unspool import Projection, permanent

faulty = Projection("faulty-py", version=1, tables=["seen"])


@faulty.on("*")
def count(event, tables):
    row = tables.seen.edit(event.stream, {"count": 0})
    row["count"] += 1
    kind = event.type
    if kind == "Key":
        row["count"] += event.data["cents"]
    elif kind == "Error":
        raise permanent("no such order", stream=event.stream)
    elif kind == "Exit":
        sys.exit(3)
    elif kind == "Set":
        row["tags"] = {"a", "b"}
    elif kind == "Large":
        row["count"] = 1 << 64
    elif kind == "NaN":
        row["count"] = float("nan")
    elif kind == "Clock":
        row["at"] = time.time()
    elif kind == "Date":
        row["at"] = datetime.datetime.now().isoformat()
    elif kind == "Random":
        row["at"] = random.random()
    elif kind == "File":
        open("/etc/passwd")
    elif kind == "Loop":
        while True:
            row["count"] += 1
