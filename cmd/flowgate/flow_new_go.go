package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ownFolder has the own actions in Go, in flowgate's sources.
const ownFolder = "worker/actions/own"

// ownMarker stands in own.go below the list of actions.
const ownMarker = "\t\t// `flowgate flow new --go` adds a line above this one.\n"

// sourceFolder is the folder of flowgate's sources that this one is in.
func sourceFolder() (string, error) {
	folder, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for at := folder; ; at = filepath.Dir(at) {
		data, err := os.ReadFile(filepath.Join(at, "go.mod")) //nolint:gosec // a folder above this one
		if err == nil && bytes.HasPrefix(data, []byte("module flowgate\n")) {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", errors.New("flag --go writes into flowgate's sources, and this folder is in none: go to theirs, or leave --go out for a template")
		}
	}
}

// goScaffold are the files of an action in Go. Its name has no end that means a system to the go tool.
func goScaffold(root, action, trigger string) []scaffoldFile {
	fill := strings.NewReplacer("TRIGGER", strconv.Quote(trigger), "CAMEL", camel(action), "NAME", action)
	path := filepath.Join(root, filepath.FromSlash(ownFolder), action+"_action")
	return []scaffoldFile{{path + ".go", []byte(fill.Replace(goAction))}, {path + "_test.go", []byte(fill.Replace(goActionTest))}}
}

// camel is a name as Go writes it behind another word.
func camel(name string) string {
	var b strings.Builder
	for word := range strings.SplitSeq(name, "_") {
		if word != "" {
			b.WriteString(strings.ToUpper(word[:1]) + word[1:])
		}
	}
	return b.String()
}

// registerOwn puts an action into the list of own.go.
func registerOwn(folder, action string) error {
	path := filepath.Join(folder, "own.go")
	data, err := os.ReadFile(path) //nolint:gosec // of flowgate's sources
	if err != nil {
		return fmt.Errorf("registering the action: %w", err)
	}
	line := "\t\taction" + camel(action) + "(),\n"
	listed := bytes.Replace(data, []byte(ownMarker), []byte(line+ownMarker), 1)
	if bytes.Equal(listed, data) {
		return fmt.Errorf("%s has no line %q any more: add %q to its list", path, strings.TrimSpace(ownMarker), strings.TrimSpace(line))
	}
	fresh := path + ".new"
	if err := os.WriteFile(fresh, listed, 0o644); err != nil { //nolint:gosec // sources, for others to read
		return fmt.Errorf("registering the action: %w", err)
	}
	return os.Rename(fresh, path)
}

const goAction = `package own

import (
	"context"
	"fmt"

	"flowgate/messages"
	"flowgate/pipelines/flow"
	"flowgate/pipelines/templates"
	"flowgate/worker/actions"
)

// actionCAMEL is the line of NAME in Actions.
func actionCAMEL() actions.Own {
	return actions.Own{
		Name:        "NAME",
		Description: "summarises figures",
		Parameters:  []templates.Parameter{{Name: "figures", Type: templates.Text, Required: true, MaxLength: 5000}},
		Function:    carryOutCAMEL,
	}
}

// reportCAMEL is what NAME finds.
type reportCAMEL struct {
	Summary      string ` + "`json:\"summary\"`" + `
	CostMicroUSD int64  ` + "`json:\"cost_microusd\"`" + `
}

// carryOutCAMEL asks a model for a summary of the order's figures.
func carryOutCAMEL(ctx context.Context, o actions.Order) (actions.Measured, error) {
	figures, err := o.Text("figures", "")
	if err != nil {
		return actions.Measured{}, err
	}
	most := 300
	r, err := o.Ask(ctx, "summary", messages.Request{Prompt: "Summarise in three sentences: " + figures, MaxTokens: &most})
	if err != nil {
		return actions.Measured{}, err
	}
	if r.Status != messages.StatusSuccess || r.Answer == "" {
		return actions.Measured{}, fmt.Errorf("the summary ended as %s (%s)", r.Status, r.Reason)
	}
	report := reportCAMEL{Summary: r.Answer}
	if r.Metadata != nil {
		report.CostMicroUSD = r.Metadata.CostMicroUSD
	}
	return actions.Measured{Document: report, Samples: 1, Confidence: flow.ConfidenceOfShare(1, 1)}, nil
}
`

const goActionTest = `package own

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"flowgate/messages"
	"flowgate/pipelines/flow"
	"flowgate/worker/actions"
)

func TestCAMEL(t *testing.T) {
	if !slices.ContainsFunc(Actions(), func(o actions.Own) bool { return o.Name == "NAME" }) {
		t.Error("NAME is not in Actions")
	}
	order := func(status messages.Status) actions.Order {
		o := actions.Order{
			Key:       messages.Key{Tenant: "default", ID: "test"},
			Agreement: flow.Agreement{Trigger: TRIGGER, Action: "NAME", Parameters: map[string]any{"figures": "sales rose by 4 %"}},
		}
		return o.Asking(actions.ChainFunc(func(_ context.Context, key messages.Key, body []byte) (messages.Result, error) {
			var asked messages.Request
			if err := json.Unmarshal(body, &asked); err != nil || !strings.Contains(asked.Prompt, "sales rose by 4 %") || asked.Trigger != TRIGGER {
				t.Errorf("%v: asked %s", err, body)
			}
			return messages.Result{Key: key, State: messages.ResultDone, Status: status, Answer: "Sales rose."}, nil
		}))
	}
	m, err := carryOutCAMEL(t.Context(), order(messages.StatusSuccess))
	if report, is := m.Document.(reportCAMEL); err != nil || !is || report.Summary != "Sales rose." || m.Samples != 1 || m.Confidence <= 0 {
		t.Errorf("%v: got %+v", err, m)
	}
	if m, err := carryOutCAMEL(t.Context(), order(messages.StatusFailure)); err == nil {
		t.Errorf("a request that failed gave %+v", m)
	}
}
`
