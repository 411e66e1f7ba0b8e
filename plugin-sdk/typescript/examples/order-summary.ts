// One row per order: what it holds, what it costs, how far it came.

import { permanent, projection, table, type Event, type Tables } from "unspool";
import { cancelled, confirmed, created, exact, item, ofOrder, payload, payment } from "./payload.ts";

/** An order after the last event applied to it. Times are milliseconds since 1970-01-01T00:00:00Z. */
type Order = {
  customerId: string;
  status: "open" | "confirmed" | "paid" | "shipped" | "delivered" | "cancelled";
  /** Pieces by SKU. */
  lines: Record<string, number>;
  /** Pieces, over all lines. */
  itemCount: number;
  /** Before the discount. */
  totalCents: number;
  discountCents: number;
  paidCents: number;
  createdAt: number;
  confirmedAt: number | null;
  /** When the amount due was covered. */
  paidAt: number | null;
  shippedAt: number | null;
  deliveredAt: number | null;
  cancelledAt: number | null;
  lastEventAt: number;
  /** A letter per event, in order. */
  path: string;
  events: number;
  /** The position of the last event. */
  version: number | bigint;
};

const tables = { orders: table<Order>() };

function known({ orders }: Tables<typeof tables>, order: string): Order {
  const found = orders.edit(order);
  if (!found) throw permanent("unknown order", { order });
  return found;
}

/** Takes note of an event that was applied. */
function note(order: Order, letter: string, event: Event) {
  order.path += letter;
  order.events += 1;
  order.lastEventAt = event.timestamp;
  order.version = event.position;
}

export default projection({
  name: "order-summary",
  version: 1,
  complexity: "standard",
  partitioning: "stream",
  tables,
  handlers: {
    OrderCreated(event, tables) {
      const { orderId, customerId } = payload(event, created);
      if (tables.orders.get(orderId)) throw permanent("order exists", { order: orderId });
      const order: Order = {
        customerId, status: "open", lines: {}, itemCount: 0, totalCents: 0, discountCents: 0, paidCents: 0,
        createdAt: event.timestamp, confirmedAt: null, paidAt: null, shippedAt: null, deliveredAt: null, cancelledAt: null,
        lastEventAt: event.timestamp, path: "", events: 0, version: 0,
      };
      note(order, "C", event);
      tables.orders.put(orderId, order);
    },

    ItemAdded(event, tables) {
      const { orderId, sku, qty, unitPriceCents } = payload(event, item);
      const order = known(tables, orderId);
      order.lines[sku] = exact((order.lines[sku] ?? 0) + qty);
      order.itemCount = exact(order.itemCount + qty);
      order.totalCents = exact(order.totalCents + exact(qty * unitPriceCents));
      note(order, "A", event);
    },

    ItemRemoved(event, tables) {
      const { orderId, sku, qty, unitPriceCents } = payload(event, item);
      const order = known(tables, orderId);
      const held = order.lines[sku] ?? 0;
      if (held < qty) throw permanent("removes more than there is", { order: orderId, sku });
      if (held === qty) delete order.lines[sku];
      else order.lines[sku] = held - qty;
      order.itemCount = exact(order.itemCount - qty);
      order.totalCents = exact(order.totalCents - exact(qty * unitPriceCents));
      note(order, "R", event);
    },

    OrderConfirmed(event, tables) {
      const { orderId, discountCents } = payload(event, confirmed);
      const order = known(tables, orderId);
      order.status = "confirmed";
      order.confirmedAt = event.timestamp;
      order.discountCents = discountCents;
      note(order, "K", event);
    },

    PaymentReceived(event, tables) {
      const { orderId, amountCents } = payload(event, payment);
      const order = known(tables, orderId);
      order.paidCents = exact(order.paidCents + amountCents);
      if (order.status === "confirmed" && order.paidCents >= order.totalCents - order.discountCents) {
        order.status = "paid";
        order.paidAt = event.timestamp;
      }
      note(order, "P", event);
    },

    OrderShipped(event, tables) {
      const order = known(tables, payload(event, ofOrder).orderId);
      order.status = "shipped";
      order.shippedAt = event.timestamp;
      note(order, "S", event);
    },

    OrderDelivered(event, tables) {
      const order = known(tables, payload(event, ofOrder).orderId);
      order.status = "delivered";
      order.deliveredAt = event.timestamp;
      note(order, "D", event);
    },

    OrderCancelled(event, tables) {
      const order = known(tables, payload(event, cancelled).orderId);
      order.status = "cancelled";
      order.cancelledAt = event.timestamp;
      note(order, "X", event);
    },

    // A type that orders do not have is a mistake of the log, not something to pass over.
    "*"(event) {
      throw permanent("unknown type", { type: event.type });
    },
  },
});
