package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"flowgate/messages"
)

// contentFlags are those that do more than to fill one field with their value.
func contentFlags() []string {
	return []string{"image", "tools", "response-schema", "json-answer", "input", "input-lines", "no-cache", "no-store", "max-age", "refresh"}
}

// contents puts into the fields what comes from files, and what several flags make together.
func (s *inquiry) contents(cmd *cobra.Command, fields map[string]any) error {
	if s.jsonAnswer && s.schema != "" {
		return errors.New("give either --json-answer or --response-schema")
	}
	if s.jsonAnswer {
		fields["response_format"] = messages.ResponseFormat{Type: messages.FormatJSONObject}
	}
	for _, put := range []func(map[string]any) error{s.putSchema, s.putTools, s.putInputs, s.putImages} {
		if err := put(fields); err != nil {
			return err
		}
	}
	return s.putCache(cmd, fields)
}

func (s *inquiry) putSchema(fields map[string]any) error {
	if s.schema == "" {
		return nil
	}
	data, err := readJSON("--response-schema", s.schema)
	fields["response_format"] = messages.ResponseFormat{Type: messages.FormatJSONSchema, Name: "answer", Schema: data}
	return err
}

// putTools takes tools as a request has them, and in OpenAI's form.
func (s *inquiry) putTools(fields map[string]any) error {
	if s.tools == "" {
		return nil
	}
	data, err := readJSON("--tools", s.tools)
	if err != nil {
		return err
	}
	var all []map[string]json.RawMessage
	if json.Unmarshal(data, &all) != nil {
		return fmt.Errorf("flag --tools: %s must be a JSON array of tools", s.tools)
	}
	tools := make([]any, len(all))
	for i, one := range all {
		tools[i] = one
		if function, wrapped := one["function"]; wrapped && len(one) == 2 && string(one["type"]) == `"function"` {
			tools[i] = function
		}
	}
	fields["tools"] = tools
	return nil
}

func (s *inquiry) putInputs(fields map[string]any) error {
	inputs := slices.Clone(s.inputs)
	if s.lines != "" {
		data, err := readFile("--input-lines", s.lines)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(data)) {
			if line = strings.TrimRight(line, "\r\n"); line != "" {
				inputs = append(inputs, line)
			}
		}
		if len(inputs) == 0 {
			return fmt.Errorf("flag --input-lines: %s has no texts", s.lines)
		}
	}
	if len(inputs) > 0 {
		fields["input"] = inputs
	}
	return nil
}

// putImages gives the images to the prompt, or to the newest message of a user.
func (s *inquiry) putImages(fields map[string]any) error {
	if len(s.images) == 0 {
		return nil
	}
	images := make([]messages.Image, len(s.images))
	for i, name := range s.images {
		var err error
		if images[i], err = imageOf(name); err != nil {
			return err
		}
	}
	document, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	var r messages.Request
	if err := json.Unmarshal(document, &r); err != nil {
		return err
	}
	turns := r.Messages
	if r.Prompt != "" {
		turns = []messages.Message{{Role: "user", Content: r.Prompt}}
	}
	for i, m := range slices.Backward(turns) {
		if m.Role == "user" {
			turns[i].Images = append(m.Images, images...)
			delete(fields, "prompt")
			fields["messages"] = turns
			return nil
		}
	}
	return errors.New("flag --image needs a prompt, or a message of role user")
}

// imageOf is an image of a file, its type found by its content, or of an address.
func imageOf(name string) (messages.Image, error) {
	if strings.HasPrefix(name, "https://") {
		return messages.Image{URL: name}, nil
	}
	if scheme, _, address := strings.Cut(name, "://"); address {
		return messages.Image{}, fmt.Errorf("flag --image: an address must be https, which the provider reads itself, not %.20s; or name a file", scheme)
	}
	data, err := readFile("--image", name)
	if err != nil {
		return messages.Image{}, err
	}
	media := http.DetectContentType(data)
	if !slices.Contains([]string{"image/png", "image/jpeg", "image/gif", "image/webp"}, media) {
		return messages.Image{}, fmt.Errorf("flag --image: %s is no PNG, JPEG, GIF or WebP", name)
	}
	return messages.Image{MediaType: media, Data: base64.StdEncoding.EncodeToString(data)}, nil
}

// putCache changes what the flags name of what the document says to the cache.
func (s *inquiry) putCache(cmd *cobra.Command, fields map[string]any) error {
	var cache map[string]any
	if raw, has := fields["cache"].(json.RawMessage); has {
		if err := json.Unmarshal(raw, &cache); err != nil {
			return fmt.Errorf("reading the field cache: %w", err)
		}
	}
	if cache == nil {
		cache = make(map[string]any)
	}
	for flag, member := range map[string]field{
		"no-cache": {"no_cache", s.noCache}, "no-store": {"no_store", s.noStore}, "refresh": {"refresh", s.newAnswer}, "max-age": {"max_age", s.maxAge.Seconds()},
	} {
		if cmd.Flags().Changed(flag) {
			cache[member.name] = member.value
			fields["cache"] = cache
		}
	}
	return nil
}

// readJSON reads the file of a flag, which must be one JSON document.
func readJSON(flag, name string) (json.RawMessage, error) {
	data, err := readFile(flag, name)
	if err == nil && !json.Valid(data) {
		err = fmt.Errorf("flag %s: %s must be valid JSON", flag, name)
	}
	return bytes.TrimSpace(data), err
}

// readFile reads the file of a flag. What could not be part of a request is not read to its end.
func readFile(flag, name string) ([]byte, error) {
	file, err := os.Open(name) //nolint:gosec // the user names the file
	if err != nil {
		return nil, fmt.Errorf("flag %s: %w", flag, err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, messages.MaxRequestBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("flag %s: reading %s: %w", flag, name, err)
	case len(data) > messages.MaxRequestBytes:
		return nil, fmt.Errorf("flag %s: %s is over the %d bytes that a whole request may have", flag, name, messages.MaxRequestBytes)
	case len(bytes.TrimSpace(data)) == 0:
		return nil, fmt.Errorf("flag %s: %s is empty", flag, name)
	}
	return data, nil
}
