"""Tests of projections, natively: given events, expect rows.

    from unspool_kit import Kit

    def test_every_payment_counts():
        kit = Kit(payments).given("PaymentReceived", {"customer": "ada", "cents": 250})
        assert kit.row("customers", "ada") == {"payments": 1, "cents": 250}

Every question handles the events in chunks of 1, 2, 3, 10 and all of them, and fails where the rows differ: how events are cut
into chunks must not show.
"""

import unspool

_SIZES = (1, 2, 3, 10, None)


class Kit:
    """A projection and events for it."""

    def __init__(self, projection, events=()):
        self._projection, self._events = projection, list(events)

    def given(self, type, data=None, *, id=None, stream="stream", timestamp=None, position=None, schema_version=1, metadata=None):
        """The same with one more event. Positions count from 1; the id is event-POSITION; timestamps are a second apart."""
        position = position or (self._events[-1][0] if self._events else 0) + 1
        timestamp = position * 1000 if timestamp is None else timestamp
        event = [position, id or f"event-{position}", stream, type, timestamp, schema_version, unspool.pack(data or {}), unspool.pack(metadata or {})]
        return Kit(self._projection, [*self._events, event])

    def rows(self, table):
        """The rows of a table, by key."""
        rows, failed = self._fold()
        if failed is not None:
            index, error = failed
            raise AssertionError(f"event {index} ({self._events[index][3]}) fails: {unspool.explained(error)[1]}") from error
        if table not in self._projection.tables:
            raise AssertionError(f"projection {self._projection.name} has no table {table}")
        return {key: unspool.unpack(document) for key, document in sorted(rows.get(table, {}).items())}

    def row(self, table, key):
        """One row; None where there is none."""
        return self.rows(table).get(key)

    def fails(self):
        """The number of the event that fails, counted from 0, and kind, message and details of the failure."""
        _, failed = self._fold()
        if failed is None:
            raise AssertionError(f"all {len(self._events)} events are handled")
        return failed[0], unspool.explained(failed[1])

    def _fold(self):
        first = None
        for size in _SIZES:
            rows, failed = self._fold_in_chunks(size)
            shown = (rows, failed and (failed[0], unspool.explained(failed[1])))
            if first is None:
                first, answer = shown, (rows, failed)
            elif shown != first:
                raise AssertionError(f"chunks of {size or 'all'} events and chunks of 1 come to different rows: {_difference(first, shown)}")
        return answer

    def _fold_in_chunks(self, size):
        rows, done = _Rows(), 0
        size = size or len(self._events) or 1
        for start in range(0, len(self._events), size):
            chunk = unspool.pack(self._events[start : start + size])
            handled, writes, error = self._projection.handle(chunk, rows)
            for table, key, document, *_ in unspool.unpack(writes) if writes else []:
                rows.apply(table, key, document)
            done += handled
            if error is not None:
                return rows, (done, error)
        return rows, None


def _difference(one, other):
    for table in one[0].keys() | other[0].keys():
        a, b = one[0].get(table, {}), other[0].get(table, {})
        for key in sorted(a.keys() | b.keys()):
            if a.get(key) != b.get(key):
                shown = [document and unspool.unpack(document) for document in (a.get(key), b.get(key))]
                return f"{table}/{key} is {shown[1]}, and {shown[0]}"
    return f"{other[1]}, and {one[1]}"


class _Rows(dict):
    def apply(self, table, key, document):
        if document is None:
            self.get(table, {}).pop(key, None)
        else:
            self.setdefault(table, {})[key] = document

    def get_many(self, table, keys):
        return [self.get(table, {}).get(key) for key in keys]

    def scan(self, table, prefix, after, limit):
        keys = sorted(key for key in self.get(table, {}) if key.startswith(prefix) and (after is None or key > after))
        return [(key, self[table][key]) for key in keys[:limit]]
