package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/worker/actions"
	"flowgate/worker/security"
)

// shownExecutions are executions whose printed form is kept in testdata.
func shownExecutions() map[string]*messages.Execution {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	window := actions.Window{Since: at.AddDate(0, 0, -30), Until: at}
	some := func(base float64) actions.Quantiles {
		return actions.Quantiles{Min: base, P50: base + 0.1, P95: base + 0.5, P99: base + 0.9, Max: base + 1, Mean: base + 0.2, Spread: 0.125}
	}
	step := func(atOnce int, perSecond float64, failed int) actions.Step {
		s := actions.Step{
			AtOnce: atOnce, Requests: 3 * atOnce, Failed: failed, Seconds: 3, PerSecond: perSecond, Latency: some(1.2), Model: some(1), Gateway: some(0.2),
			CostMicroUSD: 1234, TokensIn: 400, TokensOut: 80, Backends: []string{"anthropic", "openai"},
		}
		if failed > 0 {
			s.Reasons = map[messages.Reason]int{messages.ReasonBackendUnavailable: 1, messages.ReasonDeadlinePassed: failed - 1}
		}
		return s
	}
	return map[string]*messages.Execution{
		"performance": executionOf(actions.PerformanceTestAction, step(16, 16.04, 3)),
		"scalability": executionOf(actions.ScalabilityTestAction, actions.ScalabilityReport{
			Steps: []actions.Step{step(16, 16, 0), step(32, 31.5, 0), step(33, 16.5, 0), step(64, 32, 0)}, Knee: 32, PerSecond: 31.5, Limit: "throughput", Over: 33, Grew: "backend",
		}),
		"scalability-without-limit": executionOf(actions.ScalabilityTestAction, actions.ScalabilityReport{
			Steps: []actions.Step{step(16, 16, 0)}, Knee: 16, PerSecond: 16, Limit: "the most that was tried",
		}),
		"scalability-of-errors": executionOf(actions.ScalabilityTestAction, actions.ScalabilityReport{
			Steps: []actions.Step{step(1, 0, 3)}, Limit: "errors", Over: 1, Why: string(messages.ReasonBackendUnavailable),
		}),
		"costs":      executionOf(actions.CostAnalysisAction, shownCosts(window)),
		"errors":     executionOf(actions.ErrorAnalysisAction, shownErrors(window)),
		"components": executionOf(actions.IntegrationTestAction, shownComponents()),
		"security":   executionOf(actions.SecurityTestAction, shownSecurity()),
		"nothing":    executionOf(actions.ErrorAnalysisAction, actions.ErrorReport{Window: window}),
		"own":        executionOf("board_summary", map[string]any{"steps": 2, "said": "\x1b[2J"}),
		"failed":     {Action: actions.CostAnalysisAction, Mode: messages.ExecutionFailed, Because: "the costs on record cannot be read; nothing was measured that is young enough to stand in", Seconds: 0.01},
		"fallback": {
			Action: actions.IntegrationTestAction, Mode: messages.ExecutionFallback, Because: "it did not end within 5s", MeasuredAt: at, AgeSeconds: 90, Samples: 3, Confidence: 1,
			Result: json.RawMessage(`{"ok":true,"components":[]}`),
		},
		"template":         executionOf("board_summary", shownTemplate("board_summary")),
		"template-instead": stoodIn(actions.PerformanceTestAction, executionOf("board_summary", shownTemplate("board_summary"))),
		"no-report":        {Action: actions.CostAnalysisAction, Mode: messages.ExecutionReal, Result: json.RawMessage(`{"requests":"many"}`)},
	}
}

// shownTemplate has a step whose answer was there, and an answer with what a terminal would obey.
func shownTemplate(name string) actions.TemplateReport {
	return actions.TemplateReport{
		Template: name, Answer: "All is well.\nSales rose \x1b[31m.", CostMicroUSD: 1234, TokensIn: 400, TokensOut: 80, Note: "the offline backend answered",
		Steps: []actions.TemplateStep{
			{Name: "facts", Status: messages.StatusSuccess, Backend: "openai", Model: "small-1", Seconds: 1.25, CostMicroUSD: 1234, TokensIn: 300, TokensOut: 60},
			{Name: "summary", Status: messages.StatusSuccess, Backend: "offline", Seconds: 0.5, Reused: true, TokensIn: 100, TokensOut: 20},
		},
	}
}

// stoodIn is an execution whose document another action made.
func stoodIn(action string, x *messages.Execution) *messages.Execution {
	x.Fallback, x.Action, x.Mode, x.Because = x.Action, action, messages.ExecutionFallback, "no ground"
	return x
}

func executionOf(action string, document any) *messages.Execution {
	data, err := json.Marshal(document)
	if err != nil {
		panic(err) // plain data
	}
	return &messages.Execution{Action: action, Version: "2", Mode: messages.ExecutionReal, Samples: 40, Confidence: 0.87, Seconds: 4.2, Result: data}
}

func shownCosts(w actions.Window) actions.CostReport {
	costs := func(names ...string) (all []actions.CostShare) {
		for i, name := range names {
			all = append(all, actions.CostShare{Name: name, Requests: int64(100 - i), CostMicroUSD: int64(123_456_789 / (i + 1)), Share: 1 / float64(i+2), TokensIn: 123_456_789, TokensOut: 12_345_678})
		}
		return all
	}
	many := []string{}
	for i := range 25 {
		many = append(many, "user-"+strings.Repeat("x", i*3))
	}
	return actions.CostReport{
		Window: w, Requests: 199, CostMicroUSD: 185_185_183, MeanMicroUSD: 930_578.8, SpreadMicroUSD: 12_345.6,
		ByModel: costs("claude-opus-5", "global.anthropic.claude-haiku-4-5-20251001-v1:0"), ByUser: costs(many...), ByDepartment: costs("sales", "", "\x1b[31mred", strings.Repeat("漢", 30)), ByDay: costs("2026-02-28"),
		Savings: actions.CostSavings{
			CachedRequests: 12, CachedMicroUSD: 345_678, PaidAgainRequests: 3, PaidAgainMicroUSD: 4_567,
			CheaperModels: []actions.CheaperModel{
				{Model: "global.anthropic.claude-opus-4-6-v1", Instead: "global.anthropic.claude-haiku-4-5-20251001-v1:0", Requests: 100, CostMicroUSD: 123_456_789, WouldCost: 24_691_358, Saves: 98_765_431, Times: 5},
				{Model: "gpt-5-nano", Instead: "free", Requests: 1, CostMicroUSD: 1, Saves: 1},
			},
			Note: "the same tokens by today's prices; whether the answers would be as good is for people to judge",
		},
	}
}

func shownErrors(w actions.Window) actions.ErrorReport {
	group := func(name, backend string, n int64, trend *float64, next string) actions.ErrorGroup {
		return actions.ErrorGroup{Name: name, Backend: backend, Count: n, Share: float64(n) / 10, Trend: trend, Last: w.Until, Next: next}
	}
	return actions.ErrorReport{
		Window: w, Attempts: 1200, FailedAttempts: 7, RetriedCalls: 3, Requests: 1100, FailedRequests: 7, DeadLetters: 4,
		ByClass:   []actions.ErrorGroup{group("rate_limited", "anthropic", 6, new(2.0), ""), group("transient", "openai", 4, nil, "")},
		ByBackend: []actions.ErrorGroup{group("anthropic", "", 6, new(0.0), ""), group("openai", "", 4, nil, "")},
		ByLayer:   []actions.ErrorGroup{group(string(messages.LayerAI), "", 4, nil, ""), group(string(messages.LayerCorporate), "", 3, nil, "")},
		ByReason: []actions.ErrorGroup{
			group(string(messages.ReasonBackendInvalid), "", 4, new(1.0), messages.Explain(messages.ReasonBackendInvalid).Next),
			group(string(messages.ReasonAgreementUnknown), "", 3, nil, messages.Explain(messages.ReasonAgreementUnknown).Next),
		},
	}
}

func shownComponents() actions.IntegrationReport {
	return actions.IntegrationReport{Components: []actions.Component{
		{Name: "postgres", OK: true, State: "healthy", Seconds: 0.002, Detail: "18.1, schema 31"},
		{Name: "mlflow", State: "unhealthy", Seconds: 0.001, Error: "Get \"http://127.0.0.1:5000/health\": dial tcp 127.0.0.1:5000: connect: connection refused"},
		{Name: "s3", OK: true, State: "degraded", Seconds: 2.5, Detail: "bucket example-bucket", Error: "slower than 1s"},
		{Name: "chain", OK: true, State: "healthy", Seconds: 0.9, Detail: "all three layers, answered by anthropic"},
	}}
}

func shownSecurity() actions.SecurityReport {
	return actions.SecurityReport{
		Counts: map[security.Severity]int{security.Critical: 1, security.High: 0, security.Medium: 3},
		Checks: []security.Check{
			{Check: "database_roles", State: security.Fail, LookedAt: 4, Findings: []security.Finding{{
				Severity: security.Critical, Subject: "role reporting", What: "may UPDATE outcome, by itself", NextStep: "REVOKE UPDATE ON flowgate.outcome FROM reporting",
			}}},
			{Check: "transport", State: security.Warn, LookedAt: 6, More: 2, Findings: []security.Finding{{
				Severity: security.Medium, Subject: "collector", What: "is another machine and asked without TLS, so that whoever stands between can read the traces and change what they say of it", NextStep: "name it with https://",
			}}},
			{Check: "file_modes", State: security.Pass, LookedAt: 12},
			{Check: "broker_credentials", State: security.NotLookedAt, Why: "the NATS server is not flowgate's own: name its configuration file in flowgate.nats.server_config"},
		},
	}
}

// TestExecutionsReadWell prints executions as they are kept, none of them wider than a terminal of 100 columns.
func TestExecutionsReadWell(t *testing.T) {
	for name, x := range shownExecutions() {
		lines := executionLines(x)
		for _, line := range lines {
			if cellsOf(line) > tableWidth || strings.ContainsFunc(line, commands) {
				t.Errorf("%s: %d cells: %q", name, cellsOf(line), line)
			}
		}
		path, got := filepath.Join("testdata", "execution", name+".txt"), strings.Join(lines, "\n")+"\n"
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil || got != string(want) {
			t.Errorf("%s: %v: printed is\n%s\nkept is\n%s", name, err, got, want)
		}
	}
}

// TestPipelinesShowNoDocumentThatMayHaveAnswers: how it went is shown, and how long a document there is.
func TestPipelinesShowNoDocumentThatMayHaveAnswers(t *testing.T) {
	t.Parallel()
	own, figures := executionOf("board_summary", map[string]any{"answer": "what a model told"}), executionOf(actions.CostAnalysisAction, map[string]any{"requests": 3})
	figures.Figures = true
	for _, x := range []*messages.Execution{own, figures} {
		s := optimizerStage(&messages.OptimizerSection{Execution: x})
		data, err := json.Marshal(s)
		if err != nil || strings.Contains(string(data), "what a model told") || strings.Contains(string(data), "requests") != x.Figures {
			t.Errorf("%v: %s", err, data)
		}
		if text := strings.Join(s.facts(), "\n"); !strings.Contains(text, "4.200 s, 40 samples, confidence 0.87") {
			t.Errorf("got %s", text)
		}
	}
	if got := strings.Join(executionLines(own.Bare()), "\n"); !strings.Contains(got, "40 samples") || !strings.Contains(got, "document  of 30 bytes") {
		t.Errorf("one that is kept no longer reads\n%s", got)
	}
}
