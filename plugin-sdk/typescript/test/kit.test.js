// The kit's own tests, under any Node from version 20 on: `node --test`.

import assert from "node:assert/strict";
import { test } from "node:test";
import { float, permanent, projection, table, transient } from "unspool";
import { kit } from "unspool/testing";

const of = (handlers, tables = { rows: table() }) => projection({ name: "tested", version: 1, tables, handlers });

test("rows are those of the events", () => {
  const counts = of({ A: (event, { rows }) => { rows.edit(event.stream, { n: 0 }).n += event.data.by; } });
  const tested = kit(counts).given("A", { by: 2 }).given("A", { by: 3 }).given("A", { by: 1 }, { stream: "other" });
  assert.deepEqual(tested.rows("rows"), { other: { n: 1 }, stream: { n: 5 } });
  assert.deepEqual(tested.row("rows", "stream"), { n: 5 });
  assert.equal(tested.row("rows", "absent"), undefined);
  assert.throws(() => tested.rows("row"), /there is no table "row"; there are rows/);
});

test("what outlives an event is found", () => {
  let seen = 0;
  const counts = of({ A: (_, { rows }) => rows.put("k", { seen: ++seen }) });
  assert.throws(() => kit(counts).given("A").given("A").row("rows", "k"), /come to different rows/);
});

test("a failure names its event, and leaves nothing of it", () => {
  const fails = of({
    A: (event, { rows }) => rows.put(event.id, {}),
    B: (event, { rows }) => {
      rows.put("left behind", {});
      throw permanent("no such order", { order: event.stream });
    },
    C: () => {
      throw transient("not now");
    },
  });
  const failed = kit(fails).given("A").given("B").failure();
  assert.deepEqual(failed, { event: 1, kind: "permanent", message: "no such order", details: { order: "stream" } });
  assert.equal(kit(fails).given("C").failure().kind, "transient");
  assert.throws(() => kit(fails).given("B").rows("rows"), /event 0 \(B\) failed: no such order/);
  assert.throws(() => kit(fails).given("A").failure(), /no event failed/);
  assert.match(kit(fails).given("D").failure().message, /no handler for event type D/);
});

test("what no row can hold is refused at its place", () => {
  const puts = (row) => kit(of({ A: (_, { rows }) => rows.put("k", row) })).given("A").failure().message;
  assert.equal(puts({ lines: [{ when: new Date() }] }), ".lines[0].when is a Date: store a number, `+date`, or text, `date.toISOString()` (row rows/k)");
  for (const row of [new Map(), new Set(), { f() {} }, { n: NaN }, { a: [undefined] }, { get n() { return 1; } }, { n: 2n ** 64n }, new (class Row {})()])
    assert.match(puts({ row }), /\.row/, String(row));
  assert.match(puts(undefined), /`delete` deletes a row/);
});

test("rows are what the host would give back", () => {
  const puts = of({
    A: (_, { rows }) => rows.put("k", { absent: undefined, zero: -0, few: 5n, many: 2n ** 60n, whole: float(1) }),
    B: (_, { rows }) => { rows.edit("k").more = true; },
  });
  const row = kit(puts).given("A").given("B").row("rows", "k");
  assert.deepEqual(row, { zero: 0, few: 5, many: 2n ** 60n, whole: 1, more: true });
});

test("time is the event's, and there is no chance", () => {
  const times = of({
    A: (_, { rows }) => rows.put("k", { now: Date.now(), date: +new Date(), hour: new Date("2026-03-29T02:30:00").getHours() }),
    B: () => Math.random(),
  });
  const now = { now: 7000, date: 7000, hour: 2 };
  assert.deepEqual(kit(times).given("A", {}, { timestamp: 7000 }).row("rows", "k"), now);
  assert.match(kit(times).given("B").failure().message, /no randomness/);
});

test("a row that `get` has returned cannot be changed", () => {
  const changes = of({
    A: (_, { rows }) => rows.put("k", { list: [1] }),
    B: (_, { rows }) => rows.get("k").list.push(2),
  });
  assert.equal(kit(changes).given("A").given("B").failure().event, 1);
});

test("a definition that cannot be a projection says why", () => {
  const good = { name: "tested", version: 1, tables: { rows: table() }, handlers: { A() {} } };
  const wrong = [
    [{ name: "Tested" }, /lower-case letters/],
    [{ version: 0 }, /a whole number from 1 on/],
    [{ tables: {} }, /at least one table/],
    [{ tables: { byDay: table() } }, /write `byDay: table\("by-day"\)`/],
    [{ tables: { rows: {} } }, /write `rows: table\(\)`/],
    [{ handlers: {} }, /at least one event type/],
    [{ handlers: { A: 1 } }, /the handler of A is 1, not a function/],
    [{ handlers: { async A() {} } }, /the handler of A is async/],
    [{ handlers: { *A() {} } }, /the handler of A is a generator/],
    [{ partitioning: "key" }, /"none" or "stream"/],
    [{ eventTypes: [] }, /a projection has no `eventTypes`/],
  ];
  for (const [change, words] of wrong) assert.throws(() => projection({ ...good, ...change }), words);
});
