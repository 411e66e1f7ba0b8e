package unspool

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"sort"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// Raw is a value that is not decoded: its MessagePack.
type Raw []byte

// Unmarshal decodes one MessagePack value, as payloads, metadata and rows are.
//
// A struct takes a map, by the names in `json:"name"` tags; without a tag a field has its own name. A field that the map lacks
// is an error, unless it is a pointer (nil then, as for null) or tagged omitempty. Fields that the struct lacks are passed
// over. Integers are exact: 1.5, 300 in an int8 and -1 in a uint are errors; a float takes an integer up to 2^53. []byte takes
// bytes alone. any takes whatever there is: int64 (uint64 above that), float64, string, bool, []byte, []any, map[string]any, nil.
func Unmarshal(data []byte, value any) error {
	v := reflect.ValueOf(value)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return fmt.Errorf("unspool: Unmarshal into a %T, which is no pointer", value)
	}
	r := reader{data: data}
	if err := planOf(v.Type().Elem()).read(&r, v.Elem()); err != nil {
		return err
	}
	return r.ended()
}

// Marshal encodes a value as one MessagePack value; [Unmarshal] has the rules. The keys of a map are sorted. A nil pointer is
// null, a nil slice an empty array, a nil map an empty map. What has no form is an error that names the field: NaN, an
// infinity, text that is not UTF-8, more than 64 levels of nesting.
func Marshal(value any) ([]byte, error) {
	if value == nil {
		return []byte{0xc0}, nil
	}
	v := reflect.ValueOf(value)
	var w writer
	err := planOf(v.Type()).write(&w, v, 0)
	return w.data, err
}

func (w *writer) document(p *plan, v reflect.Value) error {
	var document writer
	if err := p.write(&document, v, 0); err != nil {
		return err
	}
	w.binary(document.data)
	return nil
}

// decodeError is what is wrong with a value, and where in it.
type decodeError struct{ path, message string }

func (e *decodeError) Error() string {
	if e.path == "" {
		return e.message
	}
	return e.path + ": " + e.message
}

// below puts the name of what a value is part of in front of its error's path.
func below(name string, err error) error {
	at, ok := err.(*decodeError)
	if !ok {
		return &decodeError{name, err.Error()}
	}
	if at.path != "" && at.path[0] != '[' {
		name += "."
	}
	return &decodeError{name + at.path, at.message}
}

// plan is how values of one type are read and written.
type plan struct {
	read  func(*reader, reflect.Value) error
	write func(*writer, reflect.Value, int) error
}

var plans sync.Map // of *plan, by reflect.Type

// planOf is the plan of a type. It panics where there is none: that is found when the plugin describes itself.
func planOf(t reflect.Type) *plan {
	if known, ok := plans.Load(t); ok {
		return known.(*plan)
	}
	// In its place before it is made, for types that contain themselves.
	p := &plan{}
	plans.Store(t, p)
	made, ok := makePlan(t)
	if !ok {
		plans.Delete(t)
		panic(fmt.Sprintf("unspool: a %v cannot be stored; use numbers, text, booleans, []byte, slices, maps with text as keys, structs and pointers to them", t))
	}
	*p = made
	return p
}

func makePlan(t reflect.Type) (plan, bool) {
	switch t.Kind() {
	case reflect.Bool:
		return plan{
			func(r *reader, v reflect.Value) error { b, err := r.boolean(); v.SetBool(b); return err },
			func(w *writer, v reflect.Value, _ int) error { w.boolean(v.Bool()); return nil },
		}, true
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return plan{func(r *reader, v reflect.Value) error {
			n, err := r.int64()
			if err == nil && v.OverflowInt(n) {
				err = &decodeError{message: fmt.Sprintf("%d does not fit into an %v", n, t)}
			}
			v.SetInt(n)
			return err
		}, func(w *writer, v reflect.Value, _ int) error { w.int64(v.Int()); return nil }}, true
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return plan{func(r *reader, v reflect.Value) error {
			n, err := r.uint64()
			if err == nil && v.OverflowUint(n) {
				err = &decodeError{message: fmt.Sprintf("%d does not fit into a %v", n, t)}
			}
			v.SetUint(n)
			return err
		}, func(w *writer, v reflect.Value, _ int) error { w.uint64(v.Uint()); return nil }}, true
	case reflect.Float32, reflect.Float64:
		return plan{
			func(r *reader, v reflect.Value) error { f, err := r.float(); v.SetFloat(f); return err },
			func(w *writer, v reflect.Value, _ int) error {
				if f := v.Float(); math.IsNaN(f) || math.IsInf(f, 0) {
					return &decodeError{message: fmt.Sprintf("%v is no number that can be stored", f)}
				}
				w.float(v.Float())
				return nil
			},
		}, true
	case reflect.String:
		return plan{
			func(r *reader, v reflect.Value) error { s, err := r.text(); v.SetString(s); return err },
			func(w *writer, v reflect.Value, _ int) error { return w.utf8(v.String()) },
		}, true
	case reflect.Interface:
		return anyPlan(), t.NumMethod() == 0
	case reflect.Pointer:
		return pointerPlan(planOf(t.Elem())), true
	case reflect.Slice:
		if t == reflect.TypeFor[Raw]() {
			return rawPlan(), true
		}
		if t.Elem().Kind() == reflect.Uint8 {
			return plan{
				func(r *reader, v reflect.Value) error { b, err := r.binary(); v.SetBytes(bytes.Clone(b)); return err },
				func(w *writer, v reflect.Value, _ int) error { w.binary(v.Bytes()); return nil },
			}, true
		}
		return slicePlan(t, planOf(t.Elem())), true
	case reflect.Map:
		return mapPlan(t, planOf(t.Elem())), t.Key().Kind() == reflect.String
	case reflect.Struct:
		return structPlan(t), true
	}
	return plan{}, false
}

func (w *writer) utf8(s string) error {
	if !utf8.ValidString(s) {
		return &decodeError{message: "text that is not UTF-8; store it as []byte"}
	}
	w.text(s)
	return nil
}

func tooDeep(level int) error {
	if level >= depth {
		return &decodeError{message: fmt.Sprintf("more than %d levels of nesting", depth)}
	}
	return nil
}

func rawPlan() plan {
	return plan{func(r *reader, v reflect.Value) error {
		from := r.at
		err := r.skip(0)
		v.SetBytes(r.data[from:r.at:r.at])
		return err
	}, func(w *writer, v reflect.Value, _ int) error {
		raw := reader{data: v.Bytes()}
		if err := raw.skip(0); err != nil || raw.ended() != nil {
			return &decodeError{message: "a Raw that is not one MessagePack value"}
		}
		w.bytes(v.Bytes()...)
		return nil
	}}
}

func pointerPlan(to *plan) plan {
	return plan{func(r *reader, v reflect.Value) error {
		if r.isNull() {
			r.at++
			v.SetZero()
			return nil
		}
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		return to.read(r, v.Elem())
	}, func(w *writer, v reflect.Value, level int) error {
		if v.IsNil() {
			w.null()
			return nil
		}
		return to.write(w, v.Elem(), level)
	}}
}

func slicePlan(t reflect.Type, of *plan) plan {
	return plan{func(r *reader, v reflect.Value) error {
		n, err := r.arrayLen()
		if err != nil {
			return err
		}
		// Each element takes a byte at least.
		if n > len(r.data)-r.at {
			return errEnds
		}
		v.Set(reflect.MakeSlice(t, n, n))
		for i := range n {
			if err := of.read(r, v.Index(i)); err != nil {
				return below(fmt.Sprintf("[%d]", i), err)
			}
		}
		return nil
	}, func(w *writer, v reflect.Value, level int) error {
		if err := tooDeep(level); err != nil {
			return err
		}
		w.arrayLen(v.Len())
		for i := range v.Len() {
			if err := of.write(w, v.Index(i), level+1); err != nil {
				return below(fmt.Sprintf("[%d]", i), err)
			}
		}
		return nil
	}}
}

func mapPlan(t reflect.Type, of *plan) plan {
	return plan{func(r *reader, v reflect.Value) error {
		n, err := r.mapLen()
		if err != nil {
			return err
		}
		v.Set(reflect.MakeMap(t))
		for range n {
			key, err := r.text()
			if err != nil {
				return err
			}
			value := reflect.New(t.Elem()).Elem()
			if err := of.read(r, value); err != nil {
				return below(key, err)
			}
			v.SetMapIndex(reflect.ValueOf(key).Convert(t.Key()), value)
		}
		return nil
	}, func(w *writer, v reflect.Value, level int) error {
		if err := tooDeep(level); err != nil {
			return err
		}
		keys := v.MapKeys()
		sort.Slice(keys, func(i, j int) bool { return keys[i].String() < keys[j].String() })
		w.mapLen(len(keys))
		for _, key := range keys {
			if err := w.utf8(key.String()); err != nil {
				return err
			}
			if err := of.write(w, v.MapIndex(key), level+1); err != nil {
				return below(key.String(), err)
			}
		}
		return nil
	}}
}

type field struct {
	name     string
	index    int
	optional bool
	omit     bool
	plan     *plan
}

func structPlan(t reflect.Type) plan {
	if t == reflect.TypeFor[time.Time]() {
		panic("unspool: a time.Time cannot be stored; store milliseconds, as event.Timestamp has them")
	}
	fields := fieldsOf(t)
	return plan{func(r *reader, v reflect.Value) error {
		n, err := r.mapLen()
		if err != nil {
			return err
		}
		seen, next := make([]bool, len(fields)), 0
		for range n {
			key, err := r.text()
			if err != nil {
				return err
			}
			// Mostly the fields come in their order.
			at := -1
			for i := range fields {
				if at = (next + i) % len(fields); fields[at].name == key {
					break
				}
				at = -1
			}
			if at < 0 {
				err = r.skip(0)
			} else {
				next, seen[at] = at+1, true
				if field := &fields[at]; field.omit && r.isNull() {
					r.at++
				} else {
					err = field.plan.read(r, v.Field(field.index))
				}
			}
			if err != nil {
				return below(key, err)
			}
		}
		for i := range fields {
			if !seen[i] && !fields[i].optional {
				return &decodeError{fields[i].name, "missing"}
			}
		}
		return nil
	}, func(w *writer, v reflect.Value, level int) error {
		if err := tooDeep(level); err != nil {
			return err
		}
		n := 0
		for i := range fields {
			if !fields[i].omit || !v.Field(fields[i].index).IsZero() {
				n++
			}
		}
		w.mapLen(n)
		for i := range fields {
			field, value := &fields[i], v.Field(fields[i].index)
			if field.omit && value.IsZero() {
				continue
			}
			w.text(field.name)
			if err := field.plan.write(w, value, level+1); err != nil {
				return below(field.name, err)
			}
		}
		return nil
	}}
}

func fieldsOf(t reflect.Type) []field {
	var fields []field
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("json")
		if tag == "-" {
			continue
		}
		refuse := func(why string) { panic(fmt.Sprintf("unspool: field %s of %v %s", f.Name, t, why)) }
		if f.Anonymous {
			refuse("is embedded; give it a name")
		}
		if !f.IsExported() {
			refuse("is not exported, so that it would be lost; begin its name with a capital, or tag it `json:\"-\"`")
		}
		name, option, _ := strings.Cut(tag, ",")
		if option != "" && option != "omitempty" {
			refuse(fmt.Sprintf("is tagged %q; omitempty is the only option", option))
		}
		if name == "" {
			name = f.Name
		}
		for _, other := range fields {
			if other.name == name {
				refuse("has the name of another")
			}
		}
		omit := option == "omitempty"
		fields = append(fields, field{name, i, omit || f.Type.Kind() == reflect.Pointer, omit, planOf(f.Type)})
	}
	return fields
}

func anyPlan() plan {
	var read func(*reader, int) (any, error)
	read = func(r *reader, level int) (any, error) {
		m := r.peek()
		switch {
		case level > 2*depth:
			return nil, &decodeError{message: "it nests too deeply"}
		case m < 0x80 || m >= 0xe0 || m >= 0xcc && m <= 0xd3:
			bits, negative, err := r.integer()
			if !negative && bits > math.MaxInt64 {
				return bits, err
			}
			return int64(bits), err
		case m == 0xc0:
			r.at++
			return nil, nil
		case m == 0xc2 || m == 0xc3:
			return r.boolean()
		case m == 0xca || m == 0xcb:
			return r.float()
		case m >= 0xc4 && m <= 0xc6:
			b, err := r.binary()
			return bytes.Clone(b), err
		case m < 0x90 || m == 0xde || m == 0xdf:
			n, err := r.mapLen()
			if err != nil {
				return nil, err
			}
			values := map[string]any{}
			for range n {
				key, err := r.text()
				if err != nil {
					return nil, err
				}
				if values[key], err = read(r, level+1); err != nil {
					return nil, below(key, err)
				}
			}
			return values, nil
		case m < 0xa0 || m == 0xdc || m == 0xdd:
			n, err := r.arrayLen()
			if err != nil || n > len(r.data)-r.at {
				return nil, errEnds
			}
			values := make([]any, n)
			for i := range n {
				if values[i], err = read(r, level+1); err != nil {
					return nil, below(fmt.Sprintf("[%d]", i), err)
				}
			}
			return values, nil
		}
		return r.text()
	}
	return plan{func(r *reader, v reflect.Value) error {
		value, err := read(r, 0)
		if err == nil && value != nil {
			v.Set(reflect.ValueOf(value))
		} else {
			v.SetZero()
		}
		return err
	}, func(w *writer, v reflect.Value, level int) error {
		if v.IsNil() {
			w.null()
			return nil
		}
		if err := tooDeep(level); err != nil {
			return err
		}
		return planOf(v.Elem().Type()).write(w, v.Elem(), level)
	}}
}
