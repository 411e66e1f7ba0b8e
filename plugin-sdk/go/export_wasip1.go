package unspool

// The component's side: what the world imports and exports, by the canonical ABI of the component model
// (https://github.com/WebAssembly/component-model/blob/main/design/mvp/CanonicalABI.md). Every call of the host meets a fresh
// instance, so that nothing of this is ever given back.

import (
	"runtime"
	"runtime/debug"
	"unsafe"
)

var exported *Projection

// Export makes p the projection of this plugin. It is called from an init function: the host never calls main.
func Export(p *Projection) {
	if exported != nil {
		panic("unspool: two projections are exported; a plugin has one")
	}
	exported = p
	// An instance lives for one call. Collecting garbage pays only when its memory would not do: the host allows 64 MiB.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(40 << 20)
}

// passed keeps what the host was given or has given: it knows no garbage collector.
var passed [][]byte

//go:wasmexport cabi_realloc
func cabiRealloc(old unsafe.Pointer, oldSize, align, size uint32) unsafe.Pointer {
	if size == 0 {
		return unsafe.Pointer(uintptr(align))
	}
	// Memory for pointers, which is aligned to eight bytes, as all that the world passes wants.
	words := make([]uint64, (size+7)/8)
	memory := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), size)
	if old != nil && oldSize > 0 {
		copy(memory, unsafe.Slice((*byte)(old), oldSize))
	}
	passed = append(passed, memory)
	return unsafe.Pointer(unsafe.SliceData(memory))
}

// list is a list or a string as it lies in memory.
type list struct{ at, n uint32 }

func listOf(b []byte) list {
	return list{uint32(uintptr(unsafe.Pointer(unsafe.SliceData(b)))), uint32(len(b))}
}

func listOfText(s string) list {
	return list{uint32(uintptr(unsafe.Pointer(unsafe.StringData(s)))), uint32(len(s))}
}

func (l list) bytes() []byte {
	if l.n == 0 {
		return []byte{}
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(uintptr(l.at))), l.n)
}

func elements[T any](l list) []T {
	if l.n == 0 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(uintptr(l.at))), l.n)
}

//go:wasmimport unspool:projection/read-model@1.0.0 get-many
func importGetMany(table unsafe.Pointer, tableLen uint32, keys unsafe.Pointer, n uint32, answer unsafe.Pointer)

//go:wasmimport unspool:projection/read-model@1.0.0 scan
func importScan(table unsafe.Pointer, tableLen uint32, prefix unsafe.Pointer, prefixLen uint32, hasAfter uint32, after unsafe.Pointer, afterLen uint32, limit uint32, answer unsafe.Pointer)

//go:wasmimport unspool:projection/logger@1.0.0 log
func importLog(level unsafe.Pointer, levelLen uint32, message unsafe.Pointer, messageLen uint32)

type hostRows struct{}

func (hostRows) getMany(table string, keys []string) [][]byte {
	asked := make([]list, len(keys))
	for i, key := range keys {
		asked[i] = listOfText(key)
	}
	var answer list
	importGetMany(unsafe.Pointer(unsafe.StringData(table)), uint32(len(table)), unsafe.Pointer(unsafe.SliceData(asked)), uint32(len(asked)), unsafe.Pointer(&answer))
	runtime.KeepAlive(keys)
	documents := make([][]byte, len(keys))
	for i, document := range elements[struct {
		some  uint32
		bytes list
	}](answer) {
		if document.some&0xff == 1 {
			documents[i] = document.bytes.bytes()
		}
	}
	return documents
}

func (hostRows) scan(table, prefix string, after *string, limit uint32) []row {
	var hasAfter, afterLen uint32
	var afterAt unsafe.Pointer
	if after != nil {
		hasAfter, afterAt, afterLen = 1, unsafe.Pointer(unsafe.StringData(*after)), uint32(len(*after))
	}
	var answer list
	importScan(unsafe.Pointer(unsafe.StringData(table)), uint32(len(table)), unsafe.Pointer(unsafe.StringData(prefix)), uint32(len(prefix)), hasAfter, afterAt, afterLen, limit, unsafe.Pointer(&answer))
	var rows []row
	for _, found := range elements[struct{ key, document list }](answer) {
		key := found.key.bytes()
		rows = append(rows, row{unsafe.String(unsafe.SliceData(key), len(key)), found.document.bytes()})
	}
	return rows
}

// returned is what an export returns a pointer to.
var returned struct {
	description list
	outcome     struct {
		handled    uint32
		writes     list
		hasFailure uint32
		kind       list
		message    list
		details    list
	}
}

//go:wasmexport unspool:projection/handler@1.0.0#describe
func exportDescribe() unsafe.Pointer {
	frame := projection().describe()
	passed = append(passed, frame)
	returned.description = listOf(frame)
	return unsafe.Pointer(&returned.description)
}

//go:wasmexport unspool:projection/handler@1.0.0#handle
func exportHandle(chunk unsafe.Pointer, n uint32) unsafe.Pointer {
	outcome := projection().handle(unsafe.Slice((*byte)(chunk), n), hostRows{})
	passed = append(passed, outcome.writes)
	answer := &returned.outcome
	answer.handled, answer.writes = outcome.handled, listOf(outcome.writes)
	if failure := outcome.failure; failure != nil {
		details := make([]struct{ name, value list }, len(failure.Details))
		for i, detail := range failure.Details {
			details[i].name, details[i].value = keep(detail.Name), keep(detail.Value)
		}
		keptDetails = details
		answer.hasFailure, answer.kind, answer.message = 1, keep(failure.Kind), keep(failure.Message)
		answer.details = list{uint32(uintptr(unsafe.Pointer(unsafe.SliceData(details)))), uint32(len(details))}
	}
	return unsafe.Pointer(answer)
}

var keptDetails any

// keep is a text that the host takes as it is: valid UTF-8, and in memory until the instance ends.
func keep(s string) list {
	b := []byte(validText(s))
	passed = append(passed, b)
	return listOf(b)
}

func projection() *Projection {
	if exported == nil {
		panic("unspool: no projection is exported; call unspool.Export in an init function")
	}
	return exported
}

func writeLog(level, message string) {
	message = validText(message)
	importLog(unsafe.Pointer(unsafe.StringData(level)), uint32(len(level)), unsafe.Pointer(unsafe.StringData(message)), uint32(len(message)))
}

func goroutines() int { return runtime.NumGoroutine() }
