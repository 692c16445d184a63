package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestResetSetsDataOfAnotherVersionAside(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings)
	data := filepath.Join(g.state, "postgres", "data")
	if err := os.MkdirAll(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte("11\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	g.say("up").wants(t, exitEnvironment, "of Postgres 11", "flowgate up --reset")
	p := g.up("--reset")
	p.ready()
	p.stop()
	kept, err := filepath.Glob(filepath.Join(g.state, "set-aside-*", "postgres", "data", "PG_VERSION"))
	if err != nil || len(kept) != 1 {
		t.Errorf("kept %v, %v", kept, err)
	}
}
