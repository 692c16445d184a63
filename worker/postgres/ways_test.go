package postgres_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"flowgate/worker/postgres"
	"flowgate/worker/workertest"
)

func TestWaysOfADatabasesAddress(t *testing.T) {
	certificate, key := workertest.NewAuthority(t).Issue(t, "worker")
	own := url.Values{"sslcert": {certificate}, "sslkey": {key}, "sslmode": {"require"}}.Encode()
	for address, want := range map[string]string{
		"postgres://u:p@db.example/flowgate?sslmode=disable":          "db.example plain",
		"postgres://u:p@db.example/flowgate?sslmode=allow":            "db.example plain unverified",
		"postgres://u:p@db.example/flowgate?sslmode=prefer":           "db.example plain unverified",
		"postgres://u:p@db.example/flowgate?sslmode=require":          "db.example encrypted unverified",
		"postgres://u:p@db.example/flowgate?sslmode=verify-ca":        "db.example encrypted",
		"postgres://u:p@a.example,b.example/flowgate?sslmode=disable": "a.example plain, b.example plain",
		"postgres://u:p@db.example/flowgate?sslmode=verify-full":      "db.example encrypted",
		"postgres://u@/flowgate?host=/run/postgresql":                 "/run/postgresql plain",
		"postgres://u:p@db.example/flowgate?" + own:                   "db.example encrypted unverified with a certificate",
	} {
		ways, err := postgres.Ways(address)
		var words []string
		for _, w := range ways {
			word := w.Host + " plain"
			if w.Encrypted {
				word = w.Host + " encrypted"
			}
			if w.Unverified {
				word += " unverified"
			}
			if w.Ends.After(time.Now()) {
				word += " with a certificate"
			}
			words = append(words, word)
		}
		if got := strings.Join(words, ", "); err != nil || got != want {
			t.Errorf("%s: %s, want %s: %v", address, got, want, err)
		}
	}
	if ways, err := postgres.Ways("postgres://u:hunter2-secret@db:x/flowgate"); err == nil || strings.Contains(fmt.Sprint(err), "hunter2") {
		t.Errorf("%+v: %v", ways, err)
	}
}
