package main

import (
	"fmt"
	"strings"

	"flowgate/messages"
	"flowgate/pipelines/compliance"
)

// scoreLine is a score in a line; empty where no control was judged. What did not pass is named.
func scoreLine(c *messages.ResultCompliance) string {
	if c == nil {
		return ""
	}
	named := map[string][]string{}
	for _, f := range c.Frameworks {
		for _, one := range f.Controls {
			named[one.State] = append(named[one.State], printable(one.ID))
		}
	}
	score := "no control applies"
	if c.Score != nil && c.Coverage != nil {
		score = fmt.Sprintf("score %.2f, coverage %.2f", *c.Score, *c.Coverage)
	}
	parts := []string{fmt.Sprintf("%s: %d passed", score, c.Passed)}
	for _, of := range []struct {
		state string
		n     int
	}{{compliance.StateFail, c.Failed}, {compliance.StateUnknown, c.Unknown}} {
		if of.n > 0 {
			word := map[string]string{compliance.StateFail: "failed", compliance.StateUnknown: "unknown"}[of.state]
			parts = append(parts, fmt.Sprintf("%d %s (%s)", of.n, word, strings.Join(named[of.state], ", ")))
		}
	}
	if c.NotApplicable > 0 {
		parts = append(parts, fmt.Sprintf("%d not applicable", c.NotApplicable))
	}
	return strings.Join(parts, ", ")
}

// controlRows are the controls of a result as rows of a table.
func controlRows(controls []messages.Control) [][]string {
	rows := make([][]string, len(controls))
	for i, c := range controls {
		stage := c.Stage
		if stage == "" {
			stage = "-"
		}
		rows[i] = []string{printable(c.ID), stage, c.State, printable(c.Evidence)}
	}
	return rows
}
