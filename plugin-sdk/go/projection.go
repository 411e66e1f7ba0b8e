// Package unspool is for authors of projections in Go: typed handlers over typed tables, tested natively, compiled to one
// WebAssembly component.
//
// A projection is a function from events to rows. It declares its tables and handlers, and exports itself:
//
//	var payments = unspool.New("payments", 1)
//	var customers = unspool.NewTable[Customer](payments, "customers")
//
//	func init() {
//		unspool.On(payments, "PaymentReceived", received)
//		unspool.Export(payments)
//	}
//
//	func received(event *unspool.Event, payment PaymentReceived) error {
//		customer := customers.Edit(event, payment.Customer)
//		customer.Payments++
//		customer.Cents += payment.Cents
//		return nil
//	}
//
// A handler is a pure function of the event and the rows: it sees no clock, no randomness, no files, and nothing that it keeps
// in a variable outlives the call of the host. The package has no dependencies beyond the standard library.
package unspool

import (
	"fmt"
	"reflect"
)

// Projection is a projection in the making: its name, its tables and its handlers.
type Projection struct {
	name     string
	version  uint32
	options  options
	tables   []*tableType
	types    []string
	handlers map[string]func(*Event) error
}

type options struct {
	complexity   string
	chunkSize    uint32
	partitioning string
}

// Option is what a projection may say about itself beyond its name and version.
type Option func(*options)

// Complexity says how many events a chunk has: "simple" 1000, "standard" 500 (the default), "complex" 250, "integration" 100.
func Complexity(complexity string) Option { return func(o *options) { o.complexity = complexity } }

// ChunkSize says how many events a chunk has, instead of what the complexity says.
func ChunkSize(events uint32) Option { return func(o *options) { o.chunkSize = events } }

// PartitionedByStream says that no row which the events of one stream change is read or changed by those of another, so that
// streams may be handled in parallel.
func PartitionedByStream() Option { return func(o *options) { o.partitioning = "stream" } }

// New begins a projection. Its name has 1 to 64 lower-case letters, digits, '-' and '_'; version is that of its rows' shape:
// another one needs a full rebuild.
func New(name string, version uint32, more ...Option) *Projection {
	p := &Projection{name: name, version: version, handlers: map[string]func(*Event) error{}}
	for _, option := range more {
		option(&p.options)
	}
	return p
}

// On has handler handle the events of a type; "*" stands for all that have no handler of their own. The payload is decoded by
// the rules of [Unmarshal]; one that does not decode fails the event and names the field. A handler that does not look at it
// takes [Raw].
//
// On panics where the type has a handler already, or the payload's type cannot be decoded.
func On[P any](p *Projection, eventType string, handler func(*Event, P) error) {
	if _, taken := p.handlers[eventType]; taken {
		panic(fmt.Sprintf("unspool: two handlers for events of type %s", eventType))
	}
	decode := planOf(reflect.TypeFor[P]())
	p.types = append(p.types, eventType)
	p.handlers[eventType] = func(event *Event) error {
		var payload P
		r := reader{data: event.Data}
		if err := decode.read(&r, reflect.ValueOf(&payload).Elem()); err != nil {
			return undecodable("payload", event, err)
		}
		if err := r.ended(); err != nil {
			return undecodable("payload", event, err)
		}
		return handler(event, payload)
	}
}

func undecodable(part string, event *Event, err error) error {
	failure := Permanent("%s of %s: %v", part, event.Type, err)
	if at, ok := err.(*decodeError); ok && at.path != "" {
		failure.With("field", at.path)
	}
	return failure
}

// Event is one event of a chunk.
type Event struct {
	// Position is where the event stands in the source's order; positions grow, with gaps.
	Position uint64
	// ID is unique in the source.
	ID string
	// Stream is the entity that the event belongs to.
	Stream string
	// Type is the event type.
	Type string
	// Timestamp is when it happened, in milliseconds since 1970-01-01T00:00:00Z; it may repeat and go backwards.
	Timestamp int64
	// SchemaVersion is the version of the payload's shape; 1 unless the event says otherwise.
	SchemaVersion uint32
	// Data is the payload, one MessagePack value, and Metadata what was recorded beside it: see [Unmarshal].
	Data, Metadata []byte

	call *call
}

func (r *reader) event(event *Event) error {
	n, err := r.arrayLen()
	if err != nil {
		return err
	}
	if n < 8 {
		return fmt.Errorf("an event of %d elements; there are eight", n)
	}
	var version uint64
	for _, field := range []func() error{
		func() (err error) { event.Position, err = r.uint64(); return },
		func() (err error) { event.ID, err = r.text(); return },
		func() (err error) { event.Stream, err = r.text(); return },
		func() (err error) { event.Type, err = r.text(); return },
		func() (err error) { event.Timestamp, err = r.int64(); return },
		func() (err error) { version, err = r.uint64(); event.SchemaVersion = uint32(version); return },
		func() (err error) { event.Data, err = r.binary(); return },
		func() (err error) { event.Metadata, err = r.binary(); return },
	} {
		if err := field(); err != nil {
			return err
		}
	}
	// A later host may append facts.
	for ; n > 8; n-- {
		if err := r.skip(0); err != nil {
			return err
		}
	}
	return nil
}

func (p *Projection) describe() []byte {
	fields := map[string]any{"name": p.name, "version": p.version, "eventTypes": p.types}
	tables := []map[string]string{}
	for _, table := range p.tables {
		tables = append(tables, map[string]string{"name": table.name})
	}
	fields["tables"] = tables
	if p.options.complexity != "" {
		fields["complexity"] = p.options.complexity
	}
	if p.options.chunkSize != 0 {
		fields["chunkSize"] = p.options.chunkSize
	}
	if p.options.partitioning != "" {
		fields["partitioning"] = p.options.partitioning
	}
	frame, err := Marshal(fields)
	if err != nil {
		panic(err) // texts and numbers have a form
	}
	return frame
}
