from payments import payments
from unspool_kit import Kit


def paid(kit, customer, cents):
    return kit.given("PaymentReceived", {"customer": customer, "cents": cents})


def test_every_payment_of_a_customer_counts():
    kit = paid(paid(paid(Kit(payments), "ada", 250), "bob", 100), "ada", 50)
    assert kit.rows("customers") == {"ada": {"payments": 2, "cents": 300}, "bob": {"payments": 1, "cents": 100}}


def test_a_payment_of_nobody_fails():
    event, (kind, message, _) = Kit(payments).given("PaymentReceived", {"cents": 250}).fails()
    assert (event, kind) == (0, "permanent")
    assert message.startswith("KeyError: customer (payments.py:")
