package backends

import (
	"bufio"
	"context"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/pipelines/ai"
	"flowgate/worker"
	"flowgate/worker/workertest"
)

// peerPackage is a model server that others wrote, for other clients: what it understands of ours, and we of its, we did not agree upon
// among ourselves.
const peerPackage = "@copilotkit/aimock@1.43.0"

// peerFixtures are what the peer answers to the live tests, and the faults that it can make.
func peerFixtures(t *testing.T) string {
	t.Helper()
	said := func(content string, more map[string]any) map[string]any {
		response := map[string]any{"content": content, "usage": map[string]int{"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14}}
		maps.Copy(response, more)
		return response
	}
	var all []any
	on := func(prompt string, response any, more map[string]any) {
		match := map[string]any{"userMessage": prompt}
		fixture := map[string]any{"match": match, "response": response}
		for k, v := range more {
			if k == "hasToolResult" {
				match[k] = v
			} else {
				fixture[k] = v
			}
		}
		all = append(all, fixture)
	}
	failed := func(status int, kind, code string) map[string]any {
		return map[string]any{"status": status, "error": map[string]any{"message": "no", "type": kind, "code": code}}
	}
	on("Say hello", said("Hello there.", nil), nil)
	on("Count from", said("one two three", map[string]any{"finishReason": "length"}), nil)
	call := said("", nil)
	delete(call, "content")
	call["toolCalls"] = []any{map[string]any{"name": "weather", "arguments": map[string]any{"city": "Paris"}}}
	on("weather in Paris", call, map[string]any{"hasToolResult": false})
	on("weather in Paris", said("Sunny.", nil), map[string]any{"hasToolResult": true})
	on("capital of France", said(`{"city":"Paris"}`, nil), nil)
	on("Which colour", said("Red.", nil), nil)
	on("fault rate", failed(429, "rate_limit_error", "rate_limit_exceeded"), nil)
	on("fault overloaded", failed(503, "overloaded_error", ""), nil)
	on("fault broken", failed(500, "server_error", ""), nil)
	on("fault key", failed(401, "authentication_error", "invalid_api_key"), nil)
	on("fault model", failed(404, "not_found_error", "model_not_found"), nil)
	on("fault money", failed(402, "billing_error", ""), nil)
	on("fault words", failed(400, "invalid_request_error", ""), nil)
	on("fault malformed", said("x", nil), map[string]any{"chaos": map[string]any{"malformedRate": 1.0}})
	on("fault disconnect", said("x", nil), map[string]any{"chaos": map[string]any{"disconnectRate": 1.0}})
	data, err := json.Marshal(map[string]any{"fixtures": all})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "fixtures.json")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// peer installs the package into a folder of the test and starts it. It gives the URL without a path.
func peer(t *testing.T) string {
	t.Helper()
	demanded := os.Getenv("FLOWGATE_ACCEPTANCE") == "1"
	give := func(format string, args ...any) {
		t.Helper()
		if demanded {
			t.Fatalf(format, args...)
		}
		t.Skipf(format+"; make acceptance demands it", args...)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		give("node is not on this machine, and the peer %s needs it", peerPackage)
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		give("npm is not on this machine, and the peer %s comes from its registry", peerPackage)
	}
	environment := os.Environ()
	for _, name := range workertest.ProxyVariables() {
		if value, there := keys[name]; there {
			environment = append(environment, name+"="+value)
		}
	}
	folder := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	install := exec.CommandContext(ctx, npm, "install", "--prefix", folder, "--ignore-scripts", "--no-audit", "--no-fund", "--no-save", peerPackage)
	install.Env, install.WaitDelay = environment, time.Second
	if said, err := install.CombinedOutput(); err != nil {
		give("installing %s: %v: %s", peerPackage, err, said)
	}
	server := exec.CommandContext(t.Context(), node, filepath.Join(folder, "node_modules/@copilotkit/aimock/dist/cli.js"),
		"--port", "0", "--fixtures", peerFixtures(t))
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatalf("starting the peer: %v", err)
	}
	found, ended := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(ended)
		address := regexp.MustCompile(`http://127\.0\.0\.1:\d+`)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if url := address.FindString(lines.Text()); url != "" {
				select {
				case found <- url:
				default:
				}
			}
		}
	}()
	t.Cleanup(func() {
		_ = server.Process.Kill() // it is ours
		<-ended
		_ = server.Wait() // it was killed
	})
	select {
	case url := <-found:
		return url
	case <-ended:
		t.Fatal("the peer ended before it listened")
	case <-time.After(time.Minute):
		t.Fatal("the peer does not listen after a minute")
	}
	return ""
}

// TestPeerUnderstandsUs asks an independent server through each backend that it has a protocol for.
func TestPeerUnderstandsUs(t *testing.T) {
	root := peer(t)
	for _, p := range liveProviders() {
		t.Run(p.name, func(t *testing.T) {
			base := root
			if p.key == "OPENAI_API_KEY" {
				base += "/v1"
			}
			stage := p.stage(t, "sk-peer", base)
			stage.AnyModel, stage.VectorsUncounted = true, true
			if stage.Backend.Name() == BedrockName { // it has Converse, without AWS's request ids, and no InvokeModel for vectors
				stage.Nameless, stage.Can = true, slices.DeleteFunc(stage.Can, func(a workertest.Ability) bool { return a == workertest.CanEmbeddings })
			}
			workertest.RunLiveTests(t, stage)
			peerFaults(t, stage.Backend, stage.Model)
		})
	}
}

func peerFaults(t *testing.T, b worker.Backend, model string) {
	t.Helper()
	for what, class := range map[string]ai.Class{
		"rate": ai.ClassRateLimited, "overloaded": ai.ClassOverloaded, "broken": ai.ClassTransient, "key": ai.ClassAuth, "model": ai.ClassInvalid,
		"money": ai.ClassQuota, "words": ai.ClassInvalid, "malformed": ai.ClassInDoubt, "disconnect": ai.ClassInDoubt,
	} {
		call := workertest.NewCall("peer-" + what)
		call.Model, call.DefaultTemperature, call.Messages = model, true, []messages.Message{{Role: "user", Content: "fault " + what}}
		fault := faultFrom(t, b, call)
		if fault.Class != class || fault.Elsewhere != (what == "model") {
			t.Errorf("%s: %+v, want %s", what, fault, class)
		}
		if what == "rate" && (fault.RetryAfter <= 0 || b.Name() == OpenAIName && !fault.Quota.Requests.Known) {
			t.Errorf("%s: waits %s, quota %+v", what, fault.RetryAfter, fault.Quota)
		}
	}
}
