// Command payments says how often, and for how much, each customer paid.
package main

import "unspool"

type customer struct {
	Payments int64 `json:"payments"`
	Cents    int64 `json:"cents"`
}

type payment struct {
	Customer string `json:"customer"`
	Cents    int64  `json:"cents"`
}

var payments = unspool.New("payments", 1)
var customers = unspool.NewTable[customer](payments, "customers")

func init() {
	unspool.On(payments, "PaymentReceived", received)
	unspool.Export(payments)
}

func received(event *unspool.Event, payment payment) error {
	customer := customers.Edit(event, payment.Customer)
	customer.Payments++
	customer.Cents += payment.Cents
	return nil
}

func main() {}
