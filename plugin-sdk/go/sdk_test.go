package unspool

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
)

// mock is a T that keeps what it is told.
type mock struct{ failed string }

func (m *mock) Helper()                      {}
func (m *mock) Fatalf(f string, args ...any) { m.failed = fmt.Sprintf(f, args...); panic(m) }

func failing(test func(T)) (failed string) {
	m := &mock{}
	defer func() {
		if cause := recover(); cause != nil && cause != any(m) {
			panic(cause)
		}
		failed = m.failed
	}()
	test(m)
	return ""
}

func TestIntegersAreExactAtEveryBound(t *testing.T) {
	for _, n := range []int64{0, 1, 127, 128, 255, 256, 65535, 65536, 1 << 32, 1<<53 - 1, 1<<53 + 1, math.MaxInt64, -1, -32, -33, -128, -129, math.MinInt64} {
		b, err := Marshal(n)
		var back int64
		if err != nil || Unmarshal(b, &back) != nil || back != n {
			t.Errorf("%d comes back as %d (%v)", n, back, err)
		}
		var loose any
		if Unmarshal(b, &loose) != nil || loose != any(n) {
			t.Errorf("%d comes back as %v", n, loose)
		}
	}
	for _, n := range []uint64{1 << 63, math.MaxUint64} {
		b, _ := Marshal(n)
		var back uint64
		if err := Unmarshal(b, &back); err != nil || back != n {
			t.Errorf("%d comes back as %d (%v)", n, back, err)
		}
		var signed int64
		if err := Unmarshal(b, &signed); err == nil {
			t.Errorf("%d comes back as %d", n, signed)
		}
	}
}

func TestEveryEncodingOfAnIntegerIsRead(t *testing.T) {
	for _, b := range [][]byte{{7}, {0xcc, 7}, {0xcd, 0, 7}, {0xce, 0, 0, 0, 7}, {0xcf, 0, 0, 0, 0, 0, 0, 0, 7}, {0xd0, 7}, {0xd1, 0, 7}, {0xd2, 0, 0, 0, 7}, {0xd3, 0, 0, 0, 0, 0, 0, 0, 7}} {
		var n uint8
		if err := Unmarshal(b, &n); err != nil || n != 7 {
			t.Errorf("%x: %d, %v", b, n, err)
		}
	}
	for _, b := range [][]byte{{0xfe}, {0xd0, 0xfe}, {0xd1, 0xff, 0xfe}, {0xd2, 0xff, 0xff, 0xff, 0xfe}} {
		var n int
		if err := Unmarshal(b, &n); err != nil || n != -2 {
			t.Errorf("%x: %d, %v", b, n, err)
		}
	}
}

type inner struct {
	Lines []int8         `json:"lines"`
	More  map[string]any `json:"more,omitempty"`
}

type outer struct {
	Name  string  `json:"name"`
	Note  *string `json:"note"`
	Ratio float64 `json:"ratio"`
	Inner inner   `json:"inner"`
	Bytes []byte  `json:"bytes"`
}

func TestWhatIsStoredComesBack(t *testing.T) {
	value := outer{"ada", nil, 1.5, inner{[]int8{1, -2}, map[string]any{"b": []any{int64(1), nil, true}, "a": "x"}}, []byte{0, 255}}
	document, err := Marshal(value)
	var back outer
	if err != nil || Unmarshal(document, &back) != nil || !reflect.DeepEqual(value, back) {
		t.Fatalf("%+v comes back as %+v (%v)", value, back, err)
	}
	for range 20 {
		if again, _ := Marshal(value); !reflect.DeepEqual(document, again) {
			t.Fatal("the same value has two forms")
		}
	}
	for n := range document {
		if Unmarshal(document[:n], &back) == nil {
			t.Fatalf("%d bytes of %d are enough", n, len(document))
		}
	}
}

func TestWhatCannotBeStoredIsNamed(t *testing.T) {
	deep := any(1)
	for range 70 {
		deep = []any{deep}
	}
	for _, c := range []struct {
		value    any
		expected string
	}{
		{map[string]any{"a": map[string]float64{"avg": math.NaN()}}, "a.avg: NaN"},
		{[]any{math.Inf(1)}, "[0]: +Inf"},
		{map[string]any{"name": "\xff"}, "name: text that is not UTF-8"},
		{deep, "64 levels"},
	} {
		if _, err := Marshal(c.value); err == nil || !strings.Contains(err.Error(), c.expected) {
			t.Errorf("%v should say %s", err, c.expected)
		}
	}
	for _, c := range []struct{ value, expected any }{
		{make(chan int), "chan int cannot be stored"},
		{map[int]string{}, "map[int]string cannot be stored"},
		{struct{ total int }{}, "total"},
		{struct{ inner }{}, "embedded"},
		{struct {
			A int `json:"a,string"`
		}{}, "omitempty is the only option"},
	} {
		func() {
			defer func() {
				if cause := fmt.Sprint(recover()); !strings.Contains(cause, c.expected.(string)) {
					t.Errorf("%v should say %v", cause, c.expected)
				}
			}()
			Marshal(c.value)
		}()
	}
}

func TestWhatDoesNotFitIsRefusedByItsName(t *testing.T) {
	for _, c := range []struct {
		payload  any
		expected string
	}{
		{map[string]any{"name": "x", "ratio": 1.5, "bytes": []byte{}}, "inner: missing"},
		{map[string]any{"name": 1, "ratio": 1.5, "bytes": []byte{}}, "name: an integer where text belongs"},
		{map[string]any{"inner": map[string]any{"lines": []any{1, 300}}}, "inner.lines[1]: 300 does not fit into an int8"},
		{map[string]any{"inner": map[string]any{"lines": []any{1.0}}}, "inner.lines[0]: a float where an integer belongs"},
		{map[string]any{"inner": nil}, "inner: null where a map belongs"},
		{map[string]any{"ratio": int64(1<<53 + 1)}, "ratio: an integer beyond 2^53"},
		{map[string]any{"bytes": "text"}, "bytes: text where bytes belongs"},
	} {
		document, _ := Marshal(c.payload)
		var into outer
		if err := Unmarshal(document, &into); err == nil || err.Error() != c.expected && !strings.HasPrefix(err.Error(), c.expected) {
			t.Errorf("%v should say %s", err, c.expected)
		}
	}
}

type count struct {
	Count int64   `json:"count"`
	Avg   float64 `json:"avg"`
}

func counting() (*Projection, *Table[count]) {
	p := New("counting", 1)
	return p, NewTable[count](p, "counts")
}

func TestAFailureLeavesNoTraceAndKeepsWhatWasBefore(t *testing.T) {
	p, counts := counting()
	On(p, "Fine", func(e *Event, _ Raw) error { counts.Edit(e, e.Stream).Count++; return nil })
	On(p, "Fail", func(e *Event, _ Raw) error {
		counts.Edit(e, "trace").Count++
		return fmt.Errorf("order %s: %w", e.ID, Transient("not now").With("stream", e.Stream))
	})
	On(p, "Panic", func(e *Event, _ Raw) error { var m map[string]int; m["a"] = 1; return nil })
	On(p, "Plain", func(e *Event, _ Raw) error { return errors.New("no") })
	On(p, "Empty", func(e *Event, _ Raw) error { counts.Edit(e, ""); return nil })
	On(p, "NaN", func(e *Event, _ Raw) error {
		counts.Edit(e, "nan").Avg = math.Log(-1)
		return nil
	})
	fine := Given{Type: "Fine"}
	for _, c := range []struct{ kind, expected string }{
		{"Fail", "order event-3: not now"}, {"Panic", "panic: assignment to entry in nil map (sdk_test.go:"}, {"Plain", "no"},
		{"Empty", "a key of table counts is empty"}, {"NaN", "the row counts/nan cannot be stored: avg: NaN"}, {"Unknown", "no handler for event type Unknown"},
	} {
		kit := NewKit(t, p).Given(fine, fine, Given{Type: c.kind}, fine)
		event, failure := kit.Fails()
		if event != 2 || !strings.HasPrefix(failure.Message, c.expected) {
			t.Errorf("event %d: %v should say %s", event, failure, c.expected)
		}
		if (c.kind == "Fail") != (failure.Kind == "transient") || c.kind == "Fail" && failure.Details[0] != (Detail{"stream", "stream"}) {
			t.Errorf("%s is %+v", c.kind, failure)
		}
		if rows := kit.fold().rows["counts"]; len(rows) != 1 {
			t.Errorf("%s leaves %v", c.kind, rows)
		}
	}
}

func TestTablesShowWhatTheChunkHasDone(t *testing.T) {
	p, counts := counting()
	On(p, "Put", func(e *Event, n int64) error { counts.Put(e, e.Stream, count{Count: n}); return nil })
	On(p, "Delete", func(e *Event, _ Raw) error { counts.Delete(e, e.Stream); return nil })
	On(p, "Sum", func(e *Event, _ Raw) error {
		counts.Load(e, "a", "nobody", "c")
		if _, there := counts.Get(e, "nobody"); there {
			return Permanent("there is nobody")
		}
		sum := int64(0)
		for key, row := range counts.Scan(e, "") {
			if key != "sum" {
				sum = 10*sum + row.Count
			}
		}
		counts.Put(e, "sum", count{Count: sum})
		return nil
	})
	put := func(stream string, n int64) Given { return Given{Type: "Put", Stream: stream, Data: n} }
	NewKit(t, p).Given(put("c", 3), put("a", 1), put("b", 2), Given{Type: "Sum"}, Given{Type: "Delete", Stream: "b"}, put("d", 4), Given{Type: "Sum"}).
		Row("counts", "sum", count{Count: 134}).
		Row("counts", "b", nil).
		Keys("counts", "a", "c", "d", "sum")
}

func TestTheKitFindsWhatShouldNotPass(t *testing.T) {
	p, counts := counting()
	seen := 0
	On(p, "Remember", func(e *Event, _ Raw) error { seen++; counts.Edit(e, "x").Count = int64(seen); return nil })
	On(p, "Fine", func(e *Event, _ Raw) error { counts.Edit(e, "x").Count++; return nil })
	kit := func(t T, kind string) *Kit { return NewKit(t, p).Given(Given{Type: kind}, Given{Type: kind}) }
	for _, c := range []struct {
		test     func(T)
		expected string
	}{
		{func(t T) { kit(t, "Remember").Row("counts", "x", count{Count: 2}) }, "chunks of 2 and chunks of 1 come to different rows: counts/x"},
		{func(t T) { kit(t, "Fine").Row("count", "x", nil) }, "has no table count"},
		{func(t T) { kit(t, "Fine").Row("counts", "y", count{}) }, `no row "y"; it has x`},
		{func(t T) { kit(t, "Fine").Row("counts", "x", count{Count: 3}) }, "should be map[avg:0 count:3]"},
		{func(t T) { kit(t, "Fine").Fails() }, "all 2 events are handled"},
		{func(t T) { kit(t, "Missing").Row("counts", "x", nil) }, "event 0 (Missing) fails: no handler"},
	} {
		if failed := failing(c.test); !strings.Contains(failed, c.expected) {
			t.Errorf("%q should say %s", failed, c.expected)
		}
	}
}

func TestATableIsUsedInTheHandlerOfItsEvent(t *testing.T) {
	p, counts := counting()
	var before *Event
	On(p, "Keep", func(e *Event, _ Raw) error {
		if e.Position == 2 {
			counts.Edit(before, "x").Count++
		}
		before = e
		return nil
	})
	chunk := writer{}
	kit := NewKit(t, p)
	chunk.arrayLen(2)
	kit.encode(&chunk, Given{Type: "Keep"}, 0)
	kit.encode(&chunk, Given{Type: "Keep"}, 1)
	outcome := p.handle(chunk.data, memoryRows{})
	if outcome.handled != 1 || !strings.Contains(outcome.failure.Message, "whose handler has returned") {
		t.Fatalf("%+v", outcome.failure)
	}
}

func TestADescriptionSaysWhatWasDeclared(t *testing.T) {
	p := New("orders", 7, Complexity("simple"), ChunkSize(9), PartitionedByStream())
	NewTable[count](p, "orders")
	On(p, "*", func(*Event, Raw) error { return nil })
	expected := map[string]any{"name": "orders", "version": int64(7), "eventTypes": []any{"*"}, "complexity": "simple",
		"chunkSize": int64(9), "partitioning": "stream", "tables": []any{map[string]any{"name": "orders"}}}
	if described := decoded(p.describe()); !reflect.DeepEqual(described, expected) {
		t.Fatalf("%v", described)
	}
}
