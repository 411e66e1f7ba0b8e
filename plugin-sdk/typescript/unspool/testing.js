// The test kit, for any Node from version 20 on: given events, expect rows. Rows are kept as the host keeps them: a row that
// an event has changed is copied when the event has been handled, and what no row can hold is refused then.

import { isDeepStrictEqual } from "node:util";
import { internals } from "unspool";

const { show, description, Float } = internals;

/** Chunks of these many events; the last holds all. */
const CHUNK_SIZES = [1, 2, 3, 10, Infinity];

const DEPTH = 64;
const KEY_BYTES = 4096;

// As on every host.
process.env.TZ = "UTC";

export function kit(projection) {
  const described = description(projection);
  if (!described) throw new Error("`kit` takes a projection: the default export of a plugin's file");
  const given = [];
  const fold = () => {
    const [expected, ...others] = CHUNK_SIZES.map((size) => [size, foldInChunks(projection, described, given, size)]);
    for (const [size, folded] of others)
      if (!isDeepStrictEqual(folded, expected[1]))
        throw new Error(`chunks of ${size} events and chunks of 1 come to different rows: ${show(folded)} and ${show(expected[1])}; does a variable outlive an event?`);
    return expected[1];
  };
  const rows = (table) => {
    const { tables, failed } = fold();
    if (failed) throw new Error(`event ${failed.event} (${given[failed.event].type}) failed: ${failed.message}`, { cause: failed.cause });
    if (!Object.hasOwn(tables, table)) throw new Error(`there is no table ${show(table)}; there are ${Object.keys(tables).join(", ")}`);
    return tables[table];
  };
  const self = {
    given(type, data = {}, more = {}) {
      const position = more.position ?? (given.at(-1)?.position ?? 0) + 1;
      const event = { position, id: `event-${position}`, stream: "stream", timestamp: Number(position) * 1000, schemaVersion: 1, metadata: {}, ...more, type };
      given.push({ ...event, data: document(data), metadata: document(event.metadata) });
      return self;
    },
    row: (table, key) => rows(table)[key],
    rows,
    failure() {
      const { failed } = fold();
      if (!failed) throw new Error("no event failed");
      const { cause, ...told } = failed;
      return told;
    },
  };
  return self;
}

function foldInChunks(projection, described, given, size) {
  const names = Object.values(described.tables);
  const stored = Object.fromEntries(names.map((name) => [name, new Map()]));
  let failed;
  for (let start = 0; start < given.length && !failed; start += size) {
    const opened = Object.entries(described.tables).map(([field, name]) => [field, new Rows(name, stored[name])]);
    const tables = Object.freeze(Object.fromEntries(opened.map(([field, rows]) => [field, rows.functions()])));
    for (const [at, event] of given.slice(start, start + size).entries()) {
      try {
        handle(projection, event, tables);
        const settled = opened.map(([, rows]) => rows.settled());
        opened.forEach(([, rows], table) => rows.settle(settled[table]));
      } catch (cause) {
        failed = { event: start + at, ...facts(cause), cause };
        break;
      }
    }
  }
  const tables = Object.fromEntries(names.map((name) => [name, Object.fromEntries([...stored[name]].sort(([a], [b]) => (a < b ? -1 : 1)))]));
  return { tables, failed };
}

function facts(thrown) {
  const told = thrown instanceof Error && (thrown.kind === "permanent" || thrown.kind === "transient");
  if (told) return { kind: thrown.kind, message: thrown.message, details: { ...thrown.details } };
  return { kind: "permanent", message: thrown instanceof Error ? thrown.message : `${show(thrown)} was thrown, which is no Error`, details: {} };
}

/** Calls a handler, with the clock and the randomness of a plugin. */
function handle({ handlers }, event, tables) {
  const handler = Object.hasOwn(handlers, event.type) ? handlers[event.type] : handlers["*"];
  if (!handler) throw new Error(`no handler for event type ${event.type}`);
  const { Date: Clock } = globalThis;
  const { random } = Math;
  globalThis.Date = new Proxy(Clock, {
    construct: (target, given, made) => Reflect.construct(target, given.length > 0 ? given : [event.timestamp], made === globalThis.Date ? target : made),
    get: (target, name) => (name === "now" ? () => event.timestamp : Reflect.get(target, name)),
  });
  Math.random = () => {
    throw new Error("a projection has no randomness: derive the value from the event, such as from `event.id`");
  };
  try {
    const seen = { ...event, data: structuredClone(event.data), metadata: structuredClone(event.metadata) };
    const returned = handler.call(handlers, seen, tables);
    if (returned instanceof Promise) {
      returned.catch(() => {});
      throw new Error(`the handler of ${event.type} returns a promise; a handler returns when it is done`);
    }
  } finally {
    globalThis.Date = Clock;
    Math.random = random;
  }
}

/** The rows of a table: what is stored, and what the event in hand has changed. */
class Rows {
  constructor(name, stored) {
    this.name = name;
    this.stored = stored;
    this.touched = new Map();
  }

  key(key) {
    if (typeof key !== "string") throw new Error(`a key of table ${this.name} is text, not ${show(key)}`);
    const bytes = Buffer.byteLength(key);
    if (bytes === 0) throw new Error(`a key of table ${this.name} is empty`);
    if (bytes > KEY_BYTES) throw new Error(`a key of table ${this.name} has ${bytes} bytes; ${KEY_BYTES} are allowed`);
    return key;
  }

  row(called, row) {
    if (typeof row !== "object" || row === null)
      throw new Error(`\`${called}\` of table ${this.name} needs a row, which is an object, not ${show(row)}${row === undefined ? "; `delete` deletes a row" : ""}`);
    return row;
  }

  get(key) {
    return this.touched.has(this.key(key)) ? this.touched.get(key) : this.stored.get(key);
  }

  edit(key, initial) {
    let row = this.get(key);
    if (!this.touched.has(key) && row !== undefined) row = open(row);
    if (row === undefined && initial !== undefined)
      row = this.row("edit", typeof initial === "function" ? initial() : open(document(initial)));
    if (row !== undefined) this.touched.set(key, row);
    return row;
  }

  scan(prefix = "") {
    const keys = new Set([...this.stored.keys(), ...this.touched.keys()]);
    const found = [...keys].filter((key) => key.startsWith(prefix) && this.get(key) !== undefined);
    return found.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))).map((key) => [key, this.get(key)]);
  }

  /** The documents of what the event has changed. */
  settled() {
    return [...this.touched].map(([key, row]) => {
      try {
        return [key, row === undefined ? undefined : document(row)];
      } catch (refused) {
        throw new Error(`${refused.message} (row ${this.name}/${key})`);
      }
    });
  }

  settle(documents) {
    for (const [key, row] of documents) row === undefined ? this.stored.delete(key) : this.stored.set(key, row);
    this.touched.clear();
  }

  functions() {
    return Object.freeze({
      get: (key) => this.get(key),
      edit: (key, initial) => this.edit(key, initial),
      put: (key, row) => void this.touched.set(this.key(key), this.row("put", row)),
      delete: (key) => void this.touched.set(this.key(key), undefined),
      load: (keys) => {
        if (!Array.isArray(keys)) throw new Error("`load` takes an array of keys: `load([...keys])`");
        keys.forEach((key) => this.key(key));
      },
      scan: (prefix) => this.scan(prefix),
    });
  }
}

/** A copy of a document that can be changed. */
const open = (row) => structuredClone(row);

/** What of a value a document holds, frozen. Throws where it holds what no document can. */
function document(value, path = "", depth = 0) {
  const refuse = (what) => {
    throw new Error(`${path === "" ? "the row" : path} ${what}`);
  };
  switch (typeof value) {
    case "boolean":
    case "string":
      return value;
    case "number":
      if (!Number.isFinite(value)) refuse(`is ${value}: a number in a row is finite; store null, or leave it out`);
      return Object.is(value, -0) ? 0 : value;
    case "bigint":
      if (BigInt.asIntN(64, value) !== value && BigInt.asUintN(64, value) !== value)
        refuse(`is ${value}: an integer has at most 64 bits; store it as text`);
      return value >= -(2n ** 53n) && value <= 2n ** 53n ? Number(value) : value;
    case "undefined":
      return refuse("is undefined: store null, or leave it out of an array");
    case "symbol":
      return refuse("is a symbol: store its description");
    case "function":
      return refuse("is a function: store what it returns");
  }
  if (value === null) return null;
  if (value instanceof Float) return Number(value);
  if (value instanceof Uint8Array) return new Uint8Array(value);
  if (depth === DEPTH) refuse(`is nested more than ${DEPTH} levels deep, or contains itself`);
  if (Array.isArray(value)) return Object.freeze(Array.from(value, (held, at) => document(held, `${path}[${at}]`, depth + 1)));
  if (value instanceof Date) refuse("is a Date: store a number, `+date`, or text, `date.toISOString()`");
  if (value instanceof Map) refuse("is a Map: store a plain object, `Object.fromEntries(map)`");
  if (value instanceof Set) refuse("is a Set: store an array, `[...set]`");
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null)
    refuse(`is an object of class ${value.constructor?.name}: store a plain object, \`{ ...value }\``);
  if (Object.getOwnPropertySymbols(value).some((name) => Object.prototype.propertyIsEnumerable.call(value, name)))
    refuse("has a symbol as the name of a field: use text");
  const copy = {};
  for (const [name, property] of Object.entries(Object.getOwnPropertyDescriptors(value))) {
    if (!property.enumerable) continue;
    const inner = /^[\p{L}_$][\p{L}\p{N}_$]*$/u.test(name) ? `${path}.${name}` : `${path}[${JSON.stringify(name)}]`;
    if (property.get || property.set) throw new Error(`${inner} is a getter: store its value`);
    if (property.value === undefined) continue;
    Object.defineProperty(copy, name, { value: document(property.value, inner, depth + 1), writable: true, configurable: true, enumerable: true });
  }
  return Object.freeze(copy);
}
