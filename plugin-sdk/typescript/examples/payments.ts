import { projection, table, type Event } from "unspool";

/** How often, and for how much, each customer paid. */
type Customer = { payments: number; cents: number };

type PaymentReceived = { customer: string; cents: number };

export default projection({
  name: "payments",
  version: 1,
  tables: { customers: table<Customer>() },
  handlers: {
    PaymentReceived({ data }: Event<PaymentReceived>, tables) {
      const customer = tables.customers.edit(data.customer, { payments: 0, cents: 0 });
      customer.payments += 1;
      customer.cents += data.cents;
    },
  },
});
