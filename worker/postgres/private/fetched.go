package private

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// manifestFile lies at the top of a fetched Postgres and is written when everything else is there.
const manifestFile = "flowgate.json"

// manifest tells what a fetched Postgres consists of.
type manifest struct {
	Major   int    `json:"major"`
	Version string `json:"version"`
	// Bin and Libraries are folders, relative to the manifest's own.
	Bin       string   `json:"bin"`
	Libraries []string `json:"libraries"`
	Packages  []string `json:"packages"`
}

// CacheDir is where fetched programs are kept: FLOWGATE_CACHE, else flowgate in XDG_CACHE_HOME, else ~/.cache/flowgate;
// for root /var/cache/flowgate, because the server runs under another user where namespaces are forbidden, and nobody else
// may pass root's home.
func CacheDir() (string, error) {
	if dir := os.Getenv("FLOWGATE_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	if dir := os.Getenv("XDG_CACHE_HOME"); filepath.IsAbs(dir) { // the XDG specification ignores relative ones
		return filepath.Join(dir, "flowgate"), nil
	}
	if os.Geteuid() == 0 {
		return "/var/cache/flowgate", nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("finding the cache folder: %w (set FLOWGATE_CACHE)", err)
	}
	return filepath.Join(home, ".cache", "flowgate"), nil
}

// TemplateDir is the folder in CacheDir for Options.Templates; empty where there is no CacheDir, and no templates then.
func TemplateDir() string {
	dir, err := CacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "postgres-templates")
}

// shelf is the folder of the fetched ones, one folder each.
func shelf() (string, error) {
	dir, err := CacheDir()
	return filepath.Join(dir, "postgres"), err
}

// fetchedBins returns the program folders of what was fetched, the newest first. Folders of other users than this one and
// root are passed over: what is in them would be run.
func fetchedBins() []string {
	dir, err := shelf()
	if err != nil {
		return nil
	}
	tops, err := filepath.Glob(filepath.Join(dir, "*", manifestFile))
	if err != nil {
		return nil
	}
	type found struct {
		manifest
		bin string
	}
	var all []found
	for _, path := range tops {
		m, err := readManifest(filepath.Dir(path))
		if err == nil {
			all = append(all, found{m, filepath.Join(filepath.Dir(path), m.Bin)})
		}
	}
	slices.SortStableFunc(all, func(a, b found) int {
		return cmp.Or(cmp.Compare(b.Major, a.Major), cmp.Compare(b.Version, a.Version))
	})
	bins := make([]string, 0, len(all))
	for _, f := range all {
		bins = append(bins, f.bin)
	}
	return bins
}

func readManifest(top string) (m manifest, err error) {
	path := filepath.Join(top, manifestFile)
	info, err := os.Stat(path)
	if err != nil {
		return m, err
	}
	if owner := ownerOf(info); owner != os.Geteuid() && owner != 0 {
		return m, fmt.Errorf("%s belongs to uid %d", path, owner)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("reading %s: %w", path, err)
	}
	return m, nil
}

// libraries returns the library folders that the programs in bin need to be told of: none, unless they were fetched.
func libraries(bin string) []string {
	for top := bin; ; top = filepath.Dir(top) {
		m, err := readManifest(top)
		if errors.Is(err, os.ErrNotExist) && top != filepath.Dir(top) {
			continue
		}
		if err != nil || filepath.Join(top, m.Bin) != bin {
			return nil
		}
		folders := make([]string, 0, len(m.Libraries))
		for _, dir := range m.Libraries {
			folders = append(folders, filepath.Join(top, dir))
		}
		return folders
	}
}
