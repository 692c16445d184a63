package backends

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"flowgate/messages"
	"flowgate/pipelines/ai"
	"flowgate/worker"
	"flowgate/worker/workertest"
)

var _ worker.Backend = (*Offline)(nil)

func offline(t testing.TB, options OfflineOptions) *Offline {
	t.Helper()
	b, err := NewOffline(options)
	if err != nil {
		t.Fatalf("NewOffline: %v", err)
	}
	return b
}

func scripted(call ai.Call, key, value string) ai.Call {
	call.Metadata = map[string][]byte{key: []byte(value)}
	return call
}

func TestOfflineKeepsTheContract(t *testing.T) {
	workertest.RunBackendTests(t, func(t *testing.T) workertest.Stage {
		return workertest.Stage{
			Backend: offline(t, OfflineOptions{}),
			Can: []workertest.Ability{
				workertest.CanNames, workertest.CanTopP, workertest.CanTopK, workertest.CanStop, workertest.CanSeed, workertest.CanImages,
				workertest.CanImageURLs,
			},
			Fault: func(call ai.Call, class ai.Class, wait time.Duration) ai.Call {
				return scripted(call, MetadataFaults, fmt.Sprintf(`[{"class":%q,"retry_after_ms":%d}]`, class, wait.Milliseconds()))
			},
			Hold: func(call ai.Call) (ai.Call, <-chan struct{}) {
				there := make(chan struct{})
				close(there)
				return scripted(call, MetadataLatency, "600000"), there
			},
		}
	})
}

func TestOfflineAnswersAreLabelledAndGolden(t *testing.T) {
	got, err := offline(t, OfflineOptions{}).Call(t.Context(), workertest.NewCall("golden"))
	if err != nil {
		t.Fatal(err)
	}
	want := ai.Answer{
		Text: "[offline backend, no model] No model was asked; this text is computed and judges nothing. Input: messages 2, " +
			"bytes 42, temperature 0.7, max_tokens 200. Hash: delta amber juniper lagoon 23c0192b1ed6.",
		Model: "offline", FinishReason: "stop", ProviderRequestID: "offline-23c0192b1ed6",
		Usage: messages.Usage{InputUncached: 11 + 2*4, Output: 50},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("answer is\n%+v, want\n%+v", got, want)
	}
}

func TestOfflineTextDependsOnEveryPartOfTheCallAndOnNothingElse(t *testing.T) {
	b := offline(t, OfflineOptions{})
	ask := func(change func(*ai.Call)) string {
		call := workertest.NewCall("parts")
		change(&call)
		got, err := b.Call(t.Context(), call)
		if err != nil {
			t.Fatal(err)
		}
		return got.Text
	}
	base := ask(func(*ai.Call) {})
	for name, change := range map[string]func(*ai.Call){
		"model":       func(c *ai.Call) { c.Model += "x" },
		"temperature": func(c *ai.Call) { c.Temperature = 0 },
		"max_tokens":  func(c *ai.Call) { c.MaxTokens++ },
		"role":        func(c *ai.Call) { c.Messages[0].Role = "developer" },
		"name":        func(c *ai.Call) { c.Messages[0].Name = "n" },
		"separator":   func(c *ai.Call) { move(c.Messages) },
	} {
		if ask(change) == base {
			t.Errorf("another %s gives the same text", name)
		}
	}
	for name, change := range map[string]func(*ai.Call){
		"key":      func(c *ai.Call) { c.ID = "other" },
		"attempt":  func(c *ai.Call) { c.Epoch, c.Attempt = 3, 7 },
		"metadata": func(c *ai.Call) { c.Metadata = nil },
	} {
		if ask(change) != base {
			t.Errorf("another %s gives another text", name)
		}
	}
}

// move moves the last byte of the first message to the front of the second.
func move(m []messages.Message) {
	end := len(m[0].Content) - 1
	m[1].Content = m[0].Content[end:] + m[1].Content
	m[0].Content = m[0].Content[:end]
}

func TestOfflineCountsStayWithinTheBoundAndEchoNothing(t *testing.T) {
	b := offline(t, OfflineOptions{})
	rapid.Check(t, func(t *rapid.T) {
		call := ai.Call{
			Model: "m", Temperature: rapid.Float64Range(0, 2).Draw(t, "temperature"),
			MaxTokens: rapid.OneOf(rapid.IntRange(1, 100), rapid.Just(math.MaxInt)).Draw(t, "max_tokens"),
		}
		bound := int64(16)
		for _, content := range rapid.SliceOfN(rapid.String(), 1, 20).Draw(t, "contents") {
			call.Messages = append(call.Messages, messages.Message{Role: "user", Content: "qzx" + content})
			bound += int64(len(content)) + 3 + 16
		}
		got, err := b.Call(context.Background(), call)
		if err != nil {
			t.Fatal(err)
		}
		if got.Usage.Input() > bound || got.Usage.Output > int64(call.MaxTokens) || got.Usage.Output < 1 {
			t.Errorf("usage %+v is out of bounds (input %d, output %d)", got.Usage, bound, call.MaxTokens)
		}
		if strings.Contains(got.Text, "qzx") || !strings.HasPrefix("[offline backend, no model]", got.Text[:min(len(got.Text), 27)]) {
			t.Errorf("text %q echoes the prompt or bears no label", got.Text)
		}
	})
}

func TestOfflineScriptChoosesTheFirstFaultThatFits(t *testing.T) {
	b := offline(t, OfflineOptions{})
	const script = `[{"class":"transient","epoch":0,"attempts":2,"retry_after_ms":500},{"class":"overloaded","epoch":0,"attempts":3},
		{"class":"in_doubt","epoch":2},{"class":"refused","epoch":3,"attempts":0}]`
	for _, test := range []struct {
		epoch, attempt int
		want           ai.Class
		wait           time.Duration
	}{
		{0, 1, ai.ClassTransient, 500 * time.Millisecond},
		{0, 2, ai.ClassTransient, 500 * time.Millisecond},
		{0, 3, ai.ClassOverloaded, 0},
		{0, 4, "", 0},
		{1, 1, "", 0},
		{2, 1, ai.ClassInDoubt, 0},
		{2, 99, ai.ClassInDoubt, 0},
		{3, 5, ai.ClassRefused, 0},
	} {
		call := scripted(workertest.NewCall("script"), MetadataFaults, script)
		call.Epoch, call.Attempt = test.epoch, test.attempt
		got, err := b.Call(t.Context(), call)
		var class ai.Class
		var wait time.Duration
		var fault *ai.Fault
		switch {
		case errors.As(err, &fault):
			class, wait = fault.Class, fault.RetryAfter
		case got.Refused:
			class = ai.ClassRefused
		}
		if class != test.want || wait != test.wait {
			t.Errorf("epoch %d attempt %d: class %q after %s, want %q after %s", test.epoch, test.attempt, class, wait, test.want, test.wait)
		}
	}
}

func TestOfflineScriptThatIsWrongNamesTheField(t *testing.T) {
	b := offline(t, OfflineOptions{})
	for _, test := range []struct{ key, value, want string }{
		{MetadataFaults, `{`, "metadata.offline_faults: must be an array"},
		{MetadataFaults, `null`, "metadata.offline_faults: must be an array"},
		{MetadataFaults, `{"class":"transient"}`, "metadata.offline_faults: must be an array"},
		{MetadataFaults, `[{"class":"transient","wisteria":1}]`, "metadata.offline_faults: must be an array"},
		{MetadataFaults, `[] []`, "metadata.offline_faults: must be an array"},
		{MetadataFaults, `[{"class":"transient"},{"class":"wisteria"}]`, "metadata.offline_faults[1].class: must be"},
		{MetadataFaults, `[{}]`, "metadata.offline_faults[0].class: must be"},
		{MetadataFaults, `[{"class":"auth","epoch":-1}]`, "metadata.offline_faults[0].epoch: must not"},
		{MetadataFaults, `[{"class":"auth","attempts":-1}]`, "metadata.offline_faults[0].attempts: must not"},
		{MetadataFaults, `[{"class":"auth","retry_after_ms":600001}]`, "metadata.offline_faults[0].retry_after_ms: must be"},
		{MetadataFaults, `[` + strings.Repeat(`{"class":"auth"},`, 64) + `{"class":"auth"}]`, "metadata.offline_faults: must be at most 64"},
		{MetadataLatency, `"5"`, "metadata.offline_latency_ms: must be a number from 0 to 600000"},
		{MetadataLatency, `-1`, "metadata.offline_latency_ms: must be a number from 0 to 600000"},
		{MetadataLatency, `600001`, "metadata.offline_latency_ms: must be a number from 0 to 600000"},
		{MetadataLatency, `null`, "metadata.offline_latency_ms: must be a number from 0 to 600000"},
		{MetadataLatency, ``, "metadata.offline_latency_ms: must be a number from 0 to 600000"},
	} {
		_, err := b.Call(t.Context(), scripted(workertest.NewCall("wrong"), test.key, test.value))
		var fault *ai.Fault
		if !errors.As(err, &fault) || fault.Class != ai.ClassInvalid || !strings.HasPrefix(fault.Detail, test.want) {
			t.Errorf("%s: error is %v, want an invalid one that says %q", test.value, err, test.want)
		}
		if strings.Contains(fmt.Sprint(err), "wisteria") {
			t.Errorf("error repeats the value: %v", err)
		}
	}
}

func TestOfflineTakesItsTime(t *testing.T) {
	for _, test := range []struct {
		name    string
		options OfflineOptions
		script  string
		timeout time.Duration
		want    time.Duration
		code    string
	}{
		{"as configured", OfflineOptions{Latency: 3 * time.Second}, "", time.Minute, 3 * time.Second, ""},
		{"as scripted", OfflineOptions{Latency: 3 * time.Second}, "250.5", time.Minute, 250500 * time.Microsecond, ""},
		{"scripted away", OfflineOptions{Latency: 3 * time.Second}, "0", time.Minute, 0, ""},
		{"until the deadline", OfflineOptions{}, "600000", time.Minute, time.Minute, "timeout"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				call := workertest.NewCall("latency")
				if test.script != "" {
					call = scripted(call, MetadataLatency, test.script)
				}
				ctx, cancel := context.WithTimeout(t.Context(), test.timeout)
				defer cancel()
				start := time.Now()
				_, err := offline(t, test.options).Call(ctx, call)
				if took := time.Since(start); took != test.want {
					t.Errorf("took %s, want %s", took, test.want)
				}
				code := ""
				if fault := (*ai.Fault)(nil); errors.As(err, &fault) {
					code = fault.Code
				}
				if code != test.code {
					t.Errorf("error is %v, want code %q", err, test.code)
				}
			})
		})
	}
}

func TestOfflineOptionsAreChecked(t *testing.T) {
	for _, latency := range []time.Duration{-1, MaxOfflineLatency + 1} {
		if _, err := NewOffline(OfflineOptions{Latency: latency}); err == nil || !strings.Contains(err.Error(), "latency") {
			t.Errorf("latency %d: error is %v, want one that names latency", latency, err)
		}
	}
}

func FuzzOfflineScript(f *testing.F) {
	f.Add(`[{"class":"transient","epoch":0,"attempts":2,"retry_after_ms":500}]`, `5`, 0, 1)
	f.Add(`[{"class":"refused"}]`, `1e3`, 1, 1)
	f.Add(`[{"class":"auth","retry_after_ms":1e999}]`, `null`, 0, 0)
	f.Add(`[[]]`, `"x"`, -1, -1)
	f.Fuzz(func(t *testing.T, faults, latency string, epoch, attempt int) {
		metadata := map[string][]byte{MetadataFaults: []byte(faults), MetadataLatency: []byte(latency)}
		script, err := decodeOfflineScript(metadata)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "metadata.offline_") {
				t.Errorf("error %q does not name its field", err)
			}
			return
		}
		if !json.Valid([]byte(faults)) || !json.Valid([]byte(latency)) {
			t.Errorf("took %q and %q for a script", faults, latency)
		}
		if *script.latency < 0 || *script.latency > MaxOfflineLatency {
			t.Errorf("latency %s is out of bounds", *script.latency)
		}
		if rule, ok := script.rule(epoch, attempt); ok {
			if fault := rule.fault(); !knownClass(fault.Class) || fault.RetryAfter < 0 || fault.RetryAfter > MaxOfflineLatency {
				t.Errorf("fault %+v is out of bounds", fault)
			}
		}
	})
}
