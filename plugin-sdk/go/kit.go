package unspool

// The native test kit: given events, expect rows.

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"sort"
	"strings"
)

// T is what the kit needs of a *testing.T.
type T interface {
	Helper()
	Fatalf(format string, arguments ...any)
}

// Given is an event for a test. What is left out: positions count from 1, the ID is event-POSITION, the stream "stream", the
// timestamp a second after 1970 for each position, the schema version 1, payload and metadata empty maps.
type Given struct {
	Type           string
	Data, Metadata any
	ID, Stream     string
	Position       uint64
	Timestamp      int64
	SchemaVersion  uint32
}

// chunkSizes are those in which the kit handles events; the last holds all.
var chunkSizes = []int{1, 2, 3, 10, math.MaxInt}

// Kit is a projection and events for it. Every question handles the events again in chunks of 1, 2, 3, 10 and all of them, and
// fails the test where the rows differ: how events are cut into chunks must not show.
//
// It runs the handlers natively. In the plugin files, clocks, randomness and the network are not there: see the page on Go.
type Kit struct {
	t          T
	projection *Projection
	events     []Given
}

// NewKit begins a test without events.
func NewKit(t T, p *Projection) *Kit {
	t.Helper()
	if len(p.tables) == 0 || len(p.types) == 0 {
		t.Fatalf("projection %s has no tables or no handlers", p.name)
	}
	return &Kit{t: t, projection: p}
}

// Given adds events.
func (k *Kit) Given(events ...Given) *Kit {
	return &Kit{k.t, k.projection, append(append([]Given{}, k.events...), events...)}
}

// Row compares a row with what it should be; nil stands for none. Both are compared as they are stored.
func (k *Kit) Row(table, key string, expected any) *Kit {
	k.t.Helper()
	rows := k.rows(table)
	document, there := rows[key]
	switch {
	case !there && expected == nil:
	case !there:
		k.t.Fatalf("%s has no row %q; it has %s", table, key, strings.Join(keysOf(rows), ", "))
	case expected == nil:
		k.t.Fatalf("%s/%s is %s, and should not be there", table, key, shown(document))
	default:
		if want := k.stored(expected); !reflect.DeepEqual(decoded(document), decoded(want)) {
			k.t.Fatalf("%s/%s is %s, and should be %s", table, key, shown(document), shown(want))
		}
	}
	return k
}

// Keys compares the keys of a table, which are sorted.
func (k *Kit) Keys(table string, expected ...string) *Kit {
	k.t.Helper()
	if keys := keysOf(k.rows(table)); strings.Join(keys, "\x00") != strings.Join(expected, "\x00") {
		k.t.Fatalf("%s has the keys %q, and should have %q", table, keys, expected)
	}
	return k
}

// Fails is the failure that ends the events, and the number of the event, counted from 0, that it is about. The test fails where
// there is none.
func (k *Kit) Fails() (event int, failure *Failure) {
	k.t.Helper()
	folded := k.fold()
	if folded.failure == nil {
		k.t.Fatalf("all %d events are handled", len(k.events))
	}
	return folded.handled, folded.failure
}

func (k *Kit) rows(table string) map[string][]byte {
	k.t.Helper()
	folded := k.fold()
	if folded.failure != nil {
		k.t.Fatalf("event %d (%s) fails: %v", folded.handled, k.events[folded.handled].Type, folded.failure)
	}
	for _, known := range k.projection.tables {
		if known.name == table {
			return folded.rows[table]
		}
	}
	k.t.Fatalf("projection %s has no table %s", k.projection.name, table)
	return nil
}

func (k *Kit) stored(value any) []byte {
	k.t.Helper()
	document, err := Marshal(value)
	if err != nil {
		k.t.Fatalf("what is expected cannot be stored: %v", err)
	}
	return document
}

type folded struct {
	rows    memoryRows
	handled int
	failure *Failure
}

func (k *Kit) fold() folded {
	k.t.Helper()
	var first folded
	for i, size := range chunkSizes {
		next := k.foldInChunks(size)
		if i == 0 {
			first = next
		} else if difference := first.difference(next); difference != "" {
			k.t.Fatalf("chunks of %s and chunks of 1 come to different rows: %s", sizeText(size), difference)
		}
	}
	return first
}

func sizeText(size int) string {
	if size == math.MaxInt {
		return "all events"
	}
	return fmt.Sprint(size)
}

func (f folded) difference(other folded) string {
	if f.handled != other.handled || !reflect.DeepEqual(f.failure, other.failure) {
		return fmt.Sprintf("%d events are handled, then %v; %d, then %v", other.handled, other.failure, f.handled, f.failure)
	}
	for table := range f.rows {
		for _, key := range keysOf(f.rows[table]) {
			if document, there := other.rows[table][key]; !there || !reflect.DeepEqual(decoded(document), decoded(f.rows[table][key])) {
				return fmt.Sprintf("%s/%s is %s, and %s", table, key, shown(document), shown(f.rows[table][key]))
			}
		}
	}
	for table := range other.rows {
		for _, key := range keysOf(other.rows[table]) {
			if _, there := f.rows[table][key]; !there {
				return fmt.Sprintf("%s/%s is %s, and not there", table, key, shown(other.rows[table][key]))
			}
		}
	}
	return ""
}

func (k *Kit) foldInChunks(size int) folded {
	k.t.Helper()
	rows, done, position := memoryRows{}, 0, uint64(0)
	for from := 0; from < len(k.events); {
		to := min(len(k.events), from+min(size, len(k.events)))
		var w writer
		w.arrayLen(to - from)
		for _, event := range k.events[from:to] {
			position = k.encode(&w, event, position)
		}
		outcome := k.projection.handle(w.data, rows)
		rows.apply(outcome.writes)
		done += int(outcome.handled)
		if outcome.failure != nil {
			return folded{rows, done, outcome.failure}
		}
		from = to
	}
	return folded{rows, done, nil}
}

func (k *Kit) encode(w *writer, event Given, before uint64) uint64 {
	k.t.Helper()
	position := event.Position
	if position == 0 {
		position = before + 1
	}
	either := func(text, otherwise string) string {
		if text == "" {
			return otherwise
		}
		return text
	}
	part := func(value any) []byte {
		if value == nil {
			return []byte{0x80}
		}
		return k.stored(value)
	}
	if event.Timestamp == 0 {
		event.Timestamp = int64(position) * 1000
	}
	w.arrayLen(8)
	w.uint64(position)
	w.text(either(event.ID, fmt.Sprintf("event-%d", position)))
	w.text(either(event.Stream, "stream"))
	w.text(event.Type)
	w.int64(event.Timestamp)
	w.uint64(uint64(max(event.SchemaVersion, 1)))
	w.binary(part(event.Data))
	w.binary(part(event.Metadata))
	return position
}

// memoryRows are rows as the host keeps them, by table and key.
type memoryRows map[string]map[string][]byte

func (m memoryRows) getMany(table string, keys []string) [][]byte {
	documents := make([][]byte, len(keys))
	for i, key := range keys {
		documents[i] = m[table][key]
	}
	return documents
}

func (m memoryRows) scan(table, prefix string, after *string, limit uint32) []row {
	var found []row
	for _, key := range keysOf(m[table]) {
		if strings.HasPrefix(key, prefix) && (after == nil || key > *after) && len(found) < int(limit) {
			found = append(found, row{key, m[table][key]})
		}
	}
	return found
}

func (m memoryRows) apply(frame []byte) {
	r := reader{data: frame}
	n, _ := r.arrayLen()
	for range n {
		r.arrayLen()
		table, _ := r.text()
		key, _ := r.text()
		if m[table] == nil {
			m[table] = map[string][]byte{}
		}
		if r.isNull() {
			r.at++
			delete(m[table], key)
			continue
		}
		document, _ := r.binary()
		m[table][key] = bytes.Clone(document)
	}
}

func keysOf(rows map[string][]byte) []string {
	keys := make([]string, 0, len(rows))
	for key := range rows {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}

func decoded(document []byte) any {
	var value any
	if Unmarshal(document, &value) != nil {
		return nil
	}
	return value
}

func shown(document []byte) string {
	if document == nil {
		return "not there"
	}
	return fmt.Sprintf("%v", decoded(document))
}
