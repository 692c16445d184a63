package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"flowgate/messages"
)

// executionLines tell what came of an agreement's action: how, how far it can be relied on, and its document.
func executionLines(x *messages.Execution) []string {
	lines := []string{fmt.Sprintf("  action    %s: %s, %.3f s", printable(x.Action), x.Mode, x.Seconds)}
	if x.Action == "" {
		lines[0] = fmt.Sprintf("  action    %s", x.Mode)
	}
	if x.Because != "" {
		lines = append(lines, "  because   "+printable(x.Because))
	}
	if x.Result == nil {
		return lines
	}
	lines = append(lines, fmt.Sprintf("  rests on  %d samples, confidence %.2f", x.Samples, x.Confidence))
	if x.Mode == messages.ExecutionFallback {
		age := time.Duration(x.AgeSeconds * float64(time.Second)).Round(time.Second)
		lines = append(lines, fmt.Sprintf("  measured  %s, %s ago", x.MeasuredAt.UTC().Format(time.RFC3339), age))
	}
	var text bytes.Buffer
	if json.Indent(&text, x.Result, "", "  ") != nil {
		return lines
	}
	lines = append(lines, "")
	for line := range strings.SplitSeq(text.String(), "\n") {
		lines = append(lines, printable(line))
	}
	return lines
}
