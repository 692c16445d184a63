package private

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// keptTemplates is how many templates stay: one for each Postgres that a machine is likely to change between.
const keptTemplates = 3

// template is a data folder as initdb makes it, kept so that the next new one is a copy: initdb takes a second of one core, a
// copy a tenth of that. Templates are named after what went into them, so another Postgres, or other arguments, have another. A
// copy has its template's system identifier, which only replicas would look at. Without a template, or with a damaged one, initdb
// runs: nothing depends on a template but the time of a start.
type template struct{ shelf, key string }

// templateSum is what a whole template holds; one that holds anything else was damaged, by a power cut for example, since nobody
// waits for it to reach the disk, and is not used. The CRC is Castagnoli's, over the content of all files in their order.
type templateSum struct {
	Files int    `json:"files"`
	Bytes int64  `json:"bytes"`
	CRC   uint32 `json:"crc32c"`
}

// templateOf names the template of what bin makes with args. An empty shelf keeps none.
func templateOf(shelf string, bin binaries, args []string) (template, error) {
	if shelf == "" {
		return template{}, nil
	}
	program := filepath.Join(bin.dir, "initdb")
	info, err := os.Stat(program)
	if err != nil {
		return template{}, fmt.Errorf("looking at initdb: %w", err)
	}
	sum := sha256.New()
	for _, part := range append([]string{program, info.ModTime().UTC().String(), fmt.Sprint(info.Size()), bin.version}, args...) {
		_, _ = fmt.Fprintf(sum, "%d:%s,", len(part), part) // a hash takes everything
	}
	return template{shelf, bin.major + "-" + hex.EncodeToString(sum.Sum(nil))[:24]}, nil
}

func (t template) data() string { return filepath.Join(t.shelf, t.key, "data") }
func (t template) sum() string  { return filepath.Join(t.shelf, t.key, "sum.json") }

// copyTo fills the empty folder dir from the template and tells whether it did; where it did not, dir may hold a part.
func (t template) copyTo(dir string, id identity) (bool, error) {
	if t.shelf == "" {
		return false, nil
	}
	text, err := os.ReadFile(t.sum())
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	var want templateSum
	if err == nil {
		err = errors.Join(ownFolder(t.shelf), json.Unmarshal(text, &want))
	}
	if err != nil {
		return false, fmt.Errorf("reading the template: %w", err)
	}
	got, err := copyTree(t.data(), dir)
	if err == nil && got != want {
		err = fmt.Errorf("it holds %+v and held %+v", got, want)
	}
	if err == nil && id.mode == switched {
		err = chownTree(dir, id)
	}
	if err != nil {
		return false, errors.Join(fmt.Errorf("copying the template: %w", err), os.RemoveAll(filepath.Join(t.shelf, t.key)))
	}
	return true, nil
}

// keep makes the template from a data folder on which no server has run.
func (t template) keep(data string) error {
	if t.shelf == "" {
		return nil
	}
	if err := os.MkdirAll(t.shelf, 0o700); err != nil {
		return err
	}
	if err := ownFolder(t.shelf); err != nil {
		return err
	}
	top, err := os.MkdirTemp(t.shelf, "new-*")
	if err != nil {
		return err
	}
	fresh := template{t.shelf, filepath.Base(top)}
	err = fresh.fill(data)
	if err == nil {
		err = os.Rename(top, filepath.Dir(t.data()))
	}
	if err != nil {
		err = errors.Join(err, os.RemoveAll(top))
		if _, there := os.Stat(t.sum()); there == nil {
			return nil // another process was faster
		}
		return err
	}
	return t.prune()
}

func (t template) fill(data string) error {
	if err := os.Mkdir(t.data(), 0o700); err != nil {
		return err
	}
	sum, err := copyTree(data, t.data())
	if err != nil {
		return err
	}
	text, err := json.Marshal(sum)
	if err != nil {
		return err
	}
	return os.WriteFile(t.sum(), text, 0o600)
}

// prune removes all but the newest templates, and what was left half made.
func (t template) prune() error {
	entries, err := os.ReadDir(t.shelf)
	if err != nil {
		return err
	}
	age := func(e fs.DirEntry) int64 {
		if info, err := e.Info(); err == nil {
			return -info.ModTime().UnixNano()
		}
		return 0
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(age(a), age(b)) })
	var faults []error
	for i, e := range entries {
		if i >= keptTemplates || (strings.HasPrefix(e.Name(), "new-") && i > 0) {
			faults = append(faults, os.RemoveAll(filepath.Join(t.shelf, e.Name())))
		}
	}
	return errors.Join(faults...)
}

// ownFolder refuses a folder that somebody else could have filled.
func ownFolder(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if owner := ownerOf(info); owner != os.Geteuid() && owner != 0 || info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s belongs to uid %d and has mode %s: others could write to it", dir, owner, info.Mode())
	}
	return nil
}

// copyTree copies folders and files, open to the owner alone, and tells what it copied.
func copyTree(from, to string) (sum templateSum, err error) {
	content := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	err = filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil || rel == "." {
			return err
		}
		if e.IsDir() {
			return os.Mkdir(filepath.Join(to, rel), 0o700)
		}
		if !e.Type().IsRegular() {
			return fmt.Errorf("%s is neither file nor folder", path)
		}
		n, err := copyFile(path, filepath.Join(to, rel), content)
		sum.Files, sum.Bytes = sum.Files+1, sum.Bytes+n
		return err
	})
	sum.CRC = content.Sum32()
	return sum, err
}
