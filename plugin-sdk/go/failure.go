package unspool

import "fmt"

// Failure is why an event could not be handled, for the operator. Made by [Permanent] and [Transient]; any other error that a
// handler returns is permanent.
type Failure struct {
	Kind    string
	Message string
	Details []Detail
}

// Detail is a fact beside the message.
type Detail struct{ Name, Value string }

// Permanent says that the event cannot be applied, now or ever.
func Permanent(format string, arguments ...any) *Failure {
	return &Failure{Kind: "permanent", Message: fmt.Sprintf(format, arguments...)}
}

// Transient says that the event could not be applied this time. Rare in a pure function; the host tries the event again, with
// pauses.
func Transient(format string, arguments ...any) *Failure {
	return &Failure{Kind: "transient", Message: fmt.Sprintf(format, arguments...)}
}

// With adds a fact, such as the row that is missing. Details keep the order in which they are added.
func (f *Failure) With(name string, value any) *Failure {
	f.Details = append(f.Details, Detail{name, fmt.Sprint(value)})
	return f
}

func (f *Failure) Error() string { return f.Message }

func failureOf(err error) *Failure {
	if failure, ok := err.(*Failure); ok {
		return failure
	}
	// A wrapped failure keeps its kind and its details, and says what was put around it.
	for inner := err; inner != nil; {
		wrapper, ok := inner.(interface{ Unwrap() error })
		if !ok {
			break
		}
		inner = wrapper.Unwrap()
		if failure, ok := inner.(*Failure); ok {
			return &Failure{Kind: failure.Kind, Message: err.Error(), Details: failure.Details}
		}
	}
	return Permanent("%v", err)
}
