package private

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// oldest is the first major version that the database of this product can have (postgres.leastVersion).
const oldest = 14

// binaries are the programs to run and whom they run as.
type binaries struct {
	dir      string
	major    string
	version  string // what postgres --version says
	identity identity
}

// pickBinaries returns the first binaries that fit the data in place, or any when there is none. Data of another major
// version is refused, with both named.
func pickBinaries(ctx context.Context, binDir string, place folder, identities func(int) ([]identity, error)) (binaries, error) {
	wanted, err := place.major()
	if err != nil {
		return binaries{}, err
	}
	owner, err := place.owner()
	if err != nil {
		return binaries{}, err
	}
	ids, err := identities(owner)
	if err != nil {
		return binaries{}, err
	}
	var first error
	for dir := range binDirs(ctx, binDir) {
		found, err := probe(ctx, dir, ids)
		if err == nil {
			err = fits(found, wanted, place)
		}
		if err == nil {
			return found, nil
		}
		if first == nil {
			first = err
		}
		if ctx.Err() != nil {
			return binaries{}, fmt.Errorf("looking for postgres: %w", ctx.Err())
		}
	}
	if first == nil {
		first = missing(binDir)
	}
	return binaries{}, first
}

// probe asks the server for its version under each identity in turn, which shows whether the identity works here.
func probe(ctx context.Context, dir string, ids []identity) (binaries, error) {
	var faults []error
	for _, id := range ids {
		out, err := output(ctx, id, filepath.Join(dir, "postgres"), "--version")
		if err != nil {
			faults = append(faults, err)
			continue
		}
		major := majorIn(out)
		if major == "" {
			return binaries{}, fmt.Errorf("%s/postgres --version answered %q: set PG_BINDIR to another Postgres", dir, out)
		}
		return binaries{dir: dir, major: major, version: out, identity: id}, nil
	}
	err := errors.Join(faults...)
	if os.Geteuid() == 0 {
		return binaries{}, fmt.Errorf("postgres refuses to run as root, and neither a user namespace nor a change of user "+
			"is possible here: run as an ordinary user: %w", err)
	}
	return binaries{}, fmt.Errorf("running postgres: %w", err)
}

func fits(found binaries, wanted string, place folder) error {
	if wanted != "" && wanted != found.major {
		return fmt.Errorf("the data in %s is of Postgres %s and the binaries in %s are of Postgres %s: install Postgres %s, "+
			"or set PG_BINDIR to its folder; `flowgate up --reset` sets the data aside and starts over",
			place.data(), wanted, found.dir, found.major, wanted)
	}
	if number, err := strconv.ParseFloat(found.major, 64); err != nil || number < oldest {
		return fmt.Errorf("the binaries in %s are of Postgres %s, and at least %d is needed: install a newer one, "+
			"or set PG_BINDIR to its folder", found.dir, found.major, oldest)
	}
	return nil
}

// major returns the version of the data folder, or nothing when there is none yet. A folder that is not empty and no
// database is refused: initdb gives the folder its name when it is whole, so this one is somebody else's.
func (f folder) major() (string, error) {
	version, err := os.ReadFile(filepath.Join(f.data(), "PG_VERSION"))
	if err == nil {
		return strings.TrimSpace(string(version)), nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("reading the version of the data folder: %w", err)
	}
	if err := os.Remove(f.data()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("%s is not a Postgres data folder: move it away: %w", f.data(), err)
	}
	return "", nil
}

// majorIn finds 15 in "postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)" and 9.6 in "9.6.24".
func majorIn(version string) string {
	number := regexp.MustCompile(`\) (9\.\d+|\d+)`).FindStringSubmatch(version)
	if number == nil {
		return ""
	}
	return number[1]
}
