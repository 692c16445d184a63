package cache

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"time"
)

// cleared says until when answers were cleared, by family; the empty name is all of them. Whatever was made before counts no more,
// wherever it lies: so a shared level that nobody could reach when it was cleared gives none of it back.
type cleared map[string]time.Time

const (
	fileCleared = ".cleared"
	mostCleared = 64 << 10
)

// longestTTL is longer than any answer may count, a year.
const longestTTL = 366 * 24 * time.Hour

// covers tells whether an entry was cleared.
func (c cleared) covers(family string, created time.Time) bool {
	return !created.After(c[""]) || !created.After(c[family])
}

// readCleared reads the marks of a folder; whatever cannot be read clears nothing.
func readCleared(dir string) cleared {
	data, _, err := readFile(filepath.Join(dir, fileCleared), mostCleared)
	var marks cleared
	if err != nil || json.Unmarshal(data, &marks) != nil {
		return nil
	}
	return marks
}

// mark clears a family, or all of them where it has no name, up to a moment.
func mark(dir, family string, now time.Time) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the folder of the cache: %w", err)
	}
	marks := readCleared(dir)
	if marks == nil || family == "" {
		marks = cleared{}
	}
	maps.DeleteFunc(marks, func(_ string, at time.Time) bool { return now.Sub(at) > longestTTL })
	marks[family] = now.UTC()
	data, err := json.Marshal(marks)
	if err == nil {
		_, err = replace(filepath.Join(dir, fileCleared), data, now)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("marking the cache as cleared: %w", err)
	}
	return err
}
