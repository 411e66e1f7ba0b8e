// The payloads of orders. A field that is missing or of another type makes an event none of its kind.

import { permanent, type Event } from "unspool";

type Kind = "string" | "number";
type Shape = Record<string, Kind>;
type Payload<S extends Shape> = { [Field in keyof S]: S[Field] extends "string" ? string : number };

/** The payload of an event, with these fields; whole numbers of at most 2^53. */
export function payload<const S extends Shape>(event: Event, shape: S): Payload<S> {
  for (const [field, kind] of Object.entries(shape)) {
    const value = event.data?.[field];
    const fits = kind === "string" ? typeof value === "string" : Number.isSafeInteger(value);
    if (!fits) throw permanent(`payload of ${event.type}: \`${field}\` is no ${kind}`, { field });
  }
  return event.data;
}

export const created = { orderId: "string", customerId: "string" } as const;
export const item = { orderId: "string", sku: "string", qty: "number", unitPriceCents: "number" } as const;
export const confirmed = { orderId: "string", itemCount: "number", totalCents: "number", discountCents: "number" } as const;
export const payment = { orderId: "string", amountCents: "number" } as const;
export const ofOrder = { orderId: "string" } as const;
export const cancelled = { orderId: "string", refundCents: "number" } as const;

/** A number that is still exact. */
export function exact(number: number): number {
  if (!Number.isSafeInteger(number)) throw permanent("an amount exceeds 2^53");
  return number;
}
