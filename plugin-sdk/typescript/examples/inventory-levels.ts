// Stock by SKU: what is there, what is promised to confirmed orders, what left with shipped ones.
//
// Events such as `OrderShipped` say which order they are about and not what is in it, so the projection keeps what it needs
// to know about each order in a table of its own.

import { permanent, projection, table, type Rows, type Tables } from "unspool";
import { cancelled, confirmed, created, exact, item, ofOrder, payload, payment } from "./payload.ts";

/** Pieces of a SKU that are there before the first order. */
const INITIAL_STOCK = 1000;

/** The stock of one SKU, in pieces. Levels go below zero where more is sold than there is. */
type Level = {
  /** In the warehouse. */
  onHand: number;
  /** Of these, promised to confirmed orders. */
  reserved: number;
  /** On hand and not promised. */
  available: number;
  /** Gone for good. */
  shipped: number;
};

/** What must be known about an order. */
type Order = {
  /** Pieces by SKU. */
  lines: Record<string, number>;
  /** Whether the lines are, or were, reserved. */
  confirmed: boolean;
};

const tables = { stock: table<Level>(), orders: table<Order>() };

function known({ orders }: Tables<typeof tables>, order: string): Order {
  const found = orders.edit(order);
  if (!found) throw permanent("unknown order", { order });
  return found;
}

function eachLine(order: Order, stock: Rows<Level>, change: (level: Level, qty: number) => void) {
  stock.load(Object.keys(order.lines));
  for (const [sku, qty] of Object.entries(order.lines)) {
    const level = stock.edit(sku);
    if (!level) throw permanent("an order holds a SKU that has no stock", { sku });
    change(level, qty);
  }
}

export default projection({
  name: "inventory-levels",
  version: 1,
  complexity: "complex",
  tables,
  handlers: {
    OrderCreated(event, tables) {
      const { orderId } = payload(event, created);
      if (tables.orders.get(orderId)) throw permanent("order exists", { order: orderId });
      tables.orders.put(orderId, { lines: {}, confirmed: false });
    },

    ItemAdded(event, tables) {
      const { orderId, sku, qty } = payload(event, item);
      const order = known(tables, orderId);
      order.lines[sku] = exact((order.lines[sku] ?? 0) + qty);
      if (!tables.stock.get(sku))
        tables.stock.put(sku, { onHand: INITIAL_STOCK, reserved: 0, available: INITIAL_STOCK, shipped: 0 });
    },

    ItemRemoved(event, tables) {
      const { orderId, sku, qty } = payload(event, item);
      const order = known(tables, orderId);
      const held = order.lines[sku] ?? 0;
      if (held < qty) throw permanent("removes more than there is", { order: orderId, sku });
      if (held === qty) delete order.lines[sku];
      else order.lines[sku] = held - qty;
    },

    OrderConfirmed(event, tables) {
      const order = known(tables, payload(event, confirmed).orderId);
      order.confirmed = true;
      eachLine(order, tables.stock, (level, qty) => {
        level.reserved = exact(level.reserved + qty);
        level.available = exact(level.available - qty);
      });
    },

    PaymentReceived(event, tables) {
      known(tables, payload(event, payment).orderId);
    },

    OrderShipped(event, tables) {
      eachLine(known(tables, payload(event, ofOrder).orderId), tables.stock, (level, qty) => {
        level.onHand = exact(level.onHand - qty);
        level.reserved = exact(level.reserved - qty);
        level.shipped = exact(level.shipped + qty);
      });
    },

    OrderDelivered(event, tables) {
      known(tables, payload(event, ofOrder).orderId);
    },

    OrderCancelled(event, tables) {
      const order = known(tables, payload(event, cancelled).orderId);
      if (!order.confirmed) return;
      eachLine(order, tables.stock, (level, qty) => {
        level.reserved = exact(level.reserved - qty);
        level.available = exact(level.available + qty);
      });
    },

    // A type that orders do not have is a mistake of the log, not something to pass over.
    "*"(event) {
      throw permanent("unknown type", { type: event.type });
    },
  },
});
