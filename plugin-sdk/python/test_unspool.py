import math

import pytest
from unspool import Projection, pack, permanent, transient, unpack
from unspool_kit import Kit


@pytest.mark.parametrize("n", [0, 127, 128, 255, 256, 65535, 1 << 32, (1 << 53) + 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, -1, -32, -33, -128, -129, -(1 << 63)])
def test_integers_are_exact(n):
    assert unpack(pack(n)) == n


def test_what_is_stored_comes_back():
    value = {"text": "grün" * 100, "list": list(range(20)), "none": None, "flags": [True, False], "float": 1.0, "bytes": bytes(300), "deep": {"a": {}}}
    assert unpack(pack(value)) == value
    assert type(unpack(pack({"f": 1.0}))["f"]) is float


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": {"avg": math.nan}}, "a.avg: nan is no number"),
        ({"a": [1, {"b": {1, 2}}]}, r"a\[1\].b: a set cannot be stored; use sorted"),
        ({"n": 1 << 64}, "n: the integer 18446744073709551616 needs more than 64 bits"),
        ({1: 2}, "the key 1 is no text"),
        ({"t": "\ud800"}, "t: text that has no form in UTF-8"),
    ],
)
def test_what_cannot_be_stored_is_named(value, expected):
    with pytest.raises(Exception, match=expected):
        pack(value)


def counting():
    projection = Projection("counting", version=1, tables=["counts"])

    @projection.on("Fine")
    def fine(event, tables):
        tables.counts.edit(event.stream, {"count": 0, "seen": []})["count"] += 1

    return projection


def test_a_failure_leaves_no_trace_and_keeps_what_was_before():
    projection = counting()

    @projection.on("Fail")
    def fail(event, tables):
        tables.counts.put("trace", {})
        raise transient("not now", order=7)

    @projection.on("Set")
    def unstorable(event, tables):
        tables.counts.put("trace", {"tags": {1}})

    kit = Kit(projection).given("Fine").given("Fine")
    assert kit.given("Fail").given("Fine").fails() == (2, ("transient", "not now", [("order", "7")]))
    event, (kind, message, _) = kit.given("Set").given("Fine").fails()
    assert (event, kind) == (2, "permanent") and message.startswith("the row counts/trace cannot be stored: tags: a set")
    assert kit.row("counts", "stream") == {"count": 2, "seen": []}
    assert kit.given("Unknown").fails()[1][1] == "no handler for event type Unknown"


def test_rows_share_nothing():
    projection = counting()

    @projection.on("Look")
    def look(event, tables):
        tables.counts.get("stream")["seen"].append(event.id)
        for _, row in tables.counts.scan():
            row["seen"].append(event.id)

    kit = Kit(projection).given("Fine").given("Fine", stream="other").given("Look")
    assert kit.rows("counts") == {"other": {"count": 1, "seen": []}, "stream": {"count": 1, "seen": []}}


def test_tables_show_what_the_chunk_has_done():
    projection = counting()

    @projection.on("Sum")
    def total(event, tables):
        tables.counts.load(["a", "nobody"])
        assert tables.counts.get("nobody") is None
        tables.counts.put("sum", {"keys": [key for key, _ in tables["counts"].scan() if key != "sum"]})

    @projection.on("Delete")
    def delete(event, tables):
        tables.counts.delete(event.stream)

    kit = Kit(projection).given("Fine", stream="b").given("Fine", stream="a").given("Sum").given("Delete", stream="b").given("Fine", stream="ü").given("Sum")
    assert kit.row("counts", "sum") == {"keys": ["a", "ü"]}
    assert kit.row("counts", "b") is None


def test_what_would_be_ignored_is_refused():
    projection = counting()
    with pytest.raises(TypeError, match="is async"):

        @projection.on("A")
        async def handler(event, tables):
            pass

    with pytest.raises(TypeError, match="two handlers for events of type Fine"):
        projection.on("Fine")(lambda event, tables: None)
    with pytest.raises(TypeError, match="a list of names"):
        Projection("p", version=1, tables="counts")


def test_the_kit_finds_what_should_not_pass():
    projection = counting()
    seen = []

    @projection.on("Remember")
    def remember(event, tables):
        seen.append(event)
        tables.counts.put("x", {"count": len(seen)})

    with pytest.raises(AssertionError, match="chunks of 2 events and chunks of 1 come to different rows: counts/x"):
        Kit(projection).given("Remember").given("Remember").rows("counts")
    with pytest.raises(AssertionError, match="has no table count"):
        Kit(projection).given("Fine").rows("count")
    with pytest.raises(AssertionError, match="all 1 events are handled"):
        Kit(projection).given("Fine").fails()

    @projection.on("Wrong")
    def wrong(event, tables):
        raise permanent("no")

    with pytest.raises(AssertionError, match=r"event 0 \(Wrong\) fails: no"):
        Kit(projection).given("Wrong").rows("counts")
