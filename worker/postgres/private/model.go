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

	"go.uber.org/zap"
)

// keptModels is how many models stay: one for each Postgres that a machine is likely to change between.
const keptModels = 3

// model is a data folder as initdb makes it, kept so that the next new one is a copy: initdb takes a second of one core, a
// copy a tenth of that. Models are named after what went into them, so another Postgres, or other arguments, have another. A
// copy has its model's system identifier, which only replicas would look at. Without a model, or with a damaged one, initdb
// runs: nothing depends on a model but the time of a start.
type model struct{ shelf, key string }

// modelSum is what a whole model holds; one that holds anything else was damaged, by a power cut for example, since nobody
// waits for it to reach the disk, and is not used. The CRC is Castagnoli's, over the content of all files in their order.
type modelSum struct {
	Files int    `json:"files"`
	Bytes int64  `json:"bytes"`
	CRC   uint32 `json:"crc32c"`
}

// modelOf names the model of what bin makes with args. An empty shelf keeps none.
func modelOf(shelf string, bin binaries, args []string) (model, error) {
	if shelf == "" {
		return model{}, nil
	}
	program := filepath.Join(bin.dir, "initdb")
	info, err := os.Stat(program)
	if err != nil {
		return model{}, fmt.Errorf("looking at initdb: %w", err)
	}
	sum := sha256.New()
	for _, part := range append([]string{program, info.ModTime().UTC().String(), fmt.Sprint(info.Size()), bin.version}, args...) {
		_, _ = fmt.Fprintf(sum, "%d:%s,", len(part), part) // a hash takes everything
	}
	return model{shelf, bin.major + "-" + hex.EncodeToString(sum.Sum(nil))[:24]}, nil
}

func (m model) data() string { return filepath.Join(m.shelf, m.key, "data") }
func (m model) sum() string  { return filepath.Join(m.shelf, m.key, "sum.json") }

// copyTo fills the empty folder dir from the model and tells whether it did; where it did not, dir may hold a part.
func (m model) copyTo(dir string, id identity) (bool, error) {
	if m.shelf == "" {
		return false, nil
	}
	text, err := os.ReadFile(m.sum())
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	var want modelSum
	if err == nil {
		err = errors.Join(ownFolder(m.shelf), json.Unmarshal(text, &want))
	}
	if err != nil {
		return false, fmt.Errorf("reading the model: %w", err)
	}
	got, err := copyTree(m.data(), dir)
	if err == nil && got != want {
		err = fmt.Errorf("it holds %+v and held %+v", got, want)
	}
	if err == nil && id.mode == switched {
		err = chownTree(dir, id)
	}
	if err != nil {
		return false, errors.Join(fmt.Errorf("copying the model: %w", err), os.RemoveAll(filepath.Join(m.shelf, m.key)))
	}
	return true, nil
}

// keep makes the model from a data folder on which no server has run.
func (m model) keep(data string) error {
	if m.shelf == "" {
		return nil
	}
	if err := os.MkdirAll(m.shelf, 0o700); err != nil {
		return err
	}
	if err := ownFolder(m.shelf); err != nil {
		return err
	}
	top, err := os.MkdirTemp(m.shelf, "new-*")
	if err != nil {
		return err
	}
	fresh := model{m.shelf, filepath.Base(top)}
	err = fresh.fill(data)
	if err == nil {
		err = os.Rename(top, filepath.Dir(m.data()))
	}
	if err != nil {
		err = errors.Join(err, os.RemoveAll(top))
		if _, there := os.Stat(m.sum()); there == nil {
			return nil // another process was faster
		}
		return err
	}
	return m.prune()
}

func (m model) fill(data string) error {
	if err := os.Mkdir(m.data(), 0o700); err != nil {
		return err
	}
	sum, err := copyTree(data, m.data())
	if err != nil {
		return err
	}
	text, err := json.Marshal(sum)
	if err != nil {
		return err
	}
	return os.WriteFile(m.sum(), text, 0o600)
}

// prune removes all but the newest models, and what was left half made.
func (m model) prune() error {
	entries, err := os.ReadDir(m.shelf)
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
		if i >= keptModels || (strings.HasPrefix(e.Name(), "new-") && i > 0) {
			faults = append(faults, os.RemoveAll(filepath.Join(m.shelf, e.Name())))
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
func copyTree(from, to string) (sum modelSum, err error) {
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

// tell says what became of a model; none is needed.
func (m model) tell(logger *zap.Logger, doing string, err error) {
	if err != nil {
		logger.Warn(doing+": initdb takes its place", zap.String("folder", m.shelf), zap.Error(err))
	}
}
