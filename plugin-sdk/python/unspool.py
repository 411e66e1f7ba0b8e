"""Write Unspool projections in Python.

    from unspool import Projection

    payments = Projection("payments", version=1, tables=["customers"])

    @payments.on("PaymentReceived")
    def received(event, tables):
        customer = tables.customers.edit(event.data["customer"], {"payments": 0, "cents": 0})
        customer["payments"] += 1
        customer["cents"] += event.data["cents"]

`unspool plugin build payments.py` makes a plugin of it. A handler is a pure function of the event and the rows: it sees no
clock, no randomness, no files, and what it keeps in a variable does not outlive a call of the host.
"""

import inspect
import math
import struct
import traceback

__all__ = ["Projection", "Failure", "permanent", "transient", "log", "pack", "unpack"]

_KEY_BYTES = 4096
_READ_KEYS = 4096
_SCAN_ROWS = 1000
_DEPTH = 64
_double = struct.Struct(">d")
_single = struct.Struct(">f")


class Failure(Exception):
    """Why an event could not be handled, for the operator; `details` are facts beside the message."""

    def __init__(self, message, kind, details):
        super().__init__(message)
        self.kind = kind
        self.details = details


def permanent(message, **details):
    """The event cannot be applied, now or ever: `raise permanent("no such order", order=7)`. So is any other exception."""
    return Failure(message, "permanent", details)


def transient(message, **details):
    """The event could not be applied this time: the host tries it again, with pauses."""
    return Failure(message, "transient", details)


def log(message, level="info"):
    """Writes a line to the host's log; `level` is "error", "warn", "info" or "debug"."""
    _write_log(level, str(message))


def _write_log(level, message):
    print(f"{level}: {message}")


# MessagePack: https://github.com/msgpack/msgpack/blob/master/spec.md


def unpack(data):
    """The one MessagePack value that `data` holds."""
    value, end = _value(data, 0)
    if end != len(data):
        raise ValueError("bytes follow the value")
    return value


def _value(b, i):
    m = b[i]
    i += 1
    if m < 0x80:
        return m, i
    if m < 0x90:
        return _map(b, i, m & 15)
    if m < 0xA0:
        return _array(b, i, m & 15)
    if m < 0xC0:
        end = i + (m & 31)
        return str(b[i:end], "utf-8"), end
    if m >= 0xE0:
        return m - 256, i
    if 0xCC <= m <= 0xCF:
        end = i + (1 << (m - 0xCC))
        return int.from_bytes(b[i:end], "big"), end
    if 0xD0 <= m <= 0xD3:
        end = i + (1 << (m - 0xD0))
        return int.from_bytes(b[i:end], "big", signed=True), end
    if m == 0xC0:
        return None, i
    if m == 0xC2:
        return False, i
    if m == 0xC3:
        return True, i
    if m == 0xCB:
        return _double.unpack_from(b, i)[0], i + 8
    if m == 0xCA:
        return _single.unpack_from(b, i)[0], i + 4
    if 0xD9 <= m <= 0xDB:
        n, i = _length(b, i, 1 << (m - 0xD9))
        return str(b[i : i + n], "utf-8"), i + n
    if 0xC4 <= m <= 0xC6:
        n, i = _length(b, i, 1 << (m - 0xC4))
        return bytes(b[i : i + n]), i + n
    if 0xDC <= m <= 0xDD:
        return _array(b, *reversed(_length(b, i, 2 << (m - 0xDC))))
    if 0xDE <= m <= 0xDF:
        return _map(b, *reversed(_length(b, i, 2 << (m - 0xDE))))
    raise ValueError("an extension of MessagePack")


def _length(b, i, width):
    return int.from_bytes(b[i : i + width], "big"), i + width


def _array(b, i, n):
    values = []
    for _ in range(n):
        value, i = _value(b, i)
        values.append(value)
    return values, i


def _map(b, i, n):
    values = {}
    for _ in range(n):
        key, i = _value(b, i)
        values[key], i = _value(b, i)
    return values, i


def pack(value):
    """`value` as MessagePack: None, booleans, integers of 64 bits, floats, text, bytes, lists, tuples, dicts with text as keys."""
    out = bytearray()
    _pack(value, out, 0)
    return bytes(out)


class _Unstorable(Exception):
    def __init__(self, why, path=""):
        super().__init__(why, path)
        self.why, self.path = why, path

    def below(self, name):
        return _Unstorable(self.why, name + ("." if self.path and self.path[0] != "[" else "") + self.path)

    def __str__(self):
        return f"{self.path}: {self.why}" if self.path else self.why


def _pack(value, out, level):
    kind = type(value)
    if kind is str:
        try:
            text = value.encode()
        except UnicodeEncodeError:
            raise _Unstorable("text that has no form in UTF-8; store it as bytes") from None
        _pack_length(len(text), out, 0xA0, 31, 0xD9, 3)
        out += text
    elif kind is bool:
        out.append(0xC3 if value else 0xC2)
    elif kind is int:
        if 0 <= value < 128:
            out.append(value)
        elif -32 <= value < 0:
            out.append(value + 256)
        elif 0 <= value < 1 << 64:
            out.append(0xCF)
            out += value.to_bytes(8, "big")
        elif -(1 << 63) <= value < 0:
            out.append(0xD3)
            out += value.to_bytes(8, "big", signed=True)
        else:
            raise _Unstorable(f"the integer {value} needs more than 64 bits")
    elif value is None:
        out.append(0xC0)
    elif kind is float:
        if not math.isfinite(value):
            raise _Unstorable(f"{value} is no number that can be stored")
        out.append(0xCB)
        out += _double.pack(value)
    elif kind is bytes or kind is bytearray:
        _pack_length(len(value), out, 0, 0, 0xC4, 3)
        out += value
    elif level >= _DEPTH:
        raise _Unstorable(f"more than {_DEPTH} levels of nesting")
    elif kind is dict:
        _pack_length(len(value), out, 0x80, 15, 0xDE, 2)
        for key, part in value.items():
            if type(key) is not str:
                raise _Unstorable(f"the key {key!r} is no text; use str(key)")
            _pack(key, out, level)
            try:
                _pack(part, out, level + 1)
            except _Unstorable as error:
                raise error.below(key) from None
    elif kind is list or kind is tuple:
        _pack_length(len(value), out, 0x90, 15, 0xDC, 2)
        for n, part in enumerate(value):
            try:
                _pack(part, out, level + 1)
            except _Unstorable as error:
                raise error.below(f"[{n}]") from None
    else:
        raise _Unstorable(f"a {kind.__name__} cannot be stored; use {_INSTEAD.get(kind.__name__, 'numbers, text, bytes, lists and dicts')}")


_INSTEAD = {
    "set": "sorted(value): a set has no order",
    "frozenset": "sorted(value): a set has no order",
    "datetime": "milliseconds, as event.timestamp has them",
    "date": "its isoformat()",
    "Decimal": "an integer of the smallest unit, or text",
}


def _pack_length(n, out, fixed, most, first, widths):
    if fixed and n <= most:
        out.append(fixed | n)
    elif widths == 3 and n < 1 << 8:
        out += bytes((first, n))
    elif n < 1 << 16:
        out.append(first + widths - 2)
        out += n.to_bytes(2, "big")
    else:
        out.append(first + widths - 1)
        out += n.to_bytes(4, "big")


class Event:
    """An event: `position`, `id`, `stream`, `type`, `timestamp` (milliseconds since 1970), `schema_version`, `data`, `metadata`."""

    __slots__ = ("position", "id", "stream", "type", "timestamp", "schema_version", "data", "_metadata", "_index")

    @property
    def metadata(self):
        return unpack(self._metadata)


class _Row:
    __slots__ = ("row", "stored", "changed", "by")

    def __init__(self):
        self.row, self.stored, self.changed, self.by = None, None, False, 0


def _copy(value):
    if type(value) is dict:
        return {key: _copy(part) for key, part in value.items()}
    if type(value) is list:
        return [_copy(part) for part in value]
    return value


class Table:
    """A table of the read model. A row is a dict. A handler sees what the handlers of the call have written."""

    def __init__(self, name, host, tables):
        self._name, self._host, self._tables, self._rows, self._scanned = name, host, tables, {}, []

    def get(self, key):
        """A copy of the row of `key`, or None: `edit` and `put` change rows."""
        return _copy(self._read(key).row)

    def edit(self, key, initial=None):
        """The row of `key`, to change it. Where there is none: a copy of `initial`, or None."""
        row = self._read(key)
        if row.row is None:
            if initial is None:
                return None
            if type(initial) is not dict:
                raise permanent(f"a row of table {self._name} is a dict, not a {type(initial).__name__}")
            row.row = _copy(initial)
        row.changed, row.by = True, self._tables._index
        return row.row

    def put(self, key, row):
        """Writes the row of `key`, over any that is there, and without reading it."""
        if type(row) is not dict:
            raise permanent(f"a row of table {self._name} is a dict, not a {type(row).__name__}; delete(key) deletes one")
        self._write(key, row)

    def delete(self, key):
        """Deletes the row of `key`, if there is one, and without reading it."""
        self._write(key, None)

    def load(self, keys):
        """Reads the rows of `keys` in one call to the host, so that looking at them later costs none."""
        wanted = []
        for key in keys:
            self._check(key)
            if key not in self._rows and not self._is_scanned(key):
                self._rows[key] = _Row()
                wanted.append(key)
        for start in range(0, len(wanted), _READ_KEYS):
            part = wanted[start : start + _READ_KEYS]
            for key, document in zip(part, self._host.get_many(self._name, part)):
                self._hold(self._rows[key], key, document)

    def scan(self, prefix=""):
        """Pairs of key and row, ascending by the bytes of the keys, of the rows whose keys start with `prefix`. The rows are copies."""
        if not self._is_scanned(prefix):
            after = None
            while page := self._host.scan(self._name, prefix, after, _SCAN_ROWS):
                for key, document in page:
                    row = self._rows.setdefault(key, _Row())
                    if row.stored is None:
                        self._hold(row, key, document)
                after = page[-1][0]
            self._scanned.append(prefix)
        found = [(key, row.row) for key, row in self._rows.items() if row.row is not None and key.startswith(prefix)]
        found.sort(key=lambda pair: pair[0].encode())
        return [(key, _copy(row)) for key, row in found]

    def _check(self, key):
        if type(key) is not str:
            raise permanent(f"a key of table {self._name} is a {type(key).__name__}, not text; use str(key)")
        size = len(key.encode())
        if not 1 <= size <= _KEY_BYTES:
            raise permanent(f"a key of table {self._name} has {size} bytes; 1 to {_KEY_BYTES} are allowed")

    def _is_scanned(self, key):
        return any(key.startswith(prefix) for prefix in self._scanned)

    def _read(self, key):
        row = self._rows.get(key) if type(key) is str else None
        if row is not None and (row.changed or row.stored is not None):
            return row
        self._check(key)
        row = self._rows.setdefault(key, _Row())
        if self._is_scanned(key):
            row.stored = False
        else:
            self._hold(row, key, self._host.get_many(self._name, [key])[0])
        return row

    def _hold(self, row, key, document):
        row.stored = document is not None
        if row.stored and not row.changed:
            row.row = unpack(document)

    def _write(self, key, value):
        row = self._rows.get(key) if type(key) is str else None
        if row is None:
            self._check(key)
            row = self._rows[key] = _Row()
            if self._is_scanned(key):
                row.stored = False
        row.row, row.changed, row.by = value, True, self._tables._index

    def _emit(self, out):
        """Adds what has changed to a write frame; how many writes."""
        writes = 0
        for key, row in self._rows.items():
            # A row that the call made and deleted again never existed for anybody else.
            if not row.changed or row.row is None and row.stored is False:
                continue
            out.append(0x93)
            _pack(self._name, out, 0)
            _pack(key, out, 0)
            if row.row is None:
                out.append(0xC0)
            else:
                document = bytearray()
                try:
                    _pack(row.row, document, 0)
                except _Unstorable as error:
                    raise _Blamed(row.by, permanent(f"the row {self._name}/{key} cannot be stored: {error}", table=self._name, key=key)) from None
                _pack_length(len(document), out, 0, 0, 0xC4, 3)
                out += document
            writes += 1
        return writes


class Tables:
    """The tables of a projection, each as an attribute of its name ('-' as '_'), and by its name: `tables["by-day"]`."""

    def __init__(self, names, host):
        self._index = 0
        self._all = {name: Table(name, host, self) for name in names}
        for name, table in self._all.items():
            setattr(self, name.replace("-", "_"), table)

    def __getitem__(self, name):
        return self._all[name]


class _Blamed(Exception):
    def __init__(self, index, failure):
        super().__init__(index, failure)
        self.index, self.failure = index, failure


class Projection:
    """A projection: its name (lower-case letters, digits, '-' and '_'), the version of its rows' shape, and its tables.

    `complexity` ("simple", "standard", "complex", "integration") or `chunk_size` say how many events a chunk has;
    `partitioning="stream"` says that no row of one stream is touched by another.
    """

    def __init__(self, name, version, tables, complexity=None, chunk_size=None, partitioning=None):
        if isinstance(tables, str):
            raise TypeError(f"tables are a list of names: [{tables!r}]")
        self.name, self.version, self.tables = name, version, list(tables)
        self._more = {"complexity": complexity, "chunkSize": chunk_size, "partitioning": partitioning}
        self._handlers = {}

    def on(self, *types):
        """Has a function of an event and the tables handle the events of these types; "*" stands for all others."""

        def register(handler):
            if inspect.iscoroutinefunction(handler) or inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler):
                raise TypeError(f"{handler.__name__} is async or a generator, so that calling it would do nothing; a handler is a plain function")
            for kind in types:
                if kind in self._handlers:
                    raise TypeError(f"two handlers for events of type {kind}")
                self._handlers[kind] = handler
            return handler

        return register

    def describe(self):
        """The description frame of the plugin contract."""
        more = {name: value for name, value in self._more.items() if value is not None}
        tables = [{"name": name} for name in self.tables]
        return pack({"name": self.name, "version": self.version, "eventTypes": list(self._handlers), "tables": tables, **more})

    def handle(self, chunk, host):
        """Handles a chunk frame: how many events, their write frame, and the failure of the next one, or None.

        A failure costs nothing until it happens: then the events before it are handled once more, on tables that know nothing
        yet, so that the failed event has left no trace.
        """
        limit, failure = None, None
        while True:
            handled, writes, failed = self._fold(chunk, limit, host)
            if failed is None:
                return handled, writes, failure
            # A handler that is not pure may fail where it did not.
            limit, failure = handled if limit is None else min(handled, limit - 1), failed

    def _fold(self, chunk, limit, host):
        tables = Tables(self.tables, host)
        n, at = _header(chunk)
        index = 0
        try:
            while index < n and index != limit:
                event, at = _event(chunk, at)
                tables._index = index
                handler = self._handlers.get(event.type) or self._handlers.get("*")
                if handler is None:
                    raise permanent(f"no handler for event type {event.type}", type=event.type)
                handler(event, tables)
                index += 1
        except BaseException as error:  # sys.exit() is none of Exception's
            return index, b"", error
        out, writes = bytearray(b"\xdd\0\0\0\0"), 0
        try:
            for table in tables._all.values():
                writes += table._emit(out)
        except _Blamed as blamed:
            return blamed.index, b"", blamed.failure
        out[1:5] = writes.to_bytes(4, "big")
        return index, bytes(out), None


def _header(b):
    m = b[0]
    if 0x90 <= m < 0xA0:
        return m & 15, 1
    return _length(b, 1, 2 << (m - 0xDC))


def _event(b, i):
    event = Event()
    n, i = (b[i] & 15, i + 1) if 0x90 <= b[i] < 0xA0 else _length(b, i + 1, 2 << (b[i] - 0xDC))
    event.position, i = _value(b, i)
    event.id, i = _value(b, i)
    event.stream, i = _value(b, i)
    event.type, i = _value(b, i)
    event.timestamp, i = _value(b, i)
    event.schema_version, i = _value(b, i)
    data, i = _value(b, i)
    event._metadata, i = _value(b, i)
    # A later host may append facts.
    for _ in range(n - 8):
        _, i = _value(b, i)
    event.data = unpack(data)
    return event, i


def explained(error):
    """Kind, message and details of what a handler raised, with the line of the author's file."""
    if isinstance(error, Failure):
        return error.kind, str(error), [(name, str(value)) for name, value in error.details.items()]
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
    words = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    what = f"{type(error).__name__}: {words}" if words else type(error).__name__
    if frames:
        what += f" ({frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno} in {frames[-1].name})"
    return "permanent", what, []
