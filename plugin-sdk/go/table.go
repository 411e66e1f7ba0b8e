package unspool

import (
	"iter"
	"reflect"
	"sort"
	"strings"
)

const (
	keyBytes = 4096 // of a row's key
	readKeys = 4096 // requested in one read
	scanRows = 1000 // requested in one page of a scan
)

// Table is a table of the read model with rows of type R, a struct or a map: see [Marshal]. Rows are stored by field name.
//
// Every method takes the event in whose handler it is called, and keeps every row that it has read or written until the call
// of the host ends: a handler sees its own writes. A key that is empty or longer than 4096 bytes, and a stored row that does
// not decode as R, fail the event for good; the handler does not return then.
type Table[R any] struct {
	at   int
	name string
	plan *plan
}

type tableType struct {
	name string
	open func() tableState
}

type tableState interface {
	emit(table string, w *writer) (*Event, *Failure)
}

// NewTable adds a table to a projection.
//
// NewTable panics where the projection has one of that name already, or rows of type R cannot be stored.
func NewTable[R any](p *Projection, name string) *Table[R] {
	for _, table := range p.tables {
		if table.name == name {
			panic("unspool: two tables named " + name)
		}
	}
	plan := planOf(reflect.TypeFor[R]())
	p.tables = append(p.tables, &tableType{name, func() tableState { return &cache[R]{plan: plan, rows: map[string]*cached[R]{}} }})
	return &Table[R]{len(p.tables) - 1, name, plan}
}

// cache is what a call knows of a table.
type cache[R any] struct {
	plan    *plan
	rows    map[string]*cached[R]
	order   []*cached[R]
	scanned []string
}

type cached[R any] struct {
	key string
	// row is nil where there is none.
	row *R
	// stored says what the host has under the key.
	stored  stored
	changed bool
	// by is the event that has changed it last.
	by *Event
}

type stored int8

const (
	unread stored = iota
	absent
	present
)

// Get returns the row of key, and whether there is one. It is a copy: [Table.Edit] and [Table.Put] change rows.
func (t *Table[R]) Get(event *Event, key string) (R, bool) {
	c := t.read(event, key)
	if c.row == nil {
		var none R
		return none, false
	}
	return *c.row, true
}

// Edit returns the row of key, to change it, or a new one with zero values where there is none. It is written when the call
// ends.
func (t *Table[R]) Edit(event *Event, key string) *R {
	c := t.read(event, key)
	if c.row == nil {
		c.row = new(R)
	}
	c.changed, c.by = true, event
	return c.row
}

// Put writes the row of key, over any that is there, and without reading it.
func (t *Table[R]) Put(event *Event, key string, row R) { t.write(event, key, &row) }

// Delete deletes the row of key, if there is one, and without reading it.
func (t *Table[R]) Delete(event *Event, key string) { t.write(event, key, nil) }

// Load reads the rows of keys in one call to the host, so that looking at them later costs none.
func (t *Table[R]) Load(event *Event, keys ...string) {
	cache := t.cache(event)
	var wanted []string
	for _, key := range keys {
		t.check(key)
		if c := cache.rows[key]; c == nil && !cache.isScanned(key) {
			cache.add(key)
			wanted = append(wanted, key)
		}
	}
	for len(wanted) > 0 {
		part := wanted[:min(len(wanted), readKeys)]
		wanted = wanted[len(part):]
		for i, document := range event.call.rows.getMany(t.name, part) {
			cache.rows[part[i]].hold(t, document)
		}
	}
}

// Scan goes through the rows whose keys start with prefix, ascending by the bytes of their keys: the host's, and what this call
// has made of them. All of them are kept until it ends, so they must fit into the plugin's memory; a second scan of the
// prefix asks the host nothing.
func (t *Table[R]) Scan(event *Event, prefix string) iter.Seq2[string, R] {
	cache := t.cache(event)
	if !cache.isScanned(prefix) {
		t.readPrefix(event, cache, prefix)
		cache.scanned = append(cache.scanned, prefix)
	}
	var found []*cached[R]
	for _, c := range cache.order {
		if c.row != nil && strings.HasPrefix(c.key, prefix) {
			found = append(found, c)
		}
	}
	sort.Slice(found, func(i, j int) bool { return found[i].key < found[j].key })
	return func(yield func(string, R) bool) {
		for _, c := range found {
			// The body of the loop may have deleted it.
			if c.row != nil && !yield(c.key, *c.row) {
				return
			}
		}
	}
}

func (t *Table[R]) readPrefix(event *Event, cache *cache[R], prefix string) {
	var after *string
	for {
		page := event.call.rows.scan(t.name, prefix, after, scanRows)
		if len(page) == 0 {
			return
		}
		for _, row := range page {
			c := cache.rows[row.key]
			if c == nil {
				c = cache.add(row.key)
			}
			if c.stored == unread {
				c.hold(t, row.document)
			}
		}
		after = &page[len(page)-1].key
	}
}

// cache is that of the call in which event is handled. An event whose handler has returned is a goroutine's: what it does now
// would be a part of whatever event is handled next.
func (t *Table[R]) cache(event *Event) *cache[R] {
	if event.call == nil || event.call.current != event {
		panic(Permanent("table %s is used for event %s (%s), whose handler has returned; a goroutine has to end before it", t.name, event.ID, event.Type))
	}
	if t.at >= len(event.call.tables) {
		panic(Permanent("table %s is not of the projection that handles event %s", t.name, event.ID))
	}
	cache, ok := event.call.tables[t.at].(*cache[R])
	if !ok {
		panic(Permanent("table %s is not of the projection that handles event %s", t.name, event.ID))
	}
	return cache
}

func (t *Table[R]) read(event *Event, key string) *cached[R] {
	cache := t.cache(event)
	c := cache.rows[key]
	if c != nil && (c.changed || c.stored != unread) {
		return c
	}
	t.check(key)
	if c == nil {
		c = cache.add(key)
	}
	if cache.isScanned(key) {
		c.stored = absent
	} else {
		c.hold(t, event.call.rows.getMany(t.name, []string{key})[0])
	}
	return c
}

func (t *Table[R]) write(event *Event, key string, row *R) {
	cache := t.cache(event)
	c := cache.rows[key]
	if c == nil {
		t.check(key)
		c = cache.add(key)
		if cache.isScanned(key) {
			c.stored = absent
		}
	}
	c.row, c.changed, c.by = row, true, event
}

func (t *Table[R]) check(key string) {
	if key == "" {
		panic(Permanent("a key of table %s is empty", t.name))
	}
	if len(key) > keyBytes {
		panic(Permanent("a key of table %s has %d bytes; %d are allowed", t.name, len(key), keyBytes))
	}
}

func (c *cache[R]) add(key string) *cached[R] {
	added := &cached[R]{key: key}
	c.rows[key] = added
	c.order = append(c.order, added)
	return added
}

func (c *cache[R]) isScanned(key string) bool {
	for _, prefix := range c.scanned {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}

// hold takes note of what the host has. What this call has written holds.
func (c *cached[R]) hold(t *Table[R], document []byte) {
	if document == nil {
		c.stored = absent
		return
	}
	c.stored = present
	if c.changed {
		return
	}
	row := new(R)
	r := reader{data: document}
	err := t.plan.read(&r, reflect.ValueOf(row).Elem())
	if err == nil {
		err = r.ended()
	}
	if err != nil {
		panic(Permanent("the stored row %s/%s is not what this plugin writes: %v", t.name, c.key, err).With("table", t.name).With("key", c.key))
	}
	c.row = row
}

// emit adds what has changed to a write frame, in the order in which the rows were first looked at. The event of a failure is
// the one that changed the row last.
func (c *cache[R]) emit(table string, w *writer) (*Event, *Failure) {
	for _, row := range c.order {
		switch {
		case !row.changed:
		case row.row != nil:
			w.header(table, row.key)
			if err := w.document(c.plan, reflect.ValueOf(row.row).Elem()); err != nil {
				return row.by, Permanent("the row %s/%s cannot be stored: %v", table, row.key, err).With("table", table).With("key", row.key)
			}
		// A row that this call made and deleted again never existed for anybody else.
		case row.stored != absent:
			w.header(table, row.key)
			w.null()
		}
	}
	return nil, nil
}
