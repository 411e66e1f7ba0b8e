package unspool

// MessagePack on the wire: https://github.com/msgpack/msgpack/blob/master/spec.md. Written here, and not taken from a library,
// so that a plugin has no dependency to download, numbers stay exact, and an error names the field that it is about.

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unsafe"
)

// depth is how deep values may nest: what the host allows a document, and more than a payload has.
const depth = 64

var errEnds = errors.New("it ends in the middle of a value")

type reader struct {
	data []byte
	at   int
}

func (r *reader) peek() byte {
	if r.at < len(r.data) {
		return r.data[r.at]
	}
	return 0xc1 // never used, so that it is of no type
}

func (r *reader) take(n int) ([]byte, error) {
	if n < 0 || n > len(r.data)-r.at {
		return nil, errEnds
	}
	taken := r.data[r.at : r.at+n : r.at+n]
	r.at += n
	return taken, nil
}

// number is the unsigned big-endian number of n bytes.
func (r *reader) number(n int) (uint64, error) {
	b, err := r.take(n)
	if err != nil {
		return 0, err
	}
	switch n {
	case 1:
		return uint64(b[0]), nil
	case 2:
		return uint64(binary.BigEndian.Uint16(b)), nil
	case 4:
		return uint64(binary.BigEndian.Uint32(b)), nil
	}
	return binary.BigEndian.Uint64(b), nil
}

func (r *reader) ended() error {
	if r.at < len(r.data) {
		return &decodeError{message: "bytes follow the value"}
	}
	return nil
}

// is names what stands at the reader, for an error.
func (r *reader) is() string {
	switch m := r.peek(); {
	case r.at >= len(r.data):
		return "nothing"
	case m < 0x80 || m >= 0xe0 || m >= 0xcc && m <= 0xd3:
		return "an integer"
	case m < 0x90 || m == 0xde || m == 0xdf:
		return "a map"
	case m < 0xa0 || m == 0xdc || m == 0xdd:
		return "an array"
	case m < 0xc0 || m >= 0xd9 && m <= 0xdb:
		return "text"
	case m == 0xc0:
		return "null"
	case m == 0xc2 || m == 0xc3:
		return "a boolean"
	case m >= 0xc4 && m <= 0xc6:
		return "bytes"
	case m == 0xca || m == 0xcb:
		return "a float"
	}
	return "an extension"
}

func (r *reader) isNull() bool { return r.peek() == 0xc0 }

func (r *reader) wrong(expected string) error {
	return &decodeError{message: fmt.Sprintf("%s where %s belongs", r.is(), expected)}
}

// integer reads an integer: its 64 bits, and whether it is below zero.
func (r *reader) integer() (bits uint64, negative bool, err error) {
	m := r.peek()
	switch {
	case r.at >= len(r.data):
		return 0, false, errEnds
	case m < 0x80:
		r.at++
		return uint64(m), false, nil
	case m >= 0xe0:
		r.at++
		return uint64(int64(int8(m))), true, nil
	case m >= 0xcc && m <= 0xcf:
		r.at++
		bits, err = r.number(1 << (m - 0xcc))
		return bits, false, err
	case m >= 0xd0 && m <= 0xd3:
		r.at++
		size := 1 << (m - 0xd0)
		bits, err = r.number(size)
		signed := int64(bits<<(64-8*size)) >> (64 - 8*size)
		return uint64(signed), signed < 0, err
	}
	return 0, false, r.wrong("an integer")
}

func (r *reader) uint64() (uint64, error) {
	bits, negative, err := r.integer()
	if err == nil && negative {
		return 0, &decodeError{message: fmt.Sprintf("%d where no number below zero belongs", int64(bits))}
	}
	return bits, err
}

func (r *reader) int64() (int64, error) {
	bits, negative, err := r.integer()
	if err == nil && !negative && bits > math.MaxInt64 {
		return 0, &decodeError{message: fmt.Sprintf("%d does not fit into 64 bits with a sign", bits)}
	}
	return int64(bits), err
}

// float takes an integer, too, where a float holds it exactly.
func (r *reader) float() (float64, error) {
	switch m := r.peek(); m {
	case 0xca:
		r.at++
		bits, err := r.number(4)
		return float64(math.Float32frombits(uint32(bits))), err
	case 0xcb:
		r.at++
		bits, err := r.number(8)
		return math.Float64frombits(bits), err
	}
	bits, negative, err := r.integer()
	if err != nil {
		return 0, r.wrong("a number")
	}
	if n := int64(bits); negative && n >= -(1<<53) || !negative && bits <= 1<<53 {
		return float64(n), nil
	}
	return 0, &decodeError{message: "an integer beyond 2^53, which a float does not hold exactly"}
}

// sized reads the length after a marker: fixed in it, or in the 1, 2 or 4 bytes after one of those from first on.
func (r *reader) sized(fixed, mask, first byte, widths int, expected string) (int, error) {
	m := r.peek()
	if fixed != 0 && m&^mask == fixed {
		r.at++
		return int(m & mask), nil
	}
	if r.at >= len(r.data) {
		return 0, errEnds
	}
	if m < first || m >= first+byte(widths) {
		return 0, r.wrong(expected)
	}
	r.at++
	n, err := r.number(1 << (int(m-first) + 3 - widths))
	if n > math.MaxInt32 {
		return 0, errEnds
	}
	return int(n), err
}

func (r *reader) arrayLen() (int, error) { return r.sized(0x90, 0x0f, 0xdc, 2, "an array") }
func (r *reader) mapLen() (int, error)   { return r.sized(0x80, 0x0f, 0xde, 2, "a map") }

func (r *reader) binary() ([]byte, error) {
	n, err := r.sized(0, 0, 0xc4, 3, "bytes")
	if err != nil {
		return nil, err
	}
	return r.take(n)
}

// text borrows from the reader's bytes, which nobody changes.
func (r *reader) text() (string, error) {
	n, err := r.sized(0xa0, 0x1f, 0xd9, 3, "text")
	if err != nil {
		return "", err
	}
	b, err := r.take(n)
	return unsafe.String(unsafe.SliceData(b), len(b)), err
}

func (r *reader) boolean() (bool, error) {
	m := r.peek()
	if m != 0xc2 && m != 0xc3 {
		return false, r.wrong("a boolean")
	}
	r.at++
	return m == 0xc3, nil
}

// skip passes over one value, which stands below `level` others.
func (r *reader) skip(level int) error {
	m := r.peek()
	values := 0
	var err error
	switch {
	case level > 2*depth:
		return &decodeError{message: "it nests too deeply"}
	case m < 0x80 || m >= 0xe0 || m >= 0xcc && m <= 0xd3:
		_, _, err = r.integer()
	case m < 0x90 || m == 0xde || m == 0xdf:
		values, err = r.mapLen()
		values *= 2
	case m < 0xa0 || m == 0xdc || m == 0xdd:
		values, err = r.arrayLen()
	case m < 0xc0 || m >= 0xd9 && m <= 0xdb:
		_, err = r.text()
	case m >= 0xc4 && m <= 0xc6:
		_, err = r.binary()
	case m == 0xca || m == 0xcb:
		r.at++
		_, err = r.take(4 << (m - 0xca))
	case m == 0xc0 || m == 0xc2 || m == 0xc3:
		r.at++
	default:
		return r.wrong("a value")
	}
	for ; values > 0 && err == nil; values-- {
		err = r.skip(level + 1)
	}
	return err
}

type writer struct {
	data []byte
	// count is of the writes, whose number stands in front of them.
	count uint32
}

func (w *writer) bytes(b ...byte) { w.data = append(w.data, b...) }
func (w *writer) null()           { w.bytes(0xc0) }

func (w *writer) boolean(v bool) {
	if v {
		w.bytes(0xc3)
	} else {
		w.bytes(0xc2)
	}
}

func (w *writer) uint64(v uint64) {
	switch {
	case v < 0x80:
		w.bytes(byte(v))
	case v <= math.MaxUint8:
		w.bytes(0xcc, byte(v))
	case v <= math.MaxUint16:
		w.data = binary.BigEndian.AppendUint16(append(w.data, 0xcd), uint16(v))
	case v <= math.MaxUint32:
		w.data = binary.BigEndian.AppendUint32(append(w.data, 0xce), uint32(v))
	default:
		w.data = binary.BigEndian.AppendUint64(append(w.data, 0xcf), v)
	}
}

func (w *writer) int64(v int64) {
	switch {
	case v >= 0:
		w.uint64(uint64(v))
	case v >= -32:
		w.bytes(byte(v))
	default:
		w.data = binary.BigEndian.AppendUint64(append(w.data, 0xd3), uint64(v))
	}
}

func (w *writer) float(v float64) {
	w.data = binary.BigEndian.AppendUint64(append(w.data, 0xcb), math.Float64bits(v))
}

// sized writes a marker with a length: fixed into it up to mask, or in 1, 2 or 4 bytes after one of those from first on.
func (w *writer) sized(n int, fixed, mask, first byte, widths int) {
	switch {
	case fixed != 0 && n <= int(mask):
		w.bytes(fixed | byte(n))
	case widths == 3 && n <= math.MaxUint8:
		w.bytes(first, byte(n))
	case n <= math.MaxUint16:
		w.data = binary.BigEndian.AppendUint16(append(w.data, first+byte(widths)-2), uint16(n))
	default:
		w.data = binary.BigEndian.AppendUint32(append(w.data, first+byte(widths)-1), uint32(n))
	}
}

func (w *writer) arrayLen(n int) { w.sized(n, 0x90, 0x0f, 0xdc, 2) }
func (w *writer) mapLen(n int)   { w.sized(n, 0x80, 0x0f, 0xde, 2) }
func (w *writer) binary(b []byte) {
	w.sized(len(b), 0, 0, 0xc4, 3)
	w.data = append(w.data, b...)
}
func (w *writer) text(s string) {
	w.sized(len(s), 0xa0, 0x1f, 0xd9, 3)
	w.data = append(w.data, s...)
}

// frame begins a write frame, whose length is known at its end.
func (w *writer) frame(room int) {
	w.data = append(make([]byte, 0, room+64), 0xdd, 0, 0, 0, 0)
}

// header begins a write; its document, or null, follows.
func (w *writer) header(table, key string) {
	w.count++
	binary.BigEndian.PutUint32(w.data[1:], w.count)
	w.bytes(0x93)
	w.text(table)
	w.text(key)
}
