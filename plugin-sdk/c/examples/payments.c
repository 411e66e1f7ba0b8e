/* How often, and for how much, each customer paid. */

#include "unspool.h"

const unspool_projection unspool_plugin = {
    .name = "payments",
    .version = 1,
    .event_types = (const char *const[]){"PaymentReceived", NULL},
    .tables = (const char *const[]){"customers", NULL},
};

void unspool_handle(const unspool_event *event) {
  unspool_text customer = unspool_str(event->data, "customer");
  int64_t cents = unspool_int(event->data, "cents"), payments = 1;
  if (unspool_failed()) return;

  unspool_value row = unspool_get("customers", customer);
  if (row.at) {
    payments += unspool_int(row, "payments");
    cents += unspool_int(row, "cents");
  }

  unspool_writer changed = {0};
  unspool_put_map(&changed, 2);
  unspool_put_str(&changed, "payments");
  unspool_put_int(&changed, payments);
  unspool_put_str(&changed, "cents");
  unspool_put_int(&changed, cents);
  unspool_put("customers", customer, &changed);
}
