package tenants_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"flowgate/worker/broker"
	"flowgate/worker/tenants"
)

var at = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func public(t *testing.T) string {
	t.Helper()
	key, err := tenants.NewKey()
	if err != nil || !strings.HasPrefix(key.Seed, "SU") {
		t.Fatal(key.Public, err)
	}
	return key.Public
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestWallsAreThoseOfTheBook(t *testing.T) {
	first, second, third := public(t), public(t), public(t)
	b := tenants.Book{V: 1}
	if w := b.Walls(); len(w.Tenants) != 0 {
		t.Errorf("nobody was added: %+v", w)
	}
	must(t, b.Add("acme", "loader", first, at))
	must(t, b.Add("acme", "reader", second, at))
	if err := b.Add("acme", "loader", third, at); !errors.Is(err, tenants.ErrTaken) {
		t.Error(err)
	}
	keys := func() (all []string) {
		w := b.Walls()
		for _, k := range w.Tenants[0].Keys {
			all = append(all, k.Name, k.Public)
		}
		return all
	}
	want := func(words ...string) {
		t.Helper()
		if got := strings.Join(keys(), " "); got != strings.Join(words, " ") {
			t.Errorf("got %s, want %s", got, words)
		}
	}
	want("acme.loader", first, "acme.reader", second)
	must(t, b.Rotate("acme", "loader", third, at))
	want("acme.loader", third, "acme.reader", second)
	must(t, b.Suspend("acme", "reader", tenants.Suspension{Reason: "x"}))
	want("acme.loader", third)
	must(t, b.Suspend("acme", "", tenants.Suspension{Reason: "x"}))
	want()
	must(t, b.Resume("acme", ""))
	want("acme.loader", third) // the credential's own suspension stays
	for _, err := range []error{b.Rotate("none", "x", first, at), b.Rotate("acme", "x", first, at), b.Resume("none", "")} {
		if !errors.Is(err, tenants.ErrUnknown) {
			t.Error(err)
		}
	}
	b.Anonymous = "acme"
	if w := b.Walls(); w.Anonymous != "acme" {
		t.Errorf("%+v", w)
	}
	must(t, b.Suspend("acme", "", tenants.Suspension{Reason: "x"}))
	if w := b.Walls(); w.Anonymous != "" {
		t.Error("a suspended tenant lets strangers in")
	}
}

func TestABookIsBounded(t *testing.T) {
	b := tenants.Book{V: 1}
	for i := range tenants.MaxCredentials {
		must(t, b.Add("acme", "c"+strconv.Itoa(i), public(t), at))
	}
	if err := b.Add("acme", "more", public(t), at); !errors.Is(err, tenants.ErrFull) {
		t.Error(err)
	}
	for i := len(b.Tenants); i < tenants.MaxTenants; i++ {
		b.Tenants = append(b.Tenants, tenants.Tenant{Name: "t" + strconv.Itoa(i)})
	}
	if err := b.Add("more", "c", public(t), at); !errors.Is(err, tenants.ErrFull) {
		t.Error(err)
	}
}

func TestChangesAtOnceAreAllKept(t *testing.T) {
	dir := t.TempDir()
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			key := public(t)
			if _, err := tenants.Change(dir, func(b *tenants.Book) error { return b.Add("t"+strconv.Itoa(i), "c", key, at) }); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if _, err := tenants.Change(dir, func(*tenants.Book) error { return tenants.ErrTaken }); !errors.Is(err, tenants.ErrTaken) {
		t.Error(err)
	}
	b, err := tenants.Load(dir)
	if err != nil || len(b.Tenants) != 20 || b.Version != 20 {
		t.Errorf("%d tenants at version %d: %v", len(b.Tenants), b.Version, err)
	}
	info, err := os.Stat(filepath.Join(dir, "tenants.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
}

func TestAFileThatIsWrongIsRefused(t *testing.T) {
	key := public(t)
	credential := `{"name":"c","public_key":"` + key + `"}`
	for name, text := range map[string]string{
		"no JSON":           `{`,
		"a later version":   `{"v":99,"tenants":[]}`,
		"a tenant twice":    `{"v":1,"tenants":[{"name":"a"},{"name":"a"}]}`,
		"a tenant's name":   `{"v":1,"tenants":[{"name":"a.b"}]}`,
		"a key twice":       `{"v":1,"tenants":[{"name":"a","credentials":[` + credential + `]},{"name":"b","credentials":[` + credential + `]}]}`,
		"no key":            `{"v":1,"tenants":[{"name":"a","credentials":[{"name":"c","public_key":"x"}]}]}`,
		"an anonymous name": `{"v":1,"anonymous":"*","tenants":[]}`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			must(t, os.WriteFile(filepath.Join(dir, "tenants.json"), []byte(text), 0o600))
			if _, err := tenants.Load(dir); err == nil || !strings.Contains(err.Error(), "tenants.json") {
				t.Error(err)
			}
		})
	}
}

// A book that is gone is not one that never was.
func TestALostBookIsNoEmptyOne(t *testing.T) {
	dir := t.TempDir()
	if _, err := tenants.Change(dir, func(*tenants.Book) error { return tenants.ErrUnknown }); !errors.Is(err, tenants.ErrUnknown) {
		t.Fatal(err)
	}
	if b, err := tenants.Load(dir); err != nil || b.Version != 0 {
		t.Errorf("a change that failed lost a book that never was: %+v, %v", b, err)
	}
	add := func(b *tenants.Book) error { return b.Add("acme", "c", public(t), at) }
	_, err := tenants.Change(dir, add)
	must(t, err)
	book := filepath.Join(dir, "tenants.json")
	must(t, os.Rename(book, book+".away"))
	if _, err := tenants.Load(dir); !errors.Is(err, tenants.ErrLost) || !strings.Contains(err.Error(), "Restore it") {
		t.Error(err)
	}
	if _, err := tenants.Change(dir, add); !errors.Is(err, tenants.ErrLost) {
		t.Errorf("a new book forgets who was in the old one: %v", err)
	}
	must(t, os.Rename(book+".away", book))
	if b, err := tenants.Load(dir); err != nil || len(b.Tenants) != 1 {
		t.Errorf("restored: %+v, %v", b, err)
	}
	must(t, os.Remove(book))
	must(t, os.Remove(filepath.Join(dir, "tenants.lock")))
	if b, err := tenants.Load(dir); err != nil || b.Version != 0 {
		t.Errorf("begun anew on purpose: %+v, %v", b, err)
	}
}

func TestWatchTellsEachBookAndKeepsTheLastWhereTheFileIsLost(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	told, faults, ended := make(chan broker.Walls, 8), make(chan error, 8), make(chan struct{})
	go func() {
		defer close(ended)
		tenants.Watch(ctx, dir, 0, func(b tenants.Book) { told <- b.Walls() }, func(err error) { faults <- err })
	}()
	add := func(name string) {
		t.Helper()
		key := public(t)
		if _, err := tenants.Change(dir, func(b *tenants.Book) error { return b.Add(name, "c", key, at) }); err != nil {
			t.Fatal(err)
		}
	}
	add("acme")
	if w := <-told; len(w.Tenants) != 1 {
		t.Errorf("%+v", w)
	}
	path := filepath.Join(dir, "tenants.json")
	kept, err := os.ReadFile(path) //nolint:gosec // of the test
	must(t, err)
	must(t, os.Remove(path))
	if err := <-faults; !strings.Contains(err.Error(), "stay in force") {
		t.Error(err)
	}
	must(t, os.WriteFile(path, []byte("{"), 0o600))
	if err := <-faults; !strings.Contains(err.Error(), "stay in force") {
		t.Error(err)
	}
	must(t, os.WriteFile(path, kept, 0o600))
	add("globex")
	for w := range told {
		if len(w.Tenants) == 2 {
			break
		}
	}
	cancel()
	<-ended
}
