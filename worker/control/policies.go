package control

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"flowgate/pipelines/policy"
	"flowgate/worker"
)

// policyKey is where the policy in force stands.
const policyKey = "policy.active"

// ErrFailingCases says that a bundle does not decide its own cases as they demand.
var ErrFailingCases = errors.New("the policy fails cases of its own")

// ErrActivatedMeanwhile says that somebody else put another policy in force.
var ErrActivatedMeanwhile = errors.New("somebody else activated a policy meanwhile")

// ActivePolicy is the policy in force.
type ActivePolicy struct {
	Bundle  policy.Bundle `json:"bundle"`
	Version string        `json:"version"`
	// Reason is why it was activated, By who did, At when.
	Reason string    `json:"reason"`
	By     string    `json:"by,omitempty"`
	At     time.Time `json:"at"`
	// Revision is that of the bucket's entry.
	Revision uint64 `json:"revision"`
}

// activeValue is what stands in the bucket.
type activeValue struct {
	V       int             `json:"v"`
	Version string          `json:"version"`
	Reason  string          `json:"reason"`
	By      string          `json:"by,omitempty"`
	At      time.Time       `json:"at"`
	Bundle  json.RawMessage `json:"bundle"`
}

// Active is the policy in force; false: there is none. One that this version cannot read is an error.
func Active(ctx context.Context, js jetstream.JetStream) (ActivePolicy, bool, error) {
	kv, err := open(ctx, js)
	if err != nil {
		return ActivePolicy{}, false, err
	}
	entry, err := kv.Get(ctx, policyKey)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return ActivePolicy{}, false, nil
	}
	if err != nil {
		return ActivePolicy{}, false, fmt.Errorf("reading the policy in force: %w", err)
	}
	active, err := decodeActive(entry)
	return active, true, err
}

func decodeActive(entry jetstream.KeyValueEntry) (ActivePolicy, error) {
	var v activeValue
	a := ActivePolicy{Revision: entry.Revision()}
	if err := json.Unmarshal(entry.Value(), &v); err != nil {
		return a, fmt.Errorf("the policy in force cannot be read: %w", err)
	}
	a.Version, a.Reason, a.By, a.At = v.Version, v.Reason, v.By, v.At
	if v.V != version {
		return a, fmt.Errorf("the policy in force is of format %d, this version reads %d", v.V, version)
	}
	if err := json.Unmarshal(v.Bundle, &a.Bundle); err != nil {
		return a, fmt.Errorf("the policy in force cannot be read: %w", err)
	}
	if is := a.Bundle.Version(); is != v.Version { // a newer version's bundle has more than can be read here
		return a, fmt.Errorf("the policy in force is %s, and reads as %s here: it was activated by a newer flowgate", v.Version, is)
	}
	return a, nil
}

// Activate puts a policy in force, everywhere within a second: its cases are run first. before is the policy that was in force,
// changed is false where it was this one. Of two who activate at once one gets ErrActivatedMeanwhile.
func Activate(ctx context.Context, js jetstream.JetStream, p *policy.Policy, reason, by string, at time.Time) (now, before ActivePolicy, changed bool, err error) {
	now = ActivePolicy{Bundle: p.Bundle(), Version: p.Version(), Reason: reason, By: by, At: at.UTC()}
	if strings.TrimSpace(reason) == "" {
		return now, before, false, errors.New("reason is missing: say it")
	}
	if err := cmp.Or(checkWords(reason, by), failing(p)); err != nil {
		return now, before, false, err
	}
	kv, err := open(ctx, js)
	if err != nil {
		return now, before, false, err
	}
	entry, err := kv.Get(ctx, policyKey)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
	case err != nil:
		return now, before, false, fmt.Errorf("reading the policy in force: %w", err)
	default:
		if before, err = decodeActive(entry); err == nil && before.Version == now.Version {
			if newest, err := newestRevision(ctx, js, policyKey); err != nil || newest == entry.Revision() {
				return before, before, false, err
			}
			return now, before, false, fmt.Errorf("%w: look at it with `flowgate policy show`, then activate again", ErrActivatedMeanwhile)
		}
	}
	bundle, err := json.Marshal(now.Bundle)
	if err != nil {
		return now, before, false, fmt.Errorf("encoding the policy: %w", err)
	}
	data, err := json.Marshal(activeValue{V: version, Version: now.Version, Reason: reason, By: by, At: now.At, Bundle: bundle})
	if err != nil {
		return now, before, false, fmt.Errorf("encoding the policy: %w", err)
	}
	if entry == nil {
		now.Revision, err = kv.Create(ctx, policyKey, data)
	} else {
		now.Revision, err = kv.Update(ctx, policyKey, data, entry.Revision())
	}
	switch {
	case errors.Is(err, jetstream.ErrKeyExists):
		return now, before, false, fmt.Errorf("%w: look at it with `flowgate policy show`, then activate again", ErrActivatedMeanwhile)
	case err != nil:
		return now, before, false, fmt.Errorf("activating the policy: %w", err)
	}
	return now, before, true, nil
}

// newestRevision asks the bucket's leader: a replica that lags would show what was in force before. 0: there is none.
func newestRevision(ctx context.Context, js jetstream.JetStream, key string) (uint64, error) {
	m, found, err := (&worker.Leader{JS: js}).Last(ctx, "KV_"+Bucket, "$KV."+Bucket+"."+key)
	if err != nil || !found {
		return 0, err
	}
	return m.Seq, nil
}

// failing names the cases that a policy fails.
func failing(p *policy.Policy) error {
	var names []string
	for _, r := range p.Test() {
		if !r.OK {
			names = append(names, r.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrFailingCases, strings.Join(names, "; "))
}

// inForce is the policy in force as a process knows it.
type inForce struct {
	policy *policy.Policy
	// unusable is why it cannot be used: nobody may decide then.
	unusable error
}

// readPolicy compiles what the bucket has.
func readPolicy(entry jetstream.KeyValueEntry) inForce {
	if entry.Operation() != jetstream.KeyValuePut {
		return inForce{}
	}
	a, err := decodeActive(entry)
	if err != nil {
		return inForce{unusable: err}
	}
	p, err := policy.Compile(a.Bundle)
	if err == nil {
		err = failing(p)
	}
	if err != nil {
		return inForce{unusable: fmt.Errorf("the policy in force, %s, cannot be used here: %w", a.Version, err)}
	}
	return inForce{policy: p.Under(a.Reason)}
}

// Policy is the policy in force, nil for none. An error says that there is one that this process cannot use: nothing may be
// decided then.
func (w *Watch) Policy() (*policy.Policy, error) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.policy, w.unusable
}
