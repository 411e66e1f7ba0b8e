// The process that a log tells of: which event types follow which, and how the streams begin and end.
//
// Works on any log. A case is a stream, and its events are in the order of their positions: timestamps tie and step back in
// real logs.

import { projection, table } from "unspool";

/**
 * How often something happened. `activities`: events of a type; `starts` and `ends`: cases that begin with it, and that end
 * with it so far.
 */
type Count = { count: number };

/** How often an event of type `to` came directly after one of type `from`. The key is `from -> to`. */
type Follows = { from: string; to: string; count: number };

/** A stream so far. Times are milliseconds since 1970-01-01T00:00:00Z, of the first and the last event by position. */
type Case = { events: number; lastType: string; firstTimestamp: number; lastTimestamp: number };

const none = { count: 0 };

export default projection({
  name: "process-map",
  version: 1,
  complexity: "standard",
  tables: {
    activities: table<Count>(),
    follows: table<Follows>(),
    starts: table<Count>(),
    ends: table<Count>(),
    cases: table<Case>(),
  },
  handlers: {
    "*"(event, { activities, follows, starts, ends, cases }) {
      const { type, stream, timestamp } = event;
      activities.edit(type, none).count += 1;
      const found = cases.edit(stream);
      if (found) {
        const before = found.lastType;
        found.lastType = type;
        found.events += 1;
        found.lastTimestamp = timestamp;
        follows.edit(`${before} -> ${type}`, { from: before, to: type, count: 0 }).count += 1;
        // A case went on after an event of this type.
        const end = ends.edit(before, none);
        end.count = Math.max(end.count - 1, 0);
        if (end.count === 0) ends.delete(before);
      } else {
        cases.put(stream, { events: 1, lastType: type, firstTimestamp: timestamp, lastTimestamp: timestamp });
        starts.edit(type, none).count += 1;
      }
      ends.edit(type, none).count += 1;
    },
  },
});
