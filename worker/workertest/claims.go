package workertest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"sync"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/worker"
)

// ClaimStore keeps bodies that are too large for an envelope.
type ClaimStore interface {
	// Put MUST return only when the body is durable; the same body for the same epoch is one object.
	Put(ctx context.Context, key messages.Key, epoch int, body []byte) (messages.Claim, error)
	// Get MUST check size and digest, and give worker.ErrClaimMissing where there is no such body.
	Get(ctx context.Context, claim messages.Claim) ([]byte, error)
	// Delete of what is not there is no error.
	Delete(ctx context.Context, claim messages.Claim) error
}

// ClaimCleaner removes many bodies.
type ClaimCleaner interface {
	// DeletePrefix removes what is keyed below prefix, such as "acme/" or "acme/order-7/".
	DeletePrefix(ctx context.Context, prefix string) (removed int, err error)
	// Sweep removes what is older than age and what decide gives up.
	Sweep(ctx context.Context, age time.Duration, decide func(ctx context.Context, key messages.Key, epoch int) (remove bool, err error)) (removed int, err error)
}

// RunClaimTests holds a claim store, which MUST be empty, to its contract. It leaves nothing in the store.
func RunClaimTests(t *testing.T, store interface {
	ClaimStore
	ClaimCleaner
},
) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, ClaimStore){
		"what was put is got":                            claimRoundTrip,
		"the same body for the same epoch is one object": claimSameBody,
		"bodies are not shared between requests":         claimNotShared,
		"a body that is not there is missing":            claimMissing,
		"another size or digest is an error":             claimAltered,
		"an ended context is an error":                   claimCancelled,
		"several put the same body at once":              claimAtOnce,
	} {
		t.Run(name, func(t *testing.T) { test(t, store) })
	}
	t.Run("a prefix is deleted and no neighbour", func(t *testing.T) { claimPrefix(t, store, store) })
	t.Run("a sweep asks for the old ones alone", func(t *testing.T) { claimSweep(t, store, store) })
}

func claimPut(t *testing.T, s ClaimStore, id string, epoch int, body []byte) messages.Claim {
	t.Helper()
	claim, err := s.Put(t.Context(), messages.Key{Tenant: "acme", ID: id}, epoch, body)
	if err != nil {
		t.Fatalf("putting: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Delete(context.WithoutCancel(t.Context()), claim); err != nil {
			t.Errorf("deleting: %v", err)
		}
	})
	return claim
}

func claimIs(t *testing.T, s ClaimStore, claim messages.Claim, want []byte) {
	t.Helper()
	got, err := s.Get(t.Context(), claim)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("got %d bytes, %v; want %d bytes", len(got), err, len(want))
	}
}

func claimGone(t *testing.T, s ClaimStore, claim messages.Claim) {
	t.Helper()
	if _, err := s.Get(t.Context(), claim); !errors.Is(err, worker.ErrClaimMissing) {
		t.Fatalf("error is %v, want worker.ErrClaimMissing", err)
	}
}

func claimRoundTrip(t *testing.T, s ClaimStore) {
	for _, size := range []int{0, 1, messages.InlineBytes + 1, 3<<20 + 7} {
		body := bytes.Repeat([]byte("flowgate"), size/8+1)[:size]
		claim := claimPut(t, s, "round-trip", 2, body)
		sum := sha256.Sum256(body)
		digest := hex.EncodeToString(sum[:])
		want := messages.Claim{Key: "acme/round-trip/2/" + digest, SHA256: digest, Size: size}
		if claim != want {
			t.Errorf("claim is %+v, want %+v", claim, want)
		}
		claimIs(t, s, claim, body)
	}
}

func claimSameBody(t *testing.T, s ClaimStore) {
	first := claimPut(t, s, "same", 0, []byte("body"))
	if again := claimPut(t, s, "same", 0, []byte("body")); again != first {
		t.Errorf("claims are %+v and %+v", first, again)
	}
	claimIs(t, s, first, []byte("body"))
	for range 2 {
		if err := s.Delete(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		claimGone(t, s, first)
	}
	claimIs(t, s, claimPut(t, s, "same", 0, []byte("body")), []byte("body"))
}

func claimNotShared(t *testing.T, s ClaimStore) {
	a, b, c := claimPut(t, s, "a", 0, []byte("body")), claimPut(t, s, "b", 0, []byte("body")), claimPut(t, s, "a", 1, []byte("body"))
	if err := s.Delete(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	claimGone(t, s, a)
	claimIs(t, s, b, []byte("body"))
	claimIs(t, s, c, []byte("body"))
}

func claimMissing(t *testing.T, s ClaimStore) {
	sum := sha256.Sum256([]byte("never put"))
	digest := hex.EncodeToString(sum[:])
	missing := messages.Claim{Key: "acme/none/0/" + digest, SHA256: digest, Size: 9}
	claimGone(t, s, missing)
	if err := s.Delete(t.Context(), missing); err != nil {
		t.Fatal(err)
	}
}

func claimAltered(t *testing.T, s ClaimStore) {
	claim := claimPut(t, s, "altered", 0, []byte("body"))
	for _, wrong := range []messages.Claim{
		{Key: claim.Key, SHA256: claim.SHA256, Size: 5},
		{Key: claim.Key, SHA256: claim.SHA256[1:] + "0", Size: claim.Size},
	} {
		if _, err := s.Get(t.Context(), wrong); err == nil || errors.Is(err, worker.ErrClaimMissing) {
			t.Errorf("%+v: error is %v", wrong, err)
		}
	}
}

func claimCancelled(t *testing.T, s ClaimStore) {
	claim := claimPut(t, s, "cancelled", 0, []byte("body"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Put(ctx, messages.Key{Tenant: "acme", ID: "cancelled"}, 1, []byte("body")); err == nil {
		t.Error("put")
	}
	if _, err := s.Get(ctx, claim); err == nil {
		t.Error("got")
	}
}

func claimAtOnce(t *testing.T, s ClaimStore) {
	body := bytes.Repeat([]byte("x"), 200<<10)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if _, err := s.Put(t.Context(), messages.Key{Tenant: "acme", ID: "at-once"}, 0, body); err != nil {
				t.Errorf("putting: %v", err)
			}
		})
	}
	wg.Wait()
	claimIs(t, s, claimPut(t, s, "at-once", 0, body), body)
}

func claimPrefix(t *testing.T, s ClaimStore, c ClaimCleaner) {
	one, neighbour := claimPut(t, s, "order-1", 0, []byte("a")), claimPut(t, s, "order-10", 0, []byte("b"))
	second := claimPut(t, s, "order-1", 1, []byte("c"))
	removed, err := c.DeletePrefix(t.Context(), "acme/order-1/")
	if err != nil || removed != 2 {
		t.Fatalf("removed %d: %v", removed, err)
	}
	claimGone(t, s, one)
	claimGone(t, s, second)
	claimIs(t, s, neighbour, []byte("b"))
}

func claimSweep(t *testing.T, s ClaimStore, c ClaimCleaner) {
	ended, open := claimPut(t, s, "ended", 0, []byte("a")), claimPut(t, s, "open", 3, []byte("b"))
	asked := map[messages.Key]int{}
	decide := func(_ context.Context, key messages.Key, epoch int) (bool, error) {
		asked[key] = epoch
		return key.ID == "ended", nil
	}
	if removed, err := c.Sweep(t.Context(), time.Hour, decide); err != nil || removed != 0 || len(asked) != 0 {
		t.Fatalf("removed %d, asked %v: %v", removed, asked, err)
	}
	wrong := errors.New("no answer")
	refuse := func(context.Context, messages.Key, int) (bool, error) { return true, wrong }
	if removed, err := c.Sweep(t.Context(), 0, refuse); !errors.Is(err, wrong) || removed != 0 {
		t.Fatalf("removed %d: %v", removed, err)
	}
	if removed, err := c.Sweep(t.Context(), 0, decide); err != nil || removed != 1 || len(asked) != 2 || asked[messages.Key{Tenant: "acme", ID: "open"}] != 3 {
		t.Fatalf("removed %d, asked %v: %v", removed, asked, err)
	}
	claimGone(t, s, ended)
	claimIs(t, s, open, []byte("b"))
}
