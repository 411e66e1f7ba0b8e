import type { Event, Json, Projection } from "unspool";

/** What an event is given with, where it is not left to the kit. */
export type Given = Partial<Pick<Event, "position" | "id" | "stream" | "timestamp" | "schemaVersion" | "metadata">>;

/** The event that failed, counted from 0, and why. */
export interface Failed {
  event: number;
  kind: "permanent" | "transient";
  message: string;
  details: Record<string, unknown>;
}

/**
 * Events for a projection. Every question about the outcome handles them again in chunks of 1, 2, 3, 10 and all of them, and
 * throws where the outcomes differ: how events are cut into chunks must not show.
 */
export interface Kit {
  /**
   * Adds an event. Unless given otherwise its position follows the one before (the first is 1), its id is `event-POSITION`,
   * its stream `stream`, its timestamp `POSITION` seconds after 1970 and its schema version 1.
   */
  given(type: string, data?: unknown, more?: Given): Kit;
  /** A row; undefined where there is none. Throws when an event failed. */
  row(table: string, key: string): any;
  /** The rows of a table by key. Throws when an event failed. */
  rows(table: string): Record<string, any>;
  /** The failure that ended the fold. Throws when no event failed. */
  failure(): Failed;
}

export function kit(projection: Projection<any>): Kit;
