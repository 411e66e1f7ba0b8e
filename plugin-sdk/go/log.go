package unspool

import (
	"fmt"
	"strings"
)

// LogError, LogWarn, LogInfo and LogDebug write a line to the host's log. What a plugin writes to standard output and standard
// error gets there, too, at the level of info.
func LogError(format string, arguments ...any) { writeLog("error", fmt.Sprintf(format, arguments...)) }

// LogWarn: see [LogError].
func LogWarn(format string, arguments ...any) { writeLog("warn", fmt.Sprintf(format, arguments...)) }

// LogInfo: see [LogError].
func LogInfo(format string, arguments ...any) { writeLog("info", fmt.Sprintf(format, arguments...)) }

// LogDebug: see [LogError].
func LogDebug(format string, arguments ...any) { writeLog("debug", fmt.Sprintf(format, arguments...)) }

// validText is what the host takes for text: what is not UTF-8 in it is replaced.
func validText(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
