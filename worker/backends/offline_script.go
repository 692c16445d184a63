package backends

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"flowgate/pipelines/ai"
)

// Keys of a request's metadata that script the offline backend.
const (
	// MetadataFaults holds an array of faults such as
	//
	//	[{"class": "transient", "epoch": 0, "attempts": 2, "retry_after_ms": 500}]
	//
	// Class is one of ai.Class; refused makes a refused answer. Epoch left out means every epoch. Attempts is how many
	// attempts of an epoch fail, counted from the first; left out or 0 it is all. RetryAfterMS, in milliseconds, is passed on.
	// The first fault that fits decides, so {"attempts": 1} before {"attempts": 3} covers attempt 1, then 2 and 3.
	MetadataFaults = "offline_faults"
	// MetadataLatency holds a number of milliseconds from 0 to MaxOfflineLatency, that the answer takes.
	MetadataLatency = "offline_latency_ms"
)

// maxOfflineFaults bounds the faults of one script.
const maxOfflineFaults = 64

// offlineScript is what a request asks of the offline backend.
type offlineScript struct {
	faults  []offlineFault
	latency *time.Duration
}

// offlineFault is one fault of a script.
type offlineFault struct {
	Class        ai.Class `json:"class"`
	Epoch        *int     `json:"epoch"`
	Attempts     int      `json:"attempts"`
	RetryAfterMS float64  `json:"retry_after_ms"`
}

// rule is the first fault that fits, if one does.
func (s *offlineScript) rule(epoch, attempt int) (offlineFault, bool) {
	for _, f := range s.faults {
		if (f.Epoch == nil || *f.Epoch == epoch) && (f.Attempts == 0 || attempt <= f.Attempts) {
			return f, true
		}
	}
	return offlineFault{}, false
}

func (f offlineFault) fault() *ai.Fault {
	return &ai.Fault{
		Class: f.Class, Code: "scripted", Detail: "the request's " + MetadataFaults + " ask for this fault",
		RetryAfter: milliseconds(f.RetryAfterMS),
	}
}

// decodeOfflineScript reads the script from a request's metadata, whose values are raw JSON. Its errors name the field and
// the rule, never the value.
func decodeOfflineScript(metadata map[string][]byte) (offlineScript, error) {
	var script offlineScript
	if data, ok := metadata[MetadataFaults]; ok {
		if err := decodeExactly(data, &script.faults); err != nil || script.faults == nil {
			return offlineScript{}, errors.New("metadata." + MetadataFaults +
				": must be an array of objects with class, epoch, attempts and retry_after_ms")
		}
		if err := checkFaults(script.faults); err != nil {
			return offlineScript{}, err
		}
	}
	if data, ok := metadata[MetadataLatency]; ok {
		var ms *float64
		if err := decodeExactly(data, &ms); err != nil || ms == nil || !plausible(*ms) {
			return offlineScript{}, fmt.Errorf("metadata.%s: must be a number from 0 to %d",
				MetadataLatency, MaxOfflineLatency.Milliseconds())
		}
		latency := milliseconds(*ms)
		script.latency = &latency
	}
	return script, nil
}

func checkFaults(faults []offlineFault) error {
	if len(faults) > maxOfflineFaults {
		return fmt.Errorf("metadata.%s: must be at most %d", MetadataFaults, maxOfflineFaults)
	}
	for i, f := range faults {
		bad := func(field, rule string) error {
			return fmt.Errorf("metadata.%s[%d].%s: %s", MetadataFaults, i, field, rule)
		}
		switch {
		case !knownClass(f.Class):
			return bad("class", "must be rate_limited, overloaded, transient, quota, auth, invalid, refused or in_doubt")
		case f.Epoch != nil && *f.Epoch < 0:
			return bad("epoch", "must not be negative")
		case f.Attempts < 0:
			return bad("attempts", "must not be negative")
		case !plausible(f.RetryAfterMS):
			return bad("retry_after_ms", fmt.Sprintf("must be from 0 to %d", MaxOfflineLatency.Milliseconds()))
		}
	}
	return nil
}

func knownClass(class ai.Class) bool {
	switch class {
	case ai.ClassRateLimited, ai.ClassOverloaded, ai.ClassTransient, ai.ClassQuota, ai.ClassAuth, ai.ClassInvalid,
		ai.ClassRefused, ai.ClassInDoubt:
		return true
	case ai.ClassDrained: // ours, never a backend's
	}
	return false
}

func plausible(ms float64) bool { return ms >= 0 && ms <= float64(MaxOfflineLatency.Milliseconds()) }

func milliseconds(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }

// decodeExactly decodes one JSON value that has no unknown field and nothing behind it.
func decodeExactly(data []byte, v any) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(v); err != nil {
		return fmt.Errorf("decoding: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("decoding: more than one value")
	}
	return nil
}
