package private

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func TestStart(t *testing.T) {
	t.Parallel()
	t.Run("cold makes a cluster, warm finds its rows", func(t *testing.T) {
		dir := filepath.Join(reach(t), "pg")
		for _, durable := range []bool{true, false} {
			began := time.Now()
			cold, err := Start(t.Context(), Options{Dir: filepath.Join(dir, map[bool]string{true: "d", false: "v"}[durable]), Durable: durable})
			must(t, err)
			t.Cleanup(func() { _ = cold.Stop() })
			coldTook := time.Since(began)
			if !ranInitdb(t, cold) {
				t.Error("no initdb ran")
			}
			ask(t, cold, "create table kept as select 'row' as v")
			must(t, cold.Stop())
			began = time.Now()
			warm := run(t, Options{Dir: cold.place.root, Durable: durable})
			t.Logf("durable %v: cold %s, warm %s", durable, coldTook, time.Since(began))
			if got := ask(t, warm, "select v from kept"); got != "row" {
				t.Errorf("kept row reads %q", got)
			}
			must(t, warm.Stop())
			nothingRuns(t, cold.place.root)
		}
	})
	t.Run("listens on the socket only and obeys settings", func(t *testing.T) {
		server := run(t, Options{Dir: reach(t), Settings: map[string]string{"max_connections": "17"}})
		for statement, want := range map[string]string{
			"show listen_addresses": "", "show max_connections": "17", "show timezone": "GMT", "show fsync": "off",
			"show server_encoding": "UTF8", "show lc_collate": "C", "select current_user::text": superuser,
		} {
			if got := ask(t, server, statement); got != want {
				t.Errorf("%s answers %q, want %q", statement, got, want)
			}
		}
		info, err := os.Stat(SocketDir(server.place.root))
		must(t, err)
		if info.Mode().Perm() != 0o700 {
			t.Errorf("socket folder has mode %s", info.Mode())
		}
	})
	t.Run("is durable when asked", func(t *testing.T) {
		server := run(t, Options{Dir: reach(t), Durable: true})
		for _, name := range []string{"fsync", "synchronous_commit", "full_page_writes"} {
			if got := ask(t, server, "show "+name); got != "on" {
				t.Errorf("%s is %q", name, got)
			}
		}
	})
	t.Run("has the database that was asked for, also when a copy must do", func(t *testing.T) {
		place := made(t)
		for _, name := range []string{"first", "second", "first"} { // renamed, made, there already
			server := run(t, Options{Dir: place.root, Database: name})
			conn, err := pgx.Connect(t.Context(), server.URL(name))
			must(t, err)
			must(t, conn.Close(t.Context()))
			must(t, server.Stop())
		}
	})
	t.Run("refuses settings that move the server, all at once", func(t *testing.T) {
		_, err := Start(t.Context(), Options{Settings: map[string]string{"port": "1", "listen_addresses": "*"}})
		wantError(t, err, "Dir is empty", "setting port", "setting listen_addresses")
	})
	t.Run("quotes the server on a setting that it refuses", func(t *testing.T) {
		dir := reach(t)
		_, err := Start(t.Context(), Options{Dir: dir, Settings: map[string]string{"no_such_setting": "1"}})
		wantError(t, err, "starting postgres", `unrecognized configuration parameter "no_such_setting"`)
		nothingRuns(t, dir)
	})
	t.Run("refuses a second server of the same process", func(t *testing.T) {
		first := run(t, Options{Dir: reach(t)})
		_, err := Start(t.Context(), Options{Dir: first.place.root})
		wantError(t, err, "already runs")
		ask(t, first, "select 'alive'")
	})
	t.Run("refuses a data folder that is none", func(t *testing.T) {
		dir := reach(t)
		must(t, os.MkdirAll(filepath.Join(dir, "data", "photos"), 0o700))
		_, err := Start(t.Context(), Options{Dir: dir})
		wantError(t, err, "not a Postgres data folder", "move it away")
	})
	t.Run("refuses data of another major version", func(t *testing.T) {
		dir := reach(t)
		must(t, os.Mkdir(filepath.Join(dir, "data"), 0o700))
		must(t, os.WriteFile(filepath.Join(dir, "data", "PG_VERSION"), []byte("11\n"), 0o600))
		bin, err := FindBinaries(t.Context(), "")
		must(t, err)
		_, err = Start(t.Context(), Options{Dir: dir, BinDir: bin})
		wantError(t, err, "is of Postgres 11", "are of Postgres 1", "PG_BINDIR", "flowgate up --reset")
	})
}

func TestStartCancelled(t *testing.T) {
	t.Parallel()
	t.Run("before it begins", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		dir := reach(t)
		_, err := Start(ctx, Options{Dir: dir})
		wantError(t, err, "context canceled")
		nothingRuns(t, dir)
	})
	for during, path := range map[string]string{
		"initdb":    "data.new/global",
		"the start": "data/postmaster.pid",
	} {
		t.Run("during "+during+" leaves nothing running", func(t *testing.T) {
			dir := reach(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			failed := make(chan error, 1)
			go func() {
				server, err := Start(ctx, Options{Dir: dir})
				if err == nil {
					err = server.Stop() // it was faster than the cancellation
				}
				failed <- err
			}()
			eventually(t, path, func() bool {
				_, err := os.Stat(filepath.Join(dir, path))
				return err == nil
			})
			cancel()
			if err := <-failed; during == "initdb" {
				wantError(t, err, "running initdb", "context canceled")
			}
			nothingRuns(t, dir)
			if _, err := os.Stat(filepath.Join(dir, "data.new")); err == nil {
				t.Error("data.new is left")
			}
			must(t, run(t, Options{Dir: dir}).Stop())
		})
	}
	t.Run("after the start changes nothing", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		server, err := Start(ctx, Options{Dir: reach(t)})
		cancel()
		must(t, err)
		ask(t, server, "select 'alive'")
		must(t, server.Stop())
	})
}

func TestLongPathMovesTheSocket(t *testing.T) {
	t.Parallel()
	for name, dir := range map[string]string{
		"too long":     filepath.Join(reach(t), strings.Repeat("long-", 30)),
		"with a comma": filepath.Join(reach(t), "a,b"),
	} {
		t.Run(name, func(t *testing.T) {
			before := SocketDir(dir)
			server := run(t, Options{Dir: dir})
			if after := SocketDir(dir); after != before || strings.HasPrefix(after, dir) {
				t.Errorf("socket folder %s before and %s after the start", before, after)
			}
			ask(t, server, "select 'reached'")
			must(t, server.Stop())
			if _, err := os.Stat(before); err == nil {
				t.Error("the folder in the temporary directory is left")
			}
			must(t, run(t, Options{Dir: dir}).Stop())
		})
	}
	t.Run("odd characters stay", func(t *testing.T) {
		server := run(t, Options{Dir: filepath.Join(reach(t), `o+ d"d %41`)})
		ask(t, server, "select 'reached'")
	})
	t.Run("a link in the way of the moved folder is refused", func(t *testing.T) {
		link := filepath.Join(t.TempDir(), "link")
		must(t, os.Symlink(t.TempDir(), link))
		err := openSocketDir(link, identity{uid: os.Geteuid(), gid: os.Getegid()})
		wantError(t, err, "remove it")
	})
	t.Run("a link to the folder leads to the same socket", func(t *testing.T) {
		dir := reach(t)
		must(t, os.Symlink(dir, dir+"-link"))
		if a, b := SocketDir(filepath.Join(dir, "x")), SocketDir(filepath.Join(dir+"-link", "x")); a != b {
			t.Errorf("%s is not %s", a, b)
		}
	})
}

func TestLogIsBounded(t *testing.T) {
	t.Parallel()
	dir := reach(t)
	path := filepath.Join(dir, "log", "postgres.log")
	must(t, os.Mkdir(filepath.Dir(path), 0o700))
	must(t, os.WriteFile(path, make([]byte, maxLog+1), 0o600))
	must(t, run(t, Options{Dir: dir}).Stop())
	now, err := os.Stat(path)
	must(t, err)
	old, err := os.Stat(path + ".old")
	must(t, err)
	if now.Size() > 1<<20 || old.Size() != maxLog+1 {
		t.Errorf("log has %d bytes, the old one %d", now.Size(), old.Size())
	}
}
