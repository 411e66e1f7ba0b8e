// Command faulty misbehaves on demand, for the tests of a host: one way per event type. Between the faults it counts the events
// of each stream.
package main

import (
	"fmt"
	"math"
	"math/rand"
	"os"
	"time"
	"unspool"
)

type seen struct {
	Count int64          `json:"count"`
	Note  string         `json:"note"`
	More  map[string]any `json:"more,omitempty"`
}

var faulty = unspool.New("faulty-go", 1)
var streams = unspool.NewTable[seen](faulty, "seen")

// globals are there before any handler: an init function has run.
var globals = map[string]int{"a": 1}

func init() { globals["b"] = 2 }

func on(kind string, handler func(*unspool.Event, *seen) error) {
	unspool.On(faulty, kind, func(event *unspool.Event, _ unspool.Raw) error {
		row := streams.Edit(event, event.Stream)
		row.Count++
		return handler(event, row)
	})
}

func init() {
	on("Fine", func(*unspool.Event, *seen) error { return nil })
	on("Panic", func(*unspool.Event, *seen) error { panic("no order") })
	on("Index", func(_ *unspool.Event, row *seen) error { row.Count = int64("abc"[row.Count+3]); return nil })
	on("Error", func(e *unspool.Event, _ *seen) error { return unspool.Permanent("no such order").With("stream", e.Stream) })
	on("Loop", func(*unspool.Event, *seen) error {
		for i := 0; ; i++ {
			globals["b"] = i
		}
	})
	on("Memory", func(_ *unspool.Event, row *seen) error {
		for kept := [][]byte{}; ; {
			kept = append(kept, make([]byte, 1<<20))
			row.Count += int64(len(kept))
		}
	})
	on("Recursion", func(_ *unspool.Event, row *seen) error { row.Count = deep(row.Count); return nil })
	on("Exit", func(*unspool.Event, *seen) error { os.Exit(3); return nil })
	on("Words", func(*unspool.Event, *seen) error {
		fmt.Fprint(os.Stderr, "the order ")
		fmt.Fprintln(os.Stderr, "is für niemanden")
		os.Exit(4)
		return nil
	})
	on("Deadlock", func(*unspool.Event, *seen) error { <-make(chan int); return nil })
	on("GoroutinePanic", func(*unspool.Event, *seen) error {
		done := make(chan int)
		go func() { defer close(done); panic("in a goroutine") }()
		<-done
		return nil
	})
	on("LeftBehind", func(*unspool.Event, *seen) error { go func() { <-make(chan int) }(); return nil })
	on("Goroutine", func(e *unspool.Event, _ *seen) error {
		// It ends before the event does, waited for or not.
		go func() { streams.Edit(e, "goroutine").Count++ }()
		return nil
	})
	on("NaN", func(_ *unspool.Event, row *seen) error { row.More = map[string]any{"avg": math.NaN()}; return nil })
	on("ReadFile", func(*unspool.Event, *seen) error { _, err := os.ReadFile("/etc/passwd"); return err })
	on("System", func(_ *unspool.Event, row *seen) error {
		time.Sleep(time.Hour)
		_, zone := time.LoadLocation("Europe/Oslo")
		row.Note = fmt.Sprint(globals["a"]+globals["b"], time.Now().UTC(), os.Getenv("HOME"), len(os.Args), zone)
		return nil
	})
	on("Random", func(_ *unspool.Event, row *seen) error { row.Note = fmt.Sprint(rand.Int63()); return nil })
	on("Range", func(_ *unspool.Event, row *seen) error {
		for key := range map[string]int{"a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "f": 6} {
			row.Note = key
			break
		}
		return nil
	})
	unspool.Export(faulty)
}

func deep(n int64) int64 { return deep(n+1) + 1 }

func main() {}
