"""The component's side: `unspool plugin build` puts it beside the author's file, whose name takes the place of AUTHOR."""

import builtins
import datetime
import importlib
import os
import random
import sys
import time


def _refuse(what, instead):
    def refused(*_arguments, **_more):
        raise RuntimeError(f"a projection has no {what}: {instead}")

    return refused


# What would trap without a word, or come to something else at each build, says so instead: in a handler, and while the
# author's file is read.
_clock = _refuse("clock", "use event.timestamp")
for _name in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time", "sleep", "localtime", "gmtime"):
    if _name in ("localtime", "gmtime"):
        _real = getattr(time, _name)
        setattr(time, _name, lambda seconds=None, _real=_real: _clock() if seconds is None else _real(seconds))
    else:
        setattr(time, _name, _clock)


class _datetime(datetime.datetime):
    now = utcnow = today = _clock


class _date(datetime.date):
    today = _clock


datetime.datetime, datetime.date = _datetime, _date
_randomness = _refuse("randomness", "derive the value from the event")
for _name in ("random", "randint", "randrange", "choice", "choices", "shuffle", "sample", "uniform", "gauss", "getrandbits", "randbytes"):
    setattr(random, _name, _randomness)
os.urandom = _randomness
os.getrandom = _randomness
_open = builtins.open
builtins.open = lambda file, *more, **named: _open(file, *more, **named) if _reading else _refuse("files", "put what it needs into the plugin, or into the events")()

_reading = True
import unspool
import wit_world.exports as exports
from wit_world.exports.handler import Failure, Outcome
from wit_world.imports import logger, read_model

_author = importlib.import_module("AUTHOR")
_projections = {id(value): value for value in vars(_author).values() if isinstance(value, unspool.Projection)}
if len(_projections) != 1:
    raise TypeError(f"AUTHOR.py defines {len(_projections)} projections; a plugin is one: name = unspool.Projection(...)")
_projection = next(iter(_projections.values()))
if not _projection._handlers:
    raise TypeError("the projection handles nothing: put @name.on(\"EventType\") above a function")
_reading = False


class _Output:
    """Standard output and standard error: whole lines of the host's log."""

    def __init__(self):
        self.line = ""

    def write(self, text):
        *lines, self.line = (self.line + text).split("\n")
        for line in lines:
            if line:
                logger.log("info", line.encode(errors="replace").decode())
        return len(text)

    def flush(self):
        pass


class Handler(exports.Handler):
    def describe(self) -> bytes:
        return _projection.describe()

    def handle(self, chunk: bytes) -> Outcome:
        sys.stdout = sys.stderr = _Output()
        unspool._write_log = logger.log
        handled, writes, error = _projection.handle(chunk, read_model)
        if error is None:
            return Outcome(handled, writes, None)
        kind, message, details = unspool.explained(error)
        return Outcome(handled, writes, Failure(kind, message, details))
