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

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"flowgate/messages"
	"flowgate/pipelines/corporate"
	"flowgate/worker"
)

// MaxLimits is how many limits on requests and tokens may be kept.
const MaxLimits = 10_000

// MostRate keeps what is counted far from overflow: it is the highest limit.
const MostRate = 1_000_000_000_000

const (
	limitPrefix = "limit."
	allLimits   = "limit.>"
)

// LimitKey is whose requests and tokens a limit bounds.
type LimitKey struct {
	// Tenant is messages.SystemTenant of a backend's, which is one for all tenants.
	Tenant string             `json:"tenant"`
	Kind   corporate.RateKind `json:"kind"`
	// Name is a user, department, model or backend; Everybody for each who has no limit of its own, and of the tenant.
	Name string `json:"name"`
}

// Limit is how many requests and tokens somebody may ask in a minute and an hour; 0 is no limit.
type Limit struct {
	LimitKey

	RequestsMinute int64 `json:"requests_minute"`
	RequestsHour   int64 `json:"requests_hour"`
	TokensMinute   int64 `json:"tokens_minute"`
	TokensHour     int64 `json:"tokens_hour"`
	// Excess is refuse or wait; empty: requests of the class batch wait, others are refused.
	Excess corporate.Excess `json:"excess,omitempty"`
	Reason string           `json:"reason"`
	By     string           `json:"by,omitempty"`
	At     time.Time        `json:"at"`
	// Version is the bucket's revision of the entry.
	Version uint64 `json:"version"`
}

// Limits are what layer 1 decides by.
func (l Limit) Limits() corporate.RateLimits {
	return corporate.RateLimits{
		RequestsMinute: l.RequestsMinute, RequestsHour: l.RequestsHour, TokensMinute: l.TokensMinute, TokensHour: l.TokensHour, Excess: l.Excess,
	}
}

// Check tells whether a limit may be kept.
func (l Limit) Check() error {
	if err := cmp.Or(messages.CheckTenant(l.Tenant), checkLine("name", l.Name, MaxName), checkWords(l.Reason, l.By)); err != nil {
		return err
	}
	switch {
	case !l.Kind.Known():
		return fmt.Errorf("%.40q is no kind of limit; use user, department, tenant, model or backend", string(l.Kind))
	case l.Name == "" || l.Kind == corporate.RateTenant && l.Name != Everybody:
		return errors.New("name is missing: say whose limit it is, or * for each who has none")
	case l.Kind == corporate.RateBackend && l.Tenant != messages.SystemTenant:
		return errors.New("a backend's limit is one for all tenants")
	case strings.TrimSpace(l.Reason) == "":
		return errors.New("reason is missing: say it")
	case l.RequestsMinute == 0 && l.RequestsHour == 0 && l.TokensMinute == 0 && l.TokensHour == 0:
		return errors.New("a limit must be on requests or tokens, of a minute or an hour")
	case l.Excess != "" && l.Excess != corporate.ExcessRefuse && l.Excess != corporate.ExcessWait:
		return fmt.Errorf("excess is %.40q, must be refuse, wait or empty", string(l.Excess))
	}
	for _, n := range []int64{l.RequestsMinute, l.RequestsHour, l.TokensMinute, l.TokensHour} {
		if n < 0 || n > MostRate {
			return errors.New("a limit must be above 0 and at most 1000000000000; to let nobody through, pause it")
		}
	}
	return nil
}

// limitKey is where a limit stands: limit.<tenant>.<kind>.<name>.
func limitKey(k LimitKey) string {
	return limitPrefix + k.Tenant + "." + string(k.Kind) + "." + encode(k.Name)
}

// parseLimitKey reads what limitKey wrote.
func parseLimitKey(key string) (k LimitKey, err error) {
	tokens := strings.Split(key, ".")
	if len(tokens) != 4 || tokens[0]+"." != limitPrefix || messages.CheckTenant(tokens[1]) != nil || !corporate.RateKind(tokens[2]).Known() {
		return k, errKey
	}
	name, err := decodeName(tokens[3])
	return LimitKey{tokens[1], corporate.RateKind(tokens[2]), name}, err
}

// limitValue is what stands in the bucket under a limit's key.
type limitValue struct {
	V int `json:"v"`
	Limit
}

// SetLimit sets a limit, everywhere within a second. Of two who set the same one the later counts.
func SetLimit(ctx context.Context, js jetstream.JetStream, l Limit) (Limit, error) {
	if err := l.Check(); err != nil {
		return l, err
	}
	kv, err := open(ctx, js)
	if err != nil {
		return l, err
	}
	data, err := json.Marshal(limitValue{version, l})
	if err != nil {
		return l, fmt.Errorf("encoding a limit: %w", err)
	}
	l.Version, err = kv.Create(ctx, limitKey(l.LimitKey), data)
	if err == nil {
		return l, limitRoom(ctx, kv, l.LimitKey)
	}
	if errors.Is(err, jetstream.ErrKeyExists) {
		l.Version, err = kv.Put(ctx, limitKey(l.LimitKey), data)
	}
	if err != nil {
		return l, fmt.Errorf("writing a limit: %w", err)
	}
	return l, nil
}

// limitRoom takes a new limit back that is over the bound.
func limitRoom(ctx context.Context, kv jetstream.KeyValue, k LimitKey) error {
	keys, err := kv.ListKeysFiltered(ctx, allLimits)
	if err != nil {
		return fmt.Errorf("counting limits: %w", err)
	}
	n := 0
	for range keys.Keys() {
		n++
	}
	if n <= MaxLimits {
		return nil
	}
	return errors.Join(fmt.Errorf("%d limits are kept already, which is the most there may be: clear some", n-1), kv.Delete(ctx, limitKey(k)))
}

// ClearLimit removes a limit; cleared is false where there was none.
func ClearLimit(ctx context.Context, js jetstream.JetStream, k LimitKey) (cleared bool, err error) {
	kv, err := open(ctx, js)
	if err != nil {
		return false, err
	}
	newest, found, err := (&worker.Leader{JS: js}).Last(ctx, "KV_"+Bucket, "$KV."+Bucket+"."+limitKey(k))
	if err != nil {
		return false, fmt.Errorf("reading a limit: %w", err)
	}
	if !found || newest.Header.Get("KV-Operation") != "" { // what was removed leaves its mark
		return false, nil
	}
	if err := kv.Delete(ctx, limitKey(k)); err != nil {
		return false, fmt.Errorf("removing a limit: %w", err)
	}
	return true, nil
}

// ListLimits lists the limits of a tenant and those of backends, by kind and name.
func ListLimits(ctx context.Context, js jetstream.JetStream, tenant string) ([]Limit, error) {
	kv, err := open(ctx, js)
	if err != nil {
		return nil, err
	}
	filters := []string{limitPrefix + tenant + ".>"}
	if tenant != messages.SystemTenant {
		filters = append(filters, limitPrefix+messages.SystemTenant+"."+string(corporate.RateBackend)+".>")
	}
	watch, err := kv.WatchFiltered(ctx, filters, jetstream.IgnoreDeletes())
	if err != nil {
		return nil, fmt.Errorf("listing limits: %w", err)
	}
	defer func() { _ = stop(watch) }()
	limits := []Limit{}
	for {
		select {
		case entry, open := <-watch.Updates():
			if !open {
				return nil, errors.New("listing limits: the broker ended the list")
			}
			if entry == nil { // all of them were told
				slices.SortFunc(limits, func(a, b Limit) int {
					return cmp.Or(cmp.Compare(slices.Index(corporate.RateKinds(), a.Kind), slices.Index(corporate.RateKinds(), b.Kind)), cmp.Compare(a.Name, b.Name))
				})
				return limits, nil
			}
			k, err := parseLimitKey(entry.Key())
			if err != nil || len(limits) > 2*MaxLimits {
				continue
			}
			l, err := decodeLimit(k, entry)
			if err != nil {
				return nil, err
			}
			limits = append(limits, l)
		case <-ctx.Done():
			return nil, fmt.Errorf("listing limits: %w", ctx.Err())
		}
	}
}

func decodeLimit(k LimitKey, entry jetstream.KeyValueEntry) (Limit, error) {
	var v limitValue
	if len(entry.Value()) > 64<<10 || json.Unmarshal(entry.Value(), &v) != nil || v.V != version {
		return Limit{LimitKey: k, Version: entry.Revision()}, fmt.Errorf("the limit of a %s cannot be read here: set it again, or upgrade", k.Kind)
	}
	v.LimitKey, v.Version = k, entry.Revision()
	return v.Limit, v.Check()
}

// Limit is how much somebody may ask now: by its own limit, else by that of everybody of its kind. One that cannot be read is an
// error: nothing may be decided then.
func (w *Watch) Limit(k LimitKey) (limits corporate.RateLimits, has bool, err error) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if len(w.limits) == 0 {
		return limits, false, nil
	}
	l, has := w.limits[k]
	if !has {
		k.Name = Everybody
		l, has = w.limits[k]
	}
	if !has || l.err != nil {
		return limits, has, l.err
	}
	return l.Limits(), true, nil
}

// knownLimit is a limit, or why it cannot be read.
type knownLimit struct {
	Limit

	err error
}

func (w *Watch) putLimit(into said, k LimitKey, entry jetstream.KeyValueEntry) {
	if entry.Operation() != jetstream.KeyValuePut {
		delete(into.limits, k)
		return
	}
	l, err := decodeLimit(k, entry)
	if err != nil {
		w.log.Error("requests that count in a limit wait until it can be read", zap.String("kind", string(k.Kind)), zap.Uint64("revision", entry.Revision()), zap.Error(err))
	}
	if _, known := into.limits[k]; known || len(into.limits) <= 2*MaxLimits {
		into.limits[k] = knownLimit{l, err}
	}
}
