package provider

import (
	"net/http"
	"slices"
	"time"
)

// has tells whether there is a model.
func (s *Server) has(model string) bool {
	return s.options.Models == nil || slices.Contains(s.options.Models, model)
}

// shown are the models that are listed where every name is one.
func shown() []string {
	return []string{"claude-haiku-4-5", "claude-sonnet-4-5", "gpt-4o-mini", "gpt-5-mini", "text-embedding-3-small"}
}

// models lists the models as Anthropic or, for all others, as OpenAI does.
func (s *Server) models(w http.ResponseWriter, r *http.Request) {
	isAnthropic := r.Header.Get("Anthropic-Version") != ""
	var d dialect = chat{}
	if isAnthropic {
		d = anthropic{}
	}
	if f := d.admit(&s.keys, r, nil, s.options.Now()); f != nil {
		s.refuse(w, d, Reply{Outcome: f.outcome, Message: f.message}, "")
		return
	}
	names := s.options.Models
	if names == nil {
		names = shown()
	}
	data := make([]any, len(names))
	for i, name := range names {
		if isAnthropic {
			data[i] = map[string]any{"type": "model", "id": name, "display_name": name, "created_at": time.Unix(created, 0).UTC().Format(time.RFC3339)}
		} else {
			data[i] = map[string]any{"object": "model", "id": name, "created": created, "owned_by": "fake"}
		}
	}
	if !isAnthropic {
		writeJSON(w, http.StatusOK, map[string]any{"object": "list", "data": data})
		return
	}
	doc := map[string]any{"data": data, "has_more": false}
	if len(names) > 0 {
		doc["first_id"], doc["last_id"] = names[0], names[len(names)-1]
	}
	writeJSON(w, http.StatusOK, doc)
}

// created is when all that this provider makes is said to have been made.
const created = 1_790_000_000
