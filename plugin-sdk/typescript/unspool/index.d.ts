/** What documents hold: payloads, metadata and rows. Integers beyond 2^53 are bigints, binaries are `Uint8Array`s. */
export type Json = null | boolean | number | bigint | string | Uint8Array | Json[] | { [field: string]: Json };

/** An event, as handlers see it. `Data` is its payload. */
export interface Event<Data = any> {
  /** Where it stands in the source's order; grows, with gaps. */
  readonly position: number | bigint;
  /** Unique in the source. */
  readonly id: string;
  /** The entity that it belongs to. */
  readonly stream: string;
  /** The event type. */
  readonly type: string;
  /** When it happened, in milliseconds since 1970-01-01T00:00:00Z. `Date.now()` is this, too. */
  readonly timestamp: number;
  /** The version of the payload's shape; 1 unless the event says otherwise. */
  readonly schemaVersion: number;
  /** The payload. */
  readonly data: Data;
  /** What was noted beside the payload. */
  readonly metadata: any;
}

/** The value, which nobody can change. */
export type Frozen<T> = T extends Uint8Array | ((...given: any) => any) ? T
  : T extends object ? { readonly [K in keyof T]: Frozen<T[K]> } : T;

/**
 * A table of rows, as the event in hand finds it: with all that events before it have done, and what it does itself.
 * Keys are text of 1 to 4096 bytes. What a handler leaves in a row is stored when the event has been handled.
 */
export interface Rows<Row extends object> {
  /** The row of `key`, frozen; undefined where there is none. */
  get(key: string): Frozen<Row> | undefined;
  /** The row of `key`, to change it. Undefined where there is none, or a new one: a copy of `initial`, or what it returns. */
  edit(key: string): Row | undefined;
  edit(key: string, initial: Row | (() => Row)): Row;
  /** Writes the row of `key`, over any that is there, without reading it. */
  put(key: string, row: Row): void;
  /** Deletes the row of `key`, if there is one, without reading it. */
  delete(key: string): void;
  /** Reads the rows of `keys` in one call to the host, so that looking at them later costs none. */
  load(keys: string[]): void;
  /** The rows whose keys begin with `prefix`, frozen, ascending by the bytes of their keys. */
  scan(prefix?: string): [key: string, row: Frozen<Row>][];
}

declare const row: unique symbol;

/** A table in a definition. */
export interface Table<Row extends object> {
  readonly [row]?: Row;
}

/** Declares a table of rows. It is called as the field that it stands in, or `name`. */
export function table<Row extends object = any>(name?: string): Table<Row>;

/** The tables of a projection, as handlers see them. */
export type Tables<Declared> = {
  readonly [Field in keyof Declared]: Declared[Field] extends Table<infer Row> ? Rows<Row> : never;
};

/**
 * Handles the events of a type: a pure function of the event and the rows. It may run again for the same event, and nothing
 * but rows survives it.
 */
export type Handler<Declared> = (event: Event, tables: Tables<Declared>) => void;

/** The parts of a projection. */
export interface Definition<Declared> {
  /** 1 to 64 lower-case letters, digits, `-` and `_`. */
  name: string;
  /** Of the rows' shape: another one needs a full rebuild. */
  version: number;
  /** How much a handler does, and so how large a chunk is: 1000, 500 (the default), 250 or 100 events. */
  complexity?: "simple" | "standard" | "complex" | "integration";
  /** Events in a chunk, instead of what the complexity suggests. */
  chunkSize?: number;
  /** `stream`: no row is touched by two streams, so that streams may be handled in parallel. By default `none`. */
  partitioning?: "none" | "stream";
  /** The tables that it reads and writes. */
  tables: Declared;
  /** A handler by event type; `*` is the handler of every type that has none of its own. */
  handlers: { [type: string]: Handler<Declared> };
}

/** A projection: the default export of a plugin's file. */
export interface Projection<Declared = any> extends Readonly<Definition<Declared>> {}

/** Defines a projection. */
export function projection<Declared extends Record<string, Table<any>>>(
  definition: Definition<Declared>,
): Projection<Declared>;

/** The event cannot be applied, now or ever: `throw permanent("no such order", { order: event.stream })`. */
export function permanent(message: string, details?: Record<string, unknown>): Error;

/** The event could not be applied this time; the host tries it again, with a pause. */
export function transient(message: string, details?: Record<string, unknown>): Error;

/** Stores a number as a float also where it is whole, `1` as `1.0`. Other whole numbers are stored as integers. */
export function float(number: number): number;

/** Lines for the operator. They never reach the read model. */
export const log: Readonly<Record<"error" | "warn" | "info" | "debug" | "trace", (...words: unknown[]) => void>>;
