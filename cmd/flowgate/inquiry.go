package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"flowgate/messages"
)

// inquiry is what the flags say of a request: what is asked, and who asks why.
type inquiry struct {
	file                                  string
	reason, purpose, user                 string
	department, model                     string
	priority, trigger, notBefore, expires string
	correlation                           string
	maxTokens                             int
	temperature                           float64

	system, toolChoice          string
	topP                        float64
	topK, dimensions            int
	seed                        int64
	stop, inputs                []string
	images                      []string
	tools, schema, lines        string
	jsonAnswer                  bool
	noCache, noStore, newAnswer bool
	maxAge                      time.Duration
}

// flags are those that every command has that makes a request.
func (s *inquiry) flags(f *pflag.FlagSet) {
	f.StringVar(&s.reason, "reason", "", "audit reason: why the model is asked")
	f.StringVar(&s.purpose, "purpose", "", "what the answer is for, in a `word` of the deployment's rules")
	f.StringVar(&s.user, "user", "", "user id")
	f.StringVar(&s.department, "department", "", "department")
	f.StringVar(&s.priority, "priority", "", "low, normal or high")
	f.StringVar(&s.trigger, "trigger", "", "trigger of the FLOW agreement to run under")
	f.StringVar(&s.correlation, "correlation-id", "", "`id` that joins requests which belong together; see flowgate pipeline show")
	f.StringVar(&s.notBefore, "run-at", "", "not before this `time`: RFC 3339, or from now such as +10m")
	f.StringVar(&s.expires, "not-after", "", "end it as timeout after this `time`: RFC 3339, or from now such as +2h")
	f.IntVar(&s.maxTokens, "max-tokens", 0, "bound of the answer in tokens")
	f.Float64Var(&s.temperature, "temperature", 0, "0 to 2")
	f.StringVar(&s.system, "system", "", "what the model is told to be, before everything else")
	f.Float64Var(&s.topP, "top-p", 0, "above 0 and at most 1: the part of the likeliest tokens that is sampled from")
	f.IntVar(&s.topK, "top-k", 0, "how many of the likeliest tokens are sampled from")
	f.StringArrayVar(&s.stop, "stop", nil, "`text` at which the answer ends; may be repeated")
	f.Int64Var(&s.seed, "seed", 0, "makes sampling repeatable, where a backend can")
	f.StringArrayVar(&s.images, "image", nil, "image: a `file` (PNG, JPEG, GIF, WebP) or an https URL; may be repeated")
	f.StringVar(&s.tools, "tools", "", "`file` with a JSON array of tools (name, description, parameters), also in OpenAI's form")
	f.StringVar(&s.toolChoice, "tool-choice", "", "auto, none, required or the name of a tool")
	f.StringVar(&s.schema, "response-schema", "", "`file` with the JSON Schema that the answer has to fit")
	f.BoolVar(&s.jsonAnswer, "json-answer", false, "the answer has to be a JSON object")
	f.StringArrayVar(&s.inputs, "input", nil, "`text` whose vector is asked for: an embedding; may be repeated")
	f.StringVar(&s.lines, "input-lines", "", "`file` with one text a line whose vectors are asked for")
	f.IntVar(&s.dimensions, "dimensions", 0, "those of the vectors")
	f.BoolVar(&s.noCache, "no-cache", false, "have nothing to do with the cache: an answer of its own, for nobody else")
	f.BoolVar(&s.noStore, "no-store", false, "leave nothing behind in the cache")
	f.DurationVar(&s.maxAge, "max-age", 0, "how old an answer may be that is there already")
	f.BoolVar(&s.newAnswer, "refresh", false, "ask anew and keep the new answer in the cache")
}

// read gives the document that arguments and flags make, checked.
func (s *inquiry) read(cmd *cobra.Command, args []string) ([]byte, messages.Request, error) {
	var none messages.Request
	if err := s.moments(time.Now()); err != nil {
		return nil, none, err
	}
	document, err := s.document(cmd, args)
	if err != nil {
		return nil, none, err
	}
	if len(document) > messages.MaxRequestBytes {
		return nil, none, tooLarge(document, messages.MaxRequestBytes)
	}
	request, err := messages.DecodeRequest(document)
	return document, request, err
}

// moments turns times that are counted from now into points in time.
func (s *inquiry) moments(now time.Time) error {
	for flag, text := range map[string]*string{"run-at": &s.notBefore, "not-after": &s.expires} {
		if *text == "" {
			continue
		}
		at, err := moment(flag, *text, now)
		if err != nil {
			return err
		}
		*text = at.Format(time.RFC3339Nano)
	}
	return nil
}

// moment reads a point in time, or how long it is from now until it.
func moment(flag, text string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.UTC().Add(d), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, fmt.Errorf("flag --%s must be a time such as 2026-01-31T12:00:00Z, or one from now such as +10m", flag)
	}
	return at, nil
}

// document builds or reads the request's document.
func (s *inquiry) document(cmd *cobra.Command, args []string) ([]byte, error) {
	if s.file == "" && len(args) == 0 && s.trigger == "" && len(s.inputs) == 0 && s.lines == "" {
		return nil, fmt.Errorf("give a prompt, or a document from a file; see `%s --help`", cmd.CommandPath())
	}
	fields := make(map[string]any)
	if s.file != "" {
		if len(args) > 0 {
			return nil, errors.New("give either a prompt or a document from a file")
		}
		data, err := readBounded(cmd, s.file)
		if err != nil || !s.flagged(cmd) {
			return data, err
		}
		if _, err := messages.DecodeRequest(data); err != nil {
			return nil, err
		}
		var raw map[string]json.RawMessage
		if err := json.Unmarshal(data, &raw); err != nil {
			return nil, fmt.Errorf("reading %s: %w", s.file, err)
		}
		for k, v := range raw {
			fields[k] = v
		}
	} else if len(args) > 0 {
		fields["prompt"] = args[0]
	}
	for name, field := range s.fields() {
		if !cmd.Flags().Changed(name) {
			continue
		}
		if x, number := field.value.(float64); number && (math.IsNaN(x) || math.IsInf(x, 0)) { // JSON has no such numbers
			return nil, &messages.FieldError{Field: field.name, Rule: "must be a finite number", Got: fmt.Sprint(x)}
		}
		fields[field.name] = field.value
	}
	if err := s.contents(cmd, fields); err != nil {
		return nil, err
	}
	if _, ok := fields["audit_reason"]; !ok {
		fields["audit_reason"] = ""
	}
	return json.Marshal(fields)
}

type field struct {
	name  string
	value any
}

func (s *inquiry) fields() map[string]field {
	return map[string]field{
		"reason": {"audit_reason", s.reason}, "purpose": {"purpose", s.purpose}, "user": {"user_id", s.user}, "department": {"department", s.department},
		"model": {"model", s.model}, "priority": {"priority", s.priority}, "trigger": {"trigger", s.trigger},
		"correlation-id": {"correlation_id", s.correlation},
		"run-at":         {"not_before", s.notBefore}, "not-after": {"not_after", s.expires},
		"max-tokens": {"max_tokens", s.maxTokens}, "temperature": {"temperature", s.temperature}, "system": {"system", s.system},
		"top-p": {"top_p", s.topP}, "top-k": {"top_k", s.topK}, "stop": {"stop", s.stop}, "seed": {"seed", s.seed},
		"tool-choice": {"tool_choice", s.toolChoice}, "dimensions": {"dimensions", s.dimensions},
	}
}

func (s *inquiry) flagged(cmd *cobra.Command) bool {
	for name := range s.fields() {
		if cmd.Flags().Changed(name) {
			return true
		}
	}
	return slices.ContainsFunc(contentFlags(), cmd.Flags().Changed)
}

// readBytes bounds what is read of a document that is too large, to name its largest field.
const readBytes = 64 << 20

// tooLarge names the largest field of a document that is over a limit.
func tooLarge(document []byte, limit int) error {
	fault := &messages.FieldError{
		Field: "(document)", Rule: fmt.Sprintf("must be at most %d bytes", limit), Got: fmt.Sprintf("%d bytes", len(document)),
	}
	if len(document) > readBytes {
		fault.Got = fmt.Sprintf("more than %d bytes", readBytes)
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(document, &fields) != nil {
		return fault
	}
	largest := 0
	for name, value := range fields {
		if len(value) > largest && len(name) <= longestField {
			largest = len(value)
			fault.Field = name
		}
	}
	if largest > 0 {
		fault.Rule = fmt.Sprintf("makes the document too large: all of it must be at most %d bytes", limit)
		fault.Got = fmt.Sprintf("%d bytes of %d", largest, len(document))
	}
	return fault
}

// longestField is longer than the name of any field.
const longestField = 40

// readBounded reads a document; what is far over the limit is not read to its end.
func readBounded(cmd *cobra.Command, name string) ([]byte, error) {
	in := cmd.InOrStdin()
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		in = file
	}
	data, err := io.ReadAll(io.LimitReader(in, readBytes+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if len(data) > messages.MaxRequestBytes {
		return nil, tooLarge(data, messages.MaxRequestBytes)
	}
	if len(strings.TrimSpace(string(data))) == 0 {
		return nil, fmt.Errorf("%s is empty", name)
	}
	return data, nil
}
