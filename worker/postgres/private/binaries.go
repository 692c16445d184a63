package private

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// ErrNoBinaries says that no folder with initdb and postgres was found, and what the operator can do.
var ErrNoBinaries = errors.New("no Postgres binaries found: install the distribution's package, for example " +
	"`apt-get install postgresql` (or set PG_BINDIR to the folder that holds initdb and postgres), or let flowgate unpack " +
	"that package into its own cache, without root: --fetch-postgres")

// FindBinaries returns the folder that holds initdb and postgres. A binDir that is not empty, else PG_BINDIR, is the
// only one looked at; otherwise the first of: PATH, `pg_config --bindir`, the folders in which distributions, Homebrew
// and Postgres.app install, newest version first, and what Ensure has fetched. The error wraps ErrNoBinaries.
func FindBinaries(ctx context.Context, binDir string) (string, error) {
	for dir := range binDirs(ctx, binDir) {
		return dir, nil
	}
	return "", missing(binDir)
}

func missing(binDir string) error {
	if named := cmp.Or(binDir, os.Getenv("PG_BINDIR")); named != "" {
		return fmt.Errorf("looking for initdb and postgres in %s: %w", named, ErrNoBinaries)
	}
	return ErrNoBinaries
}

// binDirs yields every folder that holds both programs, in the order of FindBinaries. It is lazy: pg_config runs only
// when nothing before it would do.
func binDirs(ctx context.Context, binDir string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for dir := range searched(ctx, binDir) {
			if isProgram(dir, "initdb") && isProgram(dir, "postgres") && !yield(dir) {
				return
			}
		}
	}
}

func searched(ctx context.Context, binDir string) iter.Seq[string] {
	return func(yield func(string) bool) {
		if named := cmp.Or(binDir, os.Getenv("PG_BINDIR")); named != "" {
			yield(named)
			return
		}
		for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
			if filepath.IsAbs(dir) && !yield(dir) {
				return
			}
		}
		if out, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output(); err == nil {
			if !yield(strings.TrimSpace(string(out))) {
				return
			}
		}
		for _, pattern := range []string{
			"/usr/lib/postgresql/*/bin",
			"/usr/pgsql-*/bin",
			"/opt/homebrew/opt/postgresql*/bin",
			"/usr/local/opt/postgresql*/bin",
			"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
			"/Applications/Postgres.app/Contents/Versions/*/bin",
		} {
			for _, dir := range newestFirst(pattern) {
				if !yield(dir) {
					return
				}
			}
		}
		for _, dir := range fetchedBins() {
			if !yield(dir) {
				return
			}
		}
	}
}

func isProgram(dir, name string) bool {
	info, err := os.Stat(filepath.Join(dir, name))
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// newestFirst sorts by the number in the path; a path without one, such as Postgres.app's "latest", comes first.
func newestFirst(pattern string) []string {
	found, err := filepath.Glob(pattern)
	if err != nil {
		return nil
	}
	digits := regexp.MustCompile(`\d+(\.\d+)?`)
	number := func(path string) float64 {
		value, err := strconv.ParseFloat(digits.FindString(path), 64)
		if err != nil {
			return 1e9
		}
		return value
	}
	slices.SortStableFunc(found, func(a, b string) int { return cmp.Compare(number(b), number(a)) })
	return found
}
