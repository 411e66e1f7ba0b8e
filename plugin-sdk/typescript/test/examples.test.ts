// The examples under a Node that takes TypeScript as it is: `node --test` from version 22.18 on.

import assert from "node:assert/strict";
import { test } from "node:test";
import { kit } from "unspool/testing";
import orderSummary from "../examples/order-summary.ts";
import payments from "../examples/payments.ts";
import processMap from "../examples/process-map.ts";

test("payments of a customer add up", () => {
  const paid = kit(payments).given("PaymentReceived", { customer: "ada", cents: 250 }).given("PaymentReceived", { customer: "ada", cents: 250 });
  assert.deepEqual(paid.row("customers", "ada"), { payments: 2, cents: 500 });
});

test("an order that nobody created is unknown", () => {
  const failed = kit(orderSummary).given("OrderShipped", { orderId: "1" }).failure();
  assert.deepEqual([failed.message, failed.details], ["unknown order", { order: "1" }]);
});

test("a process has its steps", () => {
  const steps = kit(processMap).given("Created").given("Paid").given("Created", {}, { stream: "other" });
  assert.deepEqual(steps.rows("follows"), { "Created -> Paid": { from: "Created", to: "Paid", count: 1 } });
  assert.deepEqual(steps.rows("ends"), { Created: { count: 1 }, Paid: { count: 1 } });
});
