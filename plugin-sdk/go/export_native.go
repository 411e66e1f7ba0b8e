//go:build !wasip1

package unspool

import (
	"fmt"
	"os"
)

// Export makes p the projection of this plugin, when it is one: natively, in tests, it does nothing. It is called from an init
// function: the host never calls main.
func Export(*Projection) {}

func writeLog(level, message string) { fmt.Fprintf(os.Stderr, "%s: %s\n", level, message) }

// goroutines are counted in a plugin alone: here others run that have nothing to do with the handler.
func goroutines() int { return 0 }
