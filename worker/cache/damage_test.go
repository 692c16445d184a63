package cache_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"flowgate/worker/cache"
)

const secret = "a secret of sixteen characters"

func sealed(o *cache.Options) { o.Secret = secret }

// TestDamageIsAMiss flips bits of every byte of a file, and cuts it at every length: what is given then is the answer that was stored, or
// none. A deflate stream has some bits that mean nothing; of an encrypted file there are none.
func TestDamageIsAMiss(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*cache.Options)
		slack  int
	}{
		"compressed":   {func(*cache.Options) {}, 12},
		"uncompressed": {func(o *cache.Options) { o.Default.Compress = false }, 12},
		"encrypted":    {sealed, 0},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			k := open(t, dir, onDisk, c.change)
			k.Put(t.Context(), answer("a", time.Now()))
			whole, err := os.ReadFile(path(dir, "a"))
			must(t, err)
			want, err := json.Marshal(wantHit(t, k, "a", cache.LevelDisk))
			must(t, err)
			given := 0
			try := func(what string, data []byte) {
				must(t, os.WriteFile(path(dir, "a"), data, 0o600))
				e, _, ok := k.Get(t.Context(), ask("a"))
				if !ok {
					if _, err := os.Stat(path(dir, "a")); !errors.Is(err, os.ErrNotExist) && !strings.HasPrefix(what, "name of the key") {
						t.Errorf("%s: the broken file is still there", what)
					}
					return
				}
				if got, err := json.Marshal(e); err != nil || string(got) != string(want) {
					t.Errorf("%s: another answer was given: %s", what, got)
				}
				given++
			}
			for i := range whole {
				for _, bit := range []byte{0x01, 0x10, 0x80} {
					broken := append([]byte(nil), whole...)
					broken[i] ^= bit
					what := fmt.Sprintf("byte %d of %d, bit %#x", i, len(whole), bit)
					if name == "encrypted" && i >= 8 && i < 16 {
						what = "name of the key"
					}
					try(what, broken)
				}
			}
			for n := range len(whole) {
				try(fmt.Sprintf("cut at %d", n), whole[:n])
			}
			try("another byte behind it", append(append([]byte(nil), whole...), 0))
			try("itself behind it", append(append([]byte(nil), whole...), whole...))
			if given > c.slack {
				t.Errorf("%d broken files passed for whole ones", given)
			}
		})
	}
}

func TestFileOfAnotherEntryIsAMiss(t *testing.T) {
	for name, change := range map[string]func(*cache.Options){"plain": func(*cache.Options) {}, "encrypted": sealed} {
		dir := t.TempDir()
		c := open(t, dir, onDisk, change)
		c.Put(t.Context(), answer("a", time.Now()))
		must(t, os.Link(path(dir, "a"), path(dir, "b")))
		wantMiss(t, c, "b")
		must(t, os.MkdirAll(filepath.Join(dir, "titan"), 0o700))
		must(t, os.Link(path(dir, "a"), filepath.Join(dir, "titan", keyOf("a")+".json.gz")))
		if _, _, ok := c.Get(t.Context(), cache.Ask{Family: "titan", Key: keyOf("a")}); ok {
			t.Errorf("%s: a file of another family was taken", name)
		}
		wantHit(t, c, "a", cache.LevelDisk)
	}
}

func TestBombIsAMiss(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir, onDisk)
	c.Put(t.Context(), answer("a", time.Now()))
	must(t, os.Truncate(path(dir, "a"), 1<<40)) // sparse: it takes no room
	wantMiss(t, c, "a")
	if _, err := os.Stat(path(dir, "a")); !errors.Is(err, os.ErrNotExist) {
		t.Error("it is still there")
	}
}

func TestEncryptedAnswersAreReadWithTheirKeyAlone(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, sealed).Put(t.Context(), answer("a", time.Now()))
	data, err := os.ReadFile(path(dir, "a"))
	must(t, err)
	if strings.Contains(string(data), "answer") || strings.Contains(string(data), "bedrock") {
		t.Error("it can be read")
	}
	wantHit(t, open(t, dir, sealed), "a", cache.LevelDisk)
	wantMiss(t, open(t, dir, func(o *cache.Options) { o.Secret = "another secret, as long" }), "a")
	wantMiss(t, open(t, dir), "a")
	wantHit(t, open(t, dir, sealed), "a", cache.LevelDisk) // nobody has removed it
	open(t, dir).Put(t.Context(), answer("a", time.Now()))
	wantMiss(t, open(t, dir, sealed), "a") // what is not encrypted is not used
	if _, err := os.Stat(path(dir, "a")); !errors.Is(err, os.ErrNotExist) {
		t.Error("what is not encrypted is still there")
	}
}

// writeUntilKilled writes entries and says which are whole.
func writeUntilKilled(dir string) {
	o := options(dir)
	o.Default.MaxBytes = 1 << 30
	c, err := cache.New(o)
	if err != nil {
		panic(err)
	}
	for n := 0; ; n++ {
		asked := numbered(n % 50)
		e := answer(asked, time.Now())
		e.Request = json.RawMessage(`"` + strings.Repeat(asked, 3000) + `"`)
		c.Put(context.Background(), e)
		fmt.Println(asked)
	}
}

func TestKilledWriterLeavesWholeAnswersAlone(t *testing.T) {
	dir := t.TempDir()
	for round := range 8 {
		writer := exec.CommandContext(t.Context(), os.Args[0])
		writer.Env = append(os.Environ(), writerDir+"="+dir)
		out, err := writer.StdoutPipe()
		must(t, err)
		must(t, writer.Start())
		said := bufio.NewScanner(out)
		var written []string
		for len(written) < 20+7*round && said.Scan() {
			written = append(written, said.Text())
		}
		must(t, writer.Process.Kill())
		for said.Scan() {
			written = append(written, said.Text())
		}
		if err := writer.Wait(); err == nil {
			t.Fatal("the writer ended by itself")
		}
		c := open(t, dir, onDisk)
		for _, asked := range written {
			wantHit(t, c, asked, cache.LevelDisk)
		}
		for n := range 50 {
			if e, _, ok := c.Get(t.Context(), ask(numbered(n))); ok && !strings.HasSuffix(string(e.Response), numbered(n)+`"}`) {
				t.Errorf("%s was answered by %s", numbered(n), e.Response)
			}
		}
	}
	// What the killed writers left unfinished goes once nobody can be writing it any more.
	folders := []string{family, ".writing"} // older versions wrote beside the answers
	for _, folder := range folders {
		old := filepath.Join(dir, folder, "."+keyOf("x")+".json.gz.abandoned.tmp")
		must(t, os.WriteFile(old, []byte("half"), 0o600))
	}
	_, _, err := cache.Prune(t.Context(), dir, "", time.Now().Add(11*time.Minute))
	must(t, err)
	for _, folder := range folders {
		entries, err := os.ReadDir(filepath.Join(dir, folder))
		must(t, err)
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), ".") {
				t.Errorf("%s is still there", e.Name())
			}
		}
	}
}
