package cache

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// FamilyStats is how the files of a family stand, and what was counted of it by all processes of the folder.
type FamilyStats struct {
	Family    string `json:"family"`
	Files     int    `json:"files"`
	SizeBytes int64  `json:"size_bytes"`
	// Hits are those of all levels; HitRate is their part of what was looked for, 0 where nothing was.
	Hits    int64   `json:"hits"`
	HitRate float64 `json:"hit_rate"`
	// Oldest and Newest are when the answers were made; left out where there are none.
	Oldest time.Time `json:"oldest,omitzero"`
	Newest time.Time `json:"newest,omitzero"`
	// SavedUSD is saved_microusd in dollars.
	SavedUSD float64 `json:"saved_usd"`

	Tally
}

// Surveyed is how a folder stands.
type Surveyed struct {
	Dir      string        `json:"dir"`
	Families []FamilyStats `json:"families"`
	Total    FamilyStats   `json:"total"`
}

// Survey looks at a folder, whoever works in it. It needs no running process: what that has counted since its last write is not seen.
func Survey(dir string, now time.Time) (Surveyed, error) {
	s := Surveyed{Dir: dir, Families: []FamilyStats{}}
	sum, err := counted(dir)
	if err != nil {
		return s, err
	}
	names, err := familiesOf(dir, sum)
	if err != nil {
		return s, err
	}
	f := files{dir}
	for _, family := range names {
		one := FamilyStats{Family: family, Tally: sum.Families[family]}
		all, err := f.list(family, now)
		if err != nil {
			return s, err
		}
		for _, file := range all {
			one.Files, one.SizeBytes = one.Files+1, one.SizeBytes+file.size
			if at, ok := f.peek(family, file.key); ok {
				one.span(at.created, at.created)
			}
		}
		one.reckon()
		s.Families = append(s.Families, one)
		s.Total.Files, s.Total.SizeBytes = s.Total.Files+one.Files, s.Total.SizeBytes+one.SizeBytes
		s.Total.Tally = s.Total.plus(one.Tally)
		s.Total.span(one.Oldest, one.Newest)
	}
	s.Total.reckon()
	return s, nil
}

// FamiliesIn are the families of which a folder has files or counts, sorted.
func FamiliesIn(dir string) ([]string, error) {
	sum, err := counted(dir)
	if err != nil {
		return nil, err
	}
	return familiesOf(dir, sum)
}

func familiesOf(dir string, sum counts) ([]string, error) {
	names, err := files{dir}.families()
	names = append(names, sorted(sum.Families)...)
	slices.Sort(names)
	return slices.Compact(names), err
}

func (f *FamilyStats) span(oldest, newest time.Time) {
	if !oldest.IsZero() && (f.Oldest.IsZero() || oldest.Before(f.Oldest)) {
		f.Oldest = oldest
	}
	if newest.After(f.Newest) {
		f.Newest = newest
	}
}

func (f *FamilyStats) reckon() {
	f.Hits, f.SavedUSD = f.Tally.Hits(), float64(f.SavedMicroUSD)/1e6
	if asked := f.Hits + f.Misses; asked > 0 {
		f.HitRate = float64(f.Hits) / float64(asked)
	}
}

// Shown is one entry of a folder.
type Shown struct {
	Entry

	// SizeBytes is the file's; Hits are those that processes remember of it; Used is when it was last used.
	SizeBytes int64     `json:"size_bytes"`
	Hits      int64     `json:"hits"`
	Used      time.Time `json:"used"`
	// Readable is false where another key than ours, or none, encrypts it, or it is no entry.
	Readable bool `json:"readable"`
}

// List lists the entries of a folder that were used last, at most so many, of one family or of all where it has no name. secret is what
// they are encrypted with.
func List(dir, family, secret string, most int, now time.Time) ([]Shown, error) {
	var c codec
	if secret != "" {
		seal, err := newSealer(secret)
		if err != nil {
			return nil, err
		}
		c.seal = seal
	}
	sum, err := counted(dir)
	if err != nil {
		return nil, err
	}
	f := files{dir}
	names, err := f.families()
	if err != nil {
		return nil, err
	}
	shown := []Shown{}
	for _, name := range names {
		if family != "" && name != family {
			continue
		}
		all, err := f.list(name, now)
		if err != nil {
			return nil, err
		}
		for _, file := range all {
			one := Shown{SizeBytes: file.size, Used: file.used.UTC(), Hits: sum.Entries[file.key]}
			one.Family, one.Key = name, file.key
			shown = append(shown, one)
		}
	}
	slices.SortFunc(shown, func(a, b Shown) int { return cmp.Or(b.Used.Compare(a.Used), cmp.Compare(a.Key, b.Key)) })
	shown = shown[:min(len(shown), most)]
	for i := range shown {
		shown[i].read(f, &c)
	}
	return shown, nil
}

func (s *Shown) read(f files, c *codec) {
	data, _, err := f.read(s.Family, s.Key)
	if err != nil {
		return
	}
	if e, err := c.decode(data, s.Family, s.Key); err == nil {
		s.Entry, s.Readable = e, true
		return
	}
	if at, ok := peek(data); ok {
		s.Created, s.Expires = at.created, at.expires
	}
}

// Clear marks the answers of a family, or of all where it has no name, as gone, in every level that this folder's processes read, and
// removes their files. It tells how many, and how large they were.
func Clear(ctx context.Context, dir, family string, now time.Time) (removed int, bytes int64, err error) {
	if err := mark(dir, family, now); err != nil {
		return 0, 0, err
	}
	return sweep(ctx, dir, family, time.Time{}, now)
}

// Prune removes the files that count no more, of a family or of all where it has no name. It tells how many, and how large they were.
func Prune(ctx context.Context, dir, family string, now time.Time) (removed int, bytes int64, err error) {
	return sweep(ctx, dir, family, now, now)
}

// sweep removes what does not count at a moment; where that is zero, everything.
func sweep(ctx context.Context, dir, family string, at, now time.Time) (removed int, bytes int64, err error) {
	f := files{dir}
	names, err := f.families()
	if err != nil {
		return 0, 0, err
	}
	for _, name := range names {
		if family != "" && name != family {
			continue
		}
		n, size, wrong := f.prune(ctx, name, at, now)
		removed, bytes, err = removed+n, bytes+size, cmp.Or(err, wrong)
		if family == "" && at.IsZero() {
			_ = os.Remove(filepath.Join(dir, name)) // where others have just written, it stays
		}
	}
	return removed, bytes, err
}
