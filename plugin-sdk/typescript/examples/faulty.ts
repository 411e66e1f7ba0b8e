// Misbehaves on demand, for the tests of a host: one way per event type. Between the faults it counts the events of each
// stream, so that a test can see what was kept.

import { log, permanent, projection, table, transient, type Event, type Tables } from "unspool";

/** Events of a stream that were handled. */
type Seen = { count: number };

const tables = { seen: table<Seen>() };

/** Lines of a flood. */
const FLOOD = 100_000;

function count(event: Event, { seen }: Tables<typeof tables>) {
  seen.edit(event.stream, { count: 0 }).count += 1;
}

/** Never comes back up. */
function descend(level: number): number {
  return descend(level + 1) ^ level;
}

export default projection({
  name: "faulty",
  version: 1,
  partitioning: "stream",
  tables,
  handlers: {
    Fine: count,
    Late: count,
    Error(event, { seen }) {
      // Left behind on purpose: nothing of a failed event may be kept.
      seen.edit("a failed event", { count: 0 }).count += 1;
      throw permanent("this event cannot be handled", { stream: event.stream });
    },
    Transient(event) {
      throw transient("this event cannot be handled now", { stream: event.stream });
    },
    Panic(event) {
      throw new Error(`asked to panic by event ${event.id}`);
    },
    Loop() {
      for (;;);
    },
    Memory() {
      const kept: Uint8Array[] = [];
      for (;;) kept.push(new Uint8Array(1 << 20).fill(1));
    },
    Recursion() {
      descend(1);
    },
    LogFlood(event, tables) {
      for (let line = 0; line < FLOOD; line++) log.info(`line ${line} of a flood`);
      count(event, tables);
    },
    // What a row cannot hold.
    BadOutput(event, { seen }) {
      seen.edit(event.stream, { count: 0 }).count = NaN;
    },
    // What the projection does not declare.
    ForeignTable(_event, tables) {
      (tables as any).foreign.put("key", {});
    },
  },
});
