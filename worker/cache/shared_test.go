package cache_test

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"flowgate/worker/broker"
	"flowgate/worker/cache"
	"flowgate/worker/workertest"
)

// bucket is the shared level on a real broker, with other settings of the topology.
func bucket(t testing.TB, objects broker.Objects, change ...func(*broker.TopologyOptions)) (*broker.CacheBucket, jetstream.JetStream) {
	t.Helper()
	_, js := workertest.Conn(t, workertest.Server(t))
	workertest.Topology(t, js, nil, change...)
	return broker.NewCacheBucket(js, objects), js
}

// sharing is a cache of its own machine over a shared level.
func sharing(t testing.TB, shared cache.Shared, change ...func(*cache.Options)) *cache.Cache {
	t.Helper()
	return open(t, t.TempDir(), append(change, func(o *cache.Options) { o.Shared = shared })...)
}

func TestWorkersOfTwoMachinesShareAnswers(t *testing.T) {
	for name, change := range map[string]func(*cache.Options){"plain": func(*cache.Options) {}, "encrypted": sealed} {
		t.Run(name, func(t *testing.T) {
			shared, _ := bucket(t, nil)
			one, other := sharing(t, shared, change), sharing(t, shared, change)
			wantMiss(t, other, "a")
			e := answer("a", time.Now())
			one.Put(t.Context(), e)
			if got := wantHit(t, other, "a", cache.LevelShared); !got.Created.Equal(e.Created) || got.CostMicroUSD != e.CostMicroUSD {
				t.Errorf("%+v", got)
			}
			wantHit(t, other, "a", cache.LevelMemory) // it is there from then on
			if name == "encrypted" {
				wantMiss(t, sharing(t, shared), "a")
				wantMiss(t, sharing(t, shared, func(o *cache.Options) { o.Secret = "another secret, as long" }), "a")
			}
		})
	}
}

func TestWhatOthersMeddledWithIsAMiss(t *testing.T) {
	shared, js := bucket(t, nil)
	sharing(t, shared).Put(t.Context(), answer("a", time.Now()))
	kv, err := js.KeyValue(t.Context(), broker.BucketCache)
	must(t, err)
	entry, err := kv.Get(t.Context(), family+"."+keyOf("a"))
	must(t, err)
	for name, data := range map[string][]byte{
		"the answer to another question": entry.Value(), "nothing": {}, "junk": []byte("junk"), "an object that nobody has": []byte("object\n"),
		"half of it": entry.Value()[:entry.Revision()%7+20],
	} {
		_, err := kv.Put(t.Context(), family+"."+keyOf("b"), data)
		must(t, err)
		if _, _, ok := sharing(t, shared).Get(t.Context(), ask("b")); ok {
			t.Errorf("%s was taken", name)
		}
	}
	wantHit(t, sharing(t, shared), "a", cache.LevelShared)
}

// objects are a store of objects in memory, which takes what S3 does.
type objects struct {
	mu sync.Mutex
	of map[string][]byte
}

func (o *objects) Get(_ context.Context, key string, most int64) ([]byte, bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	data, has := o.of[key]
	if int64(len(data)) > most {
		return nil, false, errors.New("too large")
	}
	return data, has, nil
}

func (o *objects) Put(_ context.Context, key string, data []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.of == nil {
		o.of = map[string][]byte{}
	}
	o.of[key] = data
	return nil
}

func (o *objects) Clear(_ context.Context, prefix string, _ time.Time) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := 0
	for key := range o.of {
		if strings.HasPrefix(key, prefix) {
			delete(o.of, key)
			n++
		}
	}
	return n, nil
}

// large is an answer that does not compress below what the bucket takes.
func large(asked string, now time.Time) cache.Entry {
	e := answer(asked, now)
	text := make([]byte, 600<<10)
	source := rand.NewPCG(1, 2)
	for i := range text {
		text[i] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"[source.Uint64()%64]
	}
	data, err := json.Marshal(map[string]string{"text": "the answer to " + asked, "more": string(text)})
	if err != nil {
		panic(err)
	}
	e.Response = data
	return e
}

func TestLargeAnswersAreObjectsOrNotShared(t *testing.T) {
	t.Run("without objects", func(t *testing.T) {
		shared, _ := bucket(t, nil)
		one := sharing(t, shared)
		one.Put(t.Context(), large("a", time.Now()))
		wantHit(t, one, "a", cache.LevelDisk)
		wantMiss(t, sharing(t, shared), "a")
	})
	t.Run("with objects", func(t *testing.T) {
		store := &objects{}
		shared, _ := bucket(t, store)
		one := sharing(t, shared)
		stop := run(t, one)
		one.Put(t.Context(), large("a", time.Now()))
		other := sharing(t, shared)
		for {
			if _, level, ok := other.Get(t.Context(), ask("a")); ok {
				if level != cache.LevelShared {
					t.Errorf("a hit at %s", level)
				}
				break
			}
			if t.Context().Err() != nil {
				t.Fatal("it never came")
			}
		}
		stop()
		if _, has := store.of["cache/"+family+"/"+keyOf("a")+".json.gz"]; !has || len(store.of) != 1 {
			t.Errorf("%d objects", len(store.of))
		}
		if n, err := shared.Clear(t.Context(), family); err != nil || n != 1 || len(store.of) != 0 {
			t.Error(n, err, len(store.of))
		}
		wantMiss(t, sharing(t, shared), "a")
	})
}

func TestFullBucketLetsItsOldestAnswersGo(t *testing.T) {
	const most = 64 << 10
	shared, _ := bucket(t, nil, func(o *broker.TopologyOptions) { o.CacheMaxBytes = most })
	one := sharing(t, shared)
	const n = 300
	for i := range n {
		one.Put(t.Context(), answer(numbered(i), time.Now()))
	}
	stand, err := shared.Stand(t.Context())
	if err != nil || stand.Bytes > most || stand.Entries < 20 || stand.MaxBytes != most {
		t.Errorf("%+v %v", stand, err)
	}
	wantHit(t, sharing(t, shared), numbered(n-1), cache.LevelShared)
	wantMiss(t, sharing(t, shared), numbered(0))
	one.Put(t.Context(), large("larger than all of it", time.Now()))
	wantHit(t, sharing(t, shared), numbered(n-1), cache.LevelShared)
}

func TestClearedBucketGivesNothingBack(t *testing.T) {
	shared, _ := bucket(t, nil)
	dir := t.TempDir()
	one := open(t, dir, func(o *cache.Options) { o.Shared = shared })
	one.Put(t.Context(), answer("a", time.Now()))
	if _, _, err := cache.Clear(t.Context(), dir, "", time.Now()); err != nil {
		t.Fatal(err)
	}
	// Who cleared the folder could not reach the bucket: whoever works in that folder does not take from it what was there.
	wantMiss(t, open(t, dir, func(o *cache.Options) { o.Shared = shared }), "a")
	wantHit(t, sharing(t, shared), "a", cache.LevelShared)
	dotted := answer("a", time.Now())
	dotted.Family = "claude-3.5"
	sharing(t, shared).Put(t.Context(), dotted)
	if n, err := shared.Clear(t.Context(), family); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	wantMiss(t, sharing(t, shared), "a")
	if _, level, ok := sharing(t, shared).Get(t.Context(), cache.Ask{Family: "claude-3.5", Key: keyOf("a")}); !ok || level != cache.LevelShared {
		t.Error("another family was cleared too")
	}
	if n, err := shared.Clear(t.Context(), ""); n != 1 || err != nil {
		t.Fatal(n, err)
	}
}

// TestAnswersOfTheBucketHaveATimeOfTheirOwn waits for the server to forget one.
func TestAnswersOfTheBucketHaveATimeOfTheirOwn(t *testing.T) {
	shared, js := bucket(t, nil)
	kv, err := js.KeyValue(t.Context(), broker.BucketCache)
	must(t, err)
	watch, err := kv.WatchAll(t.Context())
	must(t, err)
	defer func() { must(t, watch.Stop()) }()
	must(t, shared.Put(t.Context(), family, keyOf("a"), []byte("x"), time.Second))
	must(t, shared.Put(t.Context(), family, keyOf("b"), []byte("x"), time.Hour))
	for e := range watch.Updates() {
		if e != nil && e.Operation() != jetstream.KeyValuePut {
			if !strings.HasSuffix(e.Key(), keyOf("a")) {
				t.Errorf("%s is gone", e.Key())
			}
			break
		}
	}
	if _, has, err := shared.Get(t.Context(), family, keyOf("a")); has || err != nil {
		t.Error(has, err)
	}
	if _, has, err := shared.Get(t.Context(), family, keyOf("b")); !has || err != nil {
		t.Error(has, err)
	}
}

func TestBucketOfAnOlderVersionIsUsedAsItIs(t *testing.T) {
	_, js := workertest.Conn(t, workertest.Server(t))
	_, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: broker.BucketCache, History: 1})
	must(t, err)
	shared := broker.NewCacheBucket(js, nil)
	sharing(t, shared).Put(t.Context(), answer("a", time.Now()))
	wantHit(t, sharing(t, shared), "a", cache.LevelShared)
}

func TestBrokerThatIsAwayIsAMiss(t *testing.T) {
	server := workertest.Server(t)
	_, js := workertest.Conn(t, server)
	workertest.Topology(t, js, nil)
	one := sharing(t, broker.NewCacheBucket(js, nil))
	one.Put(t.Context(), answer("a", time.Now()))
	server.Shutdown()
	began := time.Now()
	wantMiss(t, one, "b")
	one.Put(t.Context(), answer("b", time.Now()))
	wantHit(t, one, "b", cache.LevelMemory)
	wantHit(t, one, "a", cache.LevelMemory)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
}

// silent is a shared level that never answers.
type silent struct{ asked *int }

func (s silent) Get(ctx context.Context, _, _ string) ([]byte, bool, error) {
	*s.asked++
	<-ctx.Done()
	return nil, false, ctx.Err()
}

func (s silent) Put(ctx context.Context, _, _ string, _ []byte, _ time.Duration) error {
	*s.asked++
	<-ctx.Done()
	return ctx.Err()
}

func (silent) Slow(int) bool { return false }

func TestSharedLevelThatDoesNotAnswerIsLeftAloneForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		c := sharing(t, silent{&asked})
		began := time.Now()
		for range 100 {
			wantMiss(t, c, "a")
		}
		if took := time.Since(began); took != 3*250*time.Millisecond || asked != 3 {
			t.Errorf("%d questions took %s", asked, took)
		}
		c.Put(t.Context(), answer("a", time.Now()))
		if asked != 3 {
			t.Error("it was told all the same")
		}
		time.Sleep(5 * time.Second)
		wantMiss(t, c, "b")
		if asked != 4 {
			t.Error("it is never asked again")
		}
	})
}

func TestEndOfARequestIsNoFaultOfTheSharedLevel(t *testing.T) {
	asked := 0
	c := sharing(t, silent{&asked})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 10 {
		if _, _, ok := c.Get(ctx, ask("a")); ok {
			t.Fatal("a hit")
		}
	}
	if asked != 10 {
		t.Errorf("it was left alone after %d", asked)
	}
}
