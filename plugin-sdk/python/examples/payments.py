"""How often, and for how much, each customer paid."""

from unspool import Projection

payments = Projection("payments", version=1, tables=["customers"])


@payments.on("PaymentReceived")
def received(event, tables):
    customer = tables.customers.edit(event.data["customer"], {"payments": 0, "cents": 0})
    customer["payments"] += 1
    customer["cents"] += event.data["cents"]
