package main

import (
	"testing"
	"unspool"
)

func TestEveryPaymentOfACustomerCounts(t *testing.T) {
	paid := func(customer string, cents int64) unspool.Given {
		return unspool.Given{Type: "PaymentReceived", Data: payment{customer, cents}}
	}
	unspool.NewKit(t, payments).
		Given(paid("ada", 250), paid("bob", 100), paid("ada", 50)).
		Row("customers", "ada", customer{2, 300}).
		Row("customers", "bob", customer{1, 100}).
		Keys("customers", "ada", "bob")
}

func TestAPaymentOfNobodyFails(t *testing.T) {
	event, failure := unspool.NewKit(t, payments).
		Given(unspool.Given{Type: "PaymentReceived", Data: map[string]any{"cents": 250}}).
		Fails()
	if event != 0 || failure.Message != "payload of PaymentReceived: customer: missing" {
		t.Fatalf("event %d: %v", event, failure)
	}
}
