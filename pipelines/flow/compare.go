package flow

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
)

// Difference is a field that two agreements have otherwise.
type Difference struct {
	// Field is its path, such as limits.calls_day.
	Field string `json:"field"`
	// Before and After are as in JSON; null where the field is left out.
	Before any `json:"before"`
	After  any `json:"after"`
}

// Compare lists what differs between two agreements, by field, beside what names a version (version) and what its approval adds
// (approver).
func Compare(before, after Agreement) []Difference {
	was, is := fields(before), fields(after)
	paths := maps.Clone(was)
	maps.Copy(paths, is)
	differ := []Difference{}
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		if !reflect.DeepEqual(was[path], is[path]) {
			differ = append(differ, Difference{path, was[path], is[path]})
		}
	}
	return differ
}

// fields are those of an agreement's content by path.
func fields(a Agreement) map[string]any {
	a.Version, a.Approver = "", ""
	a.ValidFrom, a.ValidUntil = a.ValidFrom.UTC(), a.ValidUntil.UTC()
	a.ConfidenceThreshold = a.confidence()
	all := make(map[string]any)
	var content map[string]any
	data, err := json.Marshal(a)
	if err == nil {
		err = json.Unmarshal(data, &content)
	}
	if err != nil { // only parameters that no document can hold, which no agreement has that was checked
		content = map[string]any{"parameters": err.Error()}
	}
	flatten(all, "", content)
	delete(all, "version")
	return all
}

func flatten(into map[string]any, path string, value any) {
	nested, is := value.(map[string]any)
	if !is || len(nested) == 0 && path != "" {
		into[path] = value
		return
	}
	for key, v := range nested {
		if path != "" {
			key = path + "." + key
		}
		flatten(into, key, v)
	}
}
