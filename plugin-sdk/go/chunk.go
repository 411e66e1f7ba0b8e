package unspool

import (
	"fmt"
	"math"
	"runtime"
	"strings"
)

// rows are those before the chunk: what the host answers.
type rows interface {
	getMany(table string, keys []string) [][]byte
	scan(table, prefix string, after *string, limit uint32) []row
}

type row struct {
	key      string
	document []byte
}

// outcome is what became of a chunk.
type outcome struct {
	handled uint32
	writes  []byte
	failure *Failure
}

// call is one pass over a chunk: the tables as its events have left them.
type call struct {
	rows    rows
	tables  []tableState
	current *Event
}

// handle handles a chunk. A failure costs nothing until it happens: then the events before it are handled once more, on tables
// that know nothing yet. Handlers are pure, so they come to the same writes, and the failed event has left no trace.
func (p *Projection) handle(chunk []byte, rows rows) outcome {
	limit, failure := uint32(math.MaxUint32), (*Failure)(nil)
	for {
		handled, writes, failed := p.fold(chunk, limit, rows)
		if failed == nil {
			return outcome{handled, writes, failure}
		}
		if handled >= limit {
			// Not pure: the second pass fails where the first did not. Without a failure there is nothing to pass on.
			handled = limit - 1
		}
		limit, failure = handled, failed
	}
}

func (p *Projection) fold(chunk []byte, limit uint32, rows rows) (handled uint32, writes []byte, failed *Failure) {
	call := &call{rows: rows, tables: make([]tableState, len(p.tables))}
	for i, table := range p.tables {
		call.tables[i] = table.open()
	}
	r := reader{data: chunk}
	n, err := r.arrayLen()
	if err != nil {
		return 0, nil, Permanent("the chunk frame is broken: %v", err)
	}
	for handled < uint32(n) && handled < limit {
		event := &Event{call: call}
		if err := r.event(event); err != nil {
			return handled, nil, Permanent("the chunk frame is broken: %v", err)
		}
		call.current = event
		if failed := p.dispatch(event); failed != nil {
			return handled, nil, failed
		}
		handled++
	}
	call.current = nil
	w := writer{}
	w.frame(len(chunk) / 2)
	for i, table := range p.tables {
		if at, failed := call.tables[i].emit(table.name, &w); failed != nil {
			return at.index(chunk), nil, failed
		}
	}
	return handled, w.data, nil
}

// index is the number of the event in its chunk.
func (e *Event) index(chunk []byte) uint32 {
	r := reader{data: chunk}
	n, _ := r.arrayLen()
	for i := range n {
		var event Event
		if r.event(&event) != nil || event.Position == e.Position {
			return uint32(i)
		}
	}
	return 0
}

func (p *Projection) dispatch(event *Event) (failed *Failure) {
	defer func() {
		if cause := recover(); cause != nil {
			if failure, ok := cause.(*Failure); ok {
				failed = failure
				return
			}
			failed = Permanent("panic: %v%s", cause, place())
		}
	}()
	handler, ok := p.handlers[event.Type]
	if !ok {
		if handler, ok = p.handlers["*"]; !ok {
			return Permanent("no handler for event type %s", event.Type).With("type", event.Type)
		}
	}
	before := goroutines()
	if err := handler(event); err != nil {
		return failureOf(err)
	}
	// One that has nothing left to do than to end, or to finish its work for this event, gets to it. Once is not enough: every
	// 61st time the scheduler takes this goroutine again.
	for tries := 0; goroutines() > before && tries < turns; tries++ {
		runtime.Gosched()
	}
	if goroutines() > before {
		return Permanent("the handler of %s returned while a goroutine of its was waiting; wait for it to end (sync.WaitGroup)", event.Type)
	}
	return nil
}

// turns is how often goroutines of a handler get their turn before they count as waiting.
const turns = 64

// place is where a panic began: the innermost function that is neither the runtime's nor of this package.
func place() string {
	var callers [32]uintptr
	frames := runtime.CallersFrames(callers[:runtime.Callers(3, callers[:])])
	for {
		frame, more := frames.Next()
		file := frame.File[strings.LastIndexByte(frame.File, '/')+1:]
		ours := strings.HasPrefix(frame.Function, "unspool.") && !strings.HasSuffix(file, "_test.go")
		if !ours && !strings.HasPrefix(frame.Function, "runtime.") {
			return fmt.Sprintf(" (%s:%d)", file, frame.Line)
		}
		if !more {
			return ""
		}
	}
}
