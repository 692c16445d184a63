package broker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// MaxCacheInline bounds what the bucket of shared answers takes, in bytes: larger ones are objects, or not shared.
const MaxCacheInline = 256 << 10

// Objects is a store of objects by key, such as S3.
type Objects interface {
	// Get reads an object of at most so many bytes; false where there is none.
	Get(ctx context.Context, key string, most int64) ([]byte, bool, error)
	Put(ctx context.Context, key string, data []byte) error
	// Clear removes the objects whose keys begin so, all or those alone that were stored before a moment, and tells how many.
	Clear(ctx context.Context, prefix string, before time.Time) (int, error)
}

// CacheBucket is the level of the cache that workers of all machines share: the bucket of the topology, and objects for what is too large
// for it. A bucket that is full lets its oldest answers go.
type CacheBucket struct {
	js      jetstream.JetStream
	objects Objects

	mu sync.Mutex
	kv jetstream.KeyValue
}

// NewCacheBucket makes one; objects may be nil. It asks nobody.
func NewCacheBucket(js jetstream.JetStream, objects Objects) *CacheBucket {
	return &CacheBucket{js: js, objects: objects}
}

const (
	// isObject is what the bucket has of an answer that is an object.
	isObject = "object\n"
	// mostObject bounds what is read of one.
	mostObject   = 8 << 20
	objectPrefix = "cache/"
)

// cacheKey is <family>.<digest>. A dot would part a family in two, and no family has a slash.
func cacheKey(family, key string) string { return strings.ReplaceAll(family, ".", "/") + "." + key }

func objectKey(family, key string) string { return objectPrefix + family + "/" + key + ".json.gz" }

// Slow tells whether so many bytes are an object.
func (b *CacheBucket) Slow(size int) bool { return size > MaxCacheInline && b.objects != nil }

// Get reads an answer; false where there is none.
func (b *CacheBucket) Get(ctx context.Context, family, key string) ([]byte, bool, error) {
	kv, err := b.open(ctx)
	if err != nil {
		return nil, false, err
	}
	entry, err := kv.Get(ctx, cacheKey(family, key))
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return nil, false, nil
	case err != nil:
		return nil, false, fmt.Errorf("reading a shared answer: %w", explainAPI(b.js, err))
	case string(entry.Value()) != isObject:
		return entry.Value(), true, nil
	case b.objects == nil:
		return nil, false, nil
	}
	return b.objects.Get(ctx, objectKey(family, key), mostObject)
}

func (b *CacheBucket) open(ctx context.Context) (jetstream.KeyValue, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.kv == nil {
		kv, err := b.js.KeyValue(ctx, BucketCache)
		if err != nil {
			return nil, fmt.Errorf("opening the bucket %s: %w", BucketCache, explainAPI(b.js, err))
		}
		b.kv = kv
	}
	return b.kv, nil
}

// Put stores an answer for so long. What is too large, or finds no room, is left out.
func (b *CacheBucket) Put(ctx context.Context, family, key string, data []byte, ttl time.Duration) error {
	if len(data) > MaxCacheInline {
		if b.objects == nil {
			return nil
		}
		if err := b.objects.Put(ctx, objectKey(family, key), data); err != nil {
			return fmt.Errorf("storing a shared answer: %w", err)
		}
		data = []byte(isObject)
	}
	m := nats.NewMsg("$KV." + BucketCache + "." + cacheKey(family, key))
	m.Data = data
	m.Header.Set(jetstream.MsgTTLHeader, max(ttl.Truncate(time.Second), time.Second).String())
	err := b.publish(ctx, m)
	if coded(err, codeTTLDisabled) { // the bucket is of an older version, and nobody has applied the topology since
		m.Header.Del(jetstream.MsgTTLHeader)
		err = b.publish(ctx, m)
	}
	if coded(err, codeFull) {
		if err = b.makeRoom(ctx); err == nil {
			err = b.publish(ctx, m)
		}
		if coded(err, codeFull) {
			return nil // it is smaller than this answer, or others were faster
		}
	}
	if err != nil {
		return fmt.Errorf("storing a shared answer: %w", explainAPI(b.js, err))
	}
	return nil
}

func (b *CacheBucket) publish(ctx context.Context, m *nats.Msg) error {
	_, err := b.js.PublishMsg(ctx, m, jetstream.WithRetryAttempts(0))
	return err
}

// Codes of the server.
const (
	codeFull        jetstream.ErrorCode = 10077
	codeTTLDisabled jetstream.ErrorCode = 10166
)

func coded(err error, code jetstream.ErrorCode) bool {
	apiErr, ok := errors.AsType[*jetstream.APIError](err)
	return ok && apiErr.ErrorCode == code
}

// makeRoom lets the oldest quarter of the answers go, unless somebody else has just done so.
func (b *CacheBucket) makeRoom(ctx context.Context) error {
	info, err := b.info(ctx)
	if err != nil {
		return err
	}
	state, most := info.State, info.Config.MaxBytes
	if most > 0 && state.Bytes < uint64(most)/2 {
		return nil
	}
	_, err = purge(ctx, b.js, bucketStream(BucketCache), purgeRequest{Sequence: state.FirstSeq + (state.LastSeq-state.FirstSeq)/4 + 1})
	return err
}

func (b *CacheBucket) info(ctx context.Context) (*jetstream.StreamInfo, error) {
	s, err := b.js.Stream(ctx, bucketStream(BucketCache))
	if err != nil {
		return nil, fmt.Errorf("reading the bucket %s: %w", BucketCache, explainAPI(b.js, err))
	}
	return s.CachedInfo(), nil
}

// CacheStand is how the shared level stands.
type CacheStand struct {
	// Entries and Bytes are those of the bucket, MaxBytes is its bound (-1: none). Objects are not counted.
	Entries  uint64 `json:"entries"`
	Bytes    uint64 `json:"size_bytes"`
	MaxBytes int64  `json:"max_bytes"`
}

// Stand is how the bucket stands.
func (b *CacheBucket) Stand(ctx context.Context) (CacheStand, error) {
	info, err := b.info(ctx)
	if err != nil {
		return CacheStand{}, err
	}
	return CacheStand{Entries: info.State.Msgs, Bytes: info.State.Bytes, MaxBytes: info.Config.MaxBytes}, nil
}

// Clear removes the answers of a family, or all where it has no name, and tells how many.
func (b *CacheBucket) Clear(ctx context.Context, family string) (uint64, error) {
	subject, folder := "$KV."+BucketCache+".>", ""
	if family != "" {
		subject, folder = "$KV."+BucketCache+"."+cacheKey(family, "*"), family+"/"
	}
	n, err := purge(ctx, b.js, bucketStream(BucketCache), purgeRequest{Subject: subject})
	if err != nil {
		return n, fmt.Errorf("clearing the bucket %s: %w", BucketCache, err)
	}
	_, err = b.PruneObjects(ctx, folder, time.Time{})
	return n, err
}

// PruneObjects removes the objects in a folder, <family>/ or all of them, that were stored before a moment, where there is one.
func (b *CacheBucket) PruneObjects(ctx context.Context, folder string, before time.Time) (int, error) {
	if b.objects == nil {
		return 0, nil
	}
	n, err := b.objects.Clear(ctx, objectPrefix+folder, before)
	if err != nil {
		return n, fmt.Errorf("removing objects of the cache: %w", err)
	}
	return n, nil
}
