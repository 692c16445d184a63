package control

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/nats-io/nats.go/jetstream"

	"flowgate/messages"
	"flowgate/worker"
)

// Bucket is the name of the bucket; the topology makes it.
const Bucket = "flowgate_control"

// Bounds of what is kept.
const (
	// MaxPauses is how many pauses may hold at once, MaxReason the most bytes of a reason, MaxBy those of who paused.
	MaxPauses = 10_000
	MaxReason = 500
	MaxBy     = 100
	// maxValue is more than any value of ours has.
	maxValue = 8 << 10
)

// Pause is this package's word for worker.Pause.
type Pause = worker.Pause

// ErrNoBucket says that the deployment has no control bucket.
var ErrNoBucket = errors.New("the bucket " + Bucket + " is missing: make it with `flowgate topology apply`, or start `flowgate up`")

// value is what stands in the bucket under a pause's key.
type value struct {
	V      int       `json:"v"`
	Reason string    `json:"reason"`
	By     string    `json:"by,omitempty"`
	Since  time.Time `json:"since"`
}

const version = 1

// Check tells whether a pause may be set.
func Check(p Pause) error {
	if _, err := worker.ParsePauseKind(string(p.Kind)); err != nil {
		return err
	}
	for _, needed := range []struct{ field, text string }{{"name", p.Name}, {"reason", p.Reason}} {
		if strings.TrimSpace(needed.text) == "" {
			return fmt.Errorf("%s is missing: say it", needed.field)
		}
	}
	return cmp.Or(checkLine("name", p.Name, MaxName), checkWords(p.Reason, p.By))
}

// checkWords checks what an operator says: why, and who says it.
func checkWords(reason, by string) error {
	return cmp.Or(checkLine("reason", reason, MaxReason), checkLine("by", by, MaxBy))
}

// checkLine wants one line of text of at most so many bytes.
func checkLine(field, text string, most int) error {
	switch {
	case len(text) > most:
		return fmt.Errorf("%s has %d bytes, may have %d", field, len(text), most)
	case !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl):
		return fmt.Errorf("%s must be one line of text", field)
	}
	return nil
}

// Set pauses. A pause that holds already keeps its since and gets the new reason; changed is false where it said the same
// before. The pause holds everywhere within a second.
func Set(ctx context.Context, js jetstream.JetStream, p Pause) (set Pause, changed bool, err error) {
	if err := Check(p); err != nil {
		return p, false, err
	}
	kv, err := open(ctx, js)
	if err != nil {
		return p, false, err
	}
	name := key(p.Kind, p.Name)
	for range 10 { // somebody else may write the same key meanwhile
		entry, err := kv.Get(ctx, name)
		var revision uint64
		switch {
		case err == nil:
			old := decode(p.Kind, p.Name, entry)
			if !old.Unreadable && old.Reason == p.Reason && old.By == p.By {
				return old, false, nil
			}
			p.Since, revision = old.Since, entry.Revision()
		case errors.Is(err, jetstream.ErrKeyNotFound):
			if err := room(ctx, kv); err != nil {
				return p, false, err
			}
		default:
			return p, false, fmt.Errorf("reading a pause: %w", err)
		}
		data, err := json.Marshal(value{V: version, Reason: p.Reason, By: p.By, Since: p.Since.UTC()})
		if err != nil {
			return p, false, fmt.Errorf("encoding a pause: %w", err)
		}
		if revision == 0 {
			p.Version, err = kv.Create(ctx, name, data)
		} else {
			p.Version, err = kv.Update(ctx, name, data, revision)
		}
		if err == nil {
			return p, true, nil
		}
		if !errors.Is(err, jetstream.ErrKeyExists) {
			return p, false, fmt.Errorf("writing a pause: %w", err)
		}
	}
	return p, false, errors.New("writing a pause: others write it all the time; try again")
}

// room refuses a pause over the bound. The bucket's own count has more than pauses in it: it is asked first, for it costs less.
func room(ctx context.Context, kv jetstream.KeyValue) error {
	status, err := kv.Status(ctx)
	if err != nil {
		return fmt.Errorf("counting pauses: %w", err)
	}
	if status.Values() < MaxPauses {
		return nil
	}
	n, err := count(ctx, kv)
	if err == nil && n >= MaxPauses {
		err = fmt.Errorf("%d pauses hold already, which is the most there may be: resume some", n)
	}
	return err
}

// Clear ends a pause; cleared is false where there was none.
func Clear(ctx context.Context, js jetstream.JetStream, kind worker.PauseKind, name string) (was Pause, cleared bool, err error) {
	kv, err := open(ctx, js)
	if err != nil {
		return was, false, err
	}
	entry, err := kv.Get(ctx, key(kind, name))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return was, false, nil
	}
	if err != nil {
		return was, false, fmt.Errorf("reading a pause: %w", err)
	}
	was = decode(kind, name, entry)
	if err := kv.Delete(ctx, key(kind, name)); err != nil {
		return was, false, fmt.Errorf("ending a pause: %w", err)
	}
	return was, true, nil
}

// Layers says of each layer among pauses that is paused by whom and why.
func Layers(pauses []Pause) map[messages.LayerName]string {
	paused := make(map[messages.LayerName]string)
	for _, p := range pauses {
		if p.Kind == worker.PauseLayer {
			paused[messages.LayerName(p.Name)] = p.Why()
		}
	}
	return paused
}

// List lists every pause that holds, by kind and name.
func List(ctx context.Context, js jetstream.JetStream) ([]Pause, error) {
	kv, err := open(ctx, js)
	if err != nil {
		return nil, err
	}
	watch, err := kv.Watch(ctx, allPauses, jetstream.IgnoreDeletes())
	if err != nil {
		return nil, fmt.Errorf("listing pauses: %w", err)
	}
	defer func() { _ = stop(watch) }()
	var pauses []Pause
	for {
		select {
		case entry, open := <-watch.Updates():
			if !open {
				return nil, errors.New("listing pauses: the broker ended the list")
			}
			if entry == nil { // all of them were told
				slices.SortFunc(pauses, func(a, b Pause) int {
					return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
				})
				return pauses, nil
			}
			if kind, name, err := parseKey(entry.Key()); err == nil && len(pauses) < 2*MaxPauses {
				pauses = append(pauses, decode(kind, name, entry))
			}
		case <-ctx.Done():
			return nil, fmt.Errorf("listing pauses: %w", ctx.Err())
		}
	}
}

func count(ctx context.Context, kv jetstream.KeyValue) (int, error) {
	keys, err := kv.ListKeysFiltered(ctx, allPauses)
	if err != nil {
		return 0, fmt.Errorf("counting pauses: %w", err)
	}
	n := 0
	for range keys.Keys() {
		n++
	}
	return n, nil
}

func open(ctx context.Context, js jetstream.JetStream) (jetstream.KeyValue, error) {
	kv, err := js.KeyValue(ctx, Bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil, ErrNoBucket
	}
	if err != nil {
		return nil, fmt.Errorf("opening the bucket %s: %w", Bucket, err)
	}
	return kv, nil
}

// decode reads an entry. One that cannot be read is a pause all the same: whoever wrote it wanted something stopped.
func decode(kind worker.PauseKind, name string, entry jetstream.KeyValueEntry) Pause {
	p := Pause{Kind: kind, Name: name, Since: entry.Created(), Version: entry.Revision()}
	var v value
	if len(entry.Value()) > maxValue || json.Unmarshal(entry.Value(), &v) != nil || v.V < 1 {
		p.Reason, p.Unreadable = "the entry in the control bucket cannot be read", true
		return p
	}
	p.Reason, p.By = clip(v.Reason, MaxReason), clip(v.By, MaxBy)
	if !v.Since.IsZero() {
		p.Since = v.Since
	}
	return p
}

func clip(s string, most int) string {
	if len(s) > most {
		s = s[:most]
	}
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(s, "?"))
}
