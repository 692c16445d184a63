package control

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"flowgate/pipelines/flow"
)

// MaxAgreements is how many agreements may be in the bucket.
const MaxAgreements = 5_000

const (
	agreementPrefix = "agreement."
	allAgreements   = "agreement.>"
)

// agreementKey is where an agreement stands: its trigger may be longer than a key can be.
func agreementKey(trigger string) string {
	sum := sha256.Sum256([]byte(trigger))
	return agreementPrefix + hex.EncodeToString(sum[:16])
}

// completeKey marks that every agreement has been told at least once since the bucket was made.
const completeKey = agreementPrefix + "complete"

// agreementValue is what stands in the bucket.
type agreementValue struct {
	V     int        `json:"v"`
	Entry flow.Entry `json:"entry"`
}

// knownAgreement is an agreement as a process knows it; err says why it cannot be read here.
type knownAgreement struct {
	flow.Entry

	err error
}

func decodeAgreement(entry jetstream.KeyValueEntry) (k knownAgreement) {
	var v agreementValue
	switch err := json.Unmarshal(entry.Value(), &v); {
	case err != nil:
		k.err = fmt.Errorf("an agreement in the bucket cannot be read: %w", err)
	case v.V != version:
		k.err = fmt.Errorf("an agreement in the bucket is of format %d, this version reads %d", v.V, version)
	case agreementKey(v.Entry.Trigger) != entry.Key():
		k.err = errors.New("an agreement in the bucket stands under another's key")
	}
	k.Entry = v.Entry
	return k
}

// publishTries bounds how often the entry of an agreement is written where others write it at the same time.
const publishTries = 10

// PublishAgreement tells every process how an agreement stands, within a second. What is there already and no older stays.
func PublishAgreement(ctx context.Context, js jetstream.JetStream, e flow.Entry) error {
	kv, err := open(ctx, js)
	if err != nil {
		return err
	}
	data, err := json.Marshal(agreementValue{V: version, Entry: e})
	if err != nil {
		return fmt.Errorf("encoding an agreement: %w", err)
	}
	for range publishTries {
		var there jetstream.KeyValueEntry
		there, err = kv.Get(ctx, agreementKey(e.Trigger))
		switch {
		case errors.Is(err, jetstream.ErrKeyNotFound):
			_, err = kv.Create(ctx, agreementKey(e.Trigger), data)
		case err != nil:
			return fmt.Errorf("reading an agreement in the bucket %s: %w", Bucket, err)
		default:
			if known := decodeAgreement(there); known.err == nil && known.Revision >= e.Revision {
				return nil
			}
			_, err = kv.Update(ctx, agreementKey(e.Trigger), data, there.Revision())
		}
		if err == nil {
			return nil
		}
		if !errors.Is(err, jetstream.ErrKeyExists) {
			break
		}
	}
	return fmt.Errorf("writing an agreement to the bucket %s: %w", Bucket, err)
}

// Agreements are the agreements as this process knows them. An error says that there is one that it cannot use: nothing may be decided
// under agreements then.
func (w *Watch) Agreements() (*flow.Book, error) {
	w.mu.RLock()
	book, err := w.book, w.bookErr
	w.mu.RUnlock()
	return book, err
}

// Told tells whether every agreement has been told, and the newest revision that was.
func (w *Watch) Told() (complete bool, newest int64) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.complete, w.newest
}

// PublishAgreements tells every process how all agreements stand, as of a revision, and removes those that the bucket has of an earlier
// one and that are no more.
func PublishAgreements(ctx context.Context, js jetstream.JetStream, all []flow.Entry, revision int64) error {
	kv, err := open(ctx, js)
	if err != nil {
		return err
	}
	there := map[string]bool{completeKey: true}
	for _, e := range all {
		if err := PublishAgreement(ctx, js, e); err != nil {
			return err
		}
		there[agreementKey(e.Trigger)] = true
	}
	keys, err := kv.ListKeysFiltered(ctx, allAgreements)
	if err != nil {
		return fmt.Errorf("listing the agreements in the bucket %s: %w", Bucket, err)
	}
	complete := false
	for key := range keys.Keys() {
		complete = complete || key == completeKey
		if there[key] {
			continue
		}
		entry, err := kv.Get(ctx, key)
		if err != nil {
			return fmt.Errorf("reading an agreement in the bucket %s: %w", Bucket, err)
		}
		if k := decodeAgreement(entry); k.err == nil && k.Revision <= revision {
			if err := kv.Delete(ctx, key, jetstream.LastRevision(entry.Revision())); err != nil {
				return fmt.Errorf("removing an agreement from the bucket %s: %w", Bucket, err)
			}
		}
	}
	if complete {
		return nil
	}
	if _, err := kv.PutString(ctx, completeKey, fmt.Sprintf(`{"v":%d,"revision":%d}`, version, revision)); err != nil {
		return fmt.Errorf("writing to the bucket %s: %w", Bucket, err)
	}
	return nil
}

// bind makes the book of what is known. It is called with the lock held.
func (w *Watch) bind() {
	entries := make([]flow.Entry, 0, len(w.agreements))
	_, w.complete = w.agreements[completeKey]
	w.newest = 0
	for key, k := range w.agreements {
		if key == completeKey {
			continue
		}
		w.newest = max(w.newest, k.Revision)
		if k.err != nil {
			w.book, w.bookErr = nil, k.err
			return
		}
		entries = append(entries, k.Entry)
	}
	slices.SortFunc(entries, func(a, b flow.Entry) int { return strings.Compare(a.Trigger, b.Trigger) })
	w.book, w.bookErr = flow.Bind(entries)
}

func (w *Watch) putAgreement(into said, entry jetstream.KeyValueEntry) {
	if entry.Operation() != jetstream.KeyValuePut {
		delete(into.agreements, entry.Key())
		return
	}
	if entry.Key() == completeKey {
		into.agreements[completeKey] = knownAgreement{}
		return
	}
	k := decodeAgreement(entry)
	if k.err != nil {
		w.log.Error("no request is decided on until this agreement is published again, or this process is upgraded", zap.Uint64("revision", entry.Revision()), zap.Error(k.err))
	}
	if _, known := into.agreements[entry.Key()]; known || len(into.agreements) <= 2*MaxAgreements {
		into.agreements[entry.Key()] = k
	}
}
