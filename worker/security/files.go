package security

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
)

// File is a file or a folder whose mode counts.
type File struct {
	// What it is, such as "the settings file".
	What, Path string
	// Secret: only its owner may read it. Else others may read and not change it.
	Secret bool
	// Mounted: a group may read it where it belongs to root, as the mounts of orchestrators are.
	Mounted bool
}

// Bits of modes.
const (
	othersRead, othersWrite, groupRead, groupWrite = 0o004, 0o002, 0o040, 0o020
	closed                                         = 0o077
)

// mostEntries bounds what is looked at below a folder.
const mostEntries = 5000

// Files judges the modes of files, of the folders that they lie in, and of what lies open below other folders. Access control lists are
// not read. It ends soon after ctx.
func Files(ctx context.Context, files []File, below []string) *Look {
	l := &Look{}
	seen, folders := map[string]bool{}, map[string]bool{}
	for _, f := range files {
		if f.Path == "" || seen[f.Path] {
			continue
		}
		seen[f.Path] = true
		l.file(f)
		l.folders(filepath.Dir(f.Path), folders)
	}
	for _, dir := range below {
		l.folders(dir, folders)
		left := mostEntries
		if err := l.below(ctx, dir, seen, &left); err != nil {
			l.Unseen("below %s: %s", dir, reason(err))
		}
	}
	if len(files)+len(below) == 0 {
		l.Nothing("no file is in use")
	}
	return l
}

// reason is an error without the path, which stands beside it.
func reason(err error) string {
	if wrong, ok := errors.AsType[*fs.PathError](err); ok {
		return wrong.Err.Error()
	}
	return err.Error()
}

func (l *Look) file(f File) {
	info, err := os.Stat(f.Path)
	if err != nil {
		l.Unseen("%s %s: %s", f.What, f.Path, reason(err))
		return
	}
	l.Saw(1)
	l.judge(f, info)
}

// judge looks at one mode.
func (l *Look) judge(f File, info fs.FileInfo) {
	mode, subject := info.Mode().Perm(), fmt.Sprintf("%s %s", f.What, f.Path)
	says := func(what string) string { return fmt.Sprintf("has mode %04o: %s", mode, what) }
	mend := "chmod 600 " + f.Path
	if info.IsDir() {
		mend = "chmod 755 " + f.Path
		if f.Secret {
			mend = "chmod 700 " + f.Path
		}
	} else if !f.Secret {
		mend = "chmod 644 " + f.Path
	}
	secret := f.Secret && !info.IsDir()
	switch {
	case mode&othersWrite != 0 && (!info.IsDir() || info.Mode()&fs.ModeSticky == 0):
		l.Find(High, subject, says("everybody on this machine can change it"), mend)
	case secret && mode&othersRead != 0:
		l.Find(High, subject, says("everybody on this machine can read the secret in it"), mend+", and change the secret")
	case mode&groupWrite != 0 && !ofRoot(info):
		l.Find(Medium, subject, says("its group can change it"), mend)
	case secret && mode&groupRead != 0 && (!f.Mounted || owner(info) != 0):
		l.Find(Medium, subject, says("its group can read the secret in it"), mend)
	case secret && owner(info) > 0 && owner(info) != os.Geteuid():
		l.Find(Medium, subject, fmt.Sprintf("belongs to the user %d, who is not the one of this process", owner(info)), "chown it to the user of this process")
	}
}

// folders looks at a folder and those above it: who can change one can put another file in the place of a good one.
func (l *Look) folders(dir string, seen map[string]bool) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return
	}
	for direct := true; !seen[dir]; direct = false {
		seen[dir] = true
		info, err := os.Stat(dir)
		if err != nil {
			return // told with the file
		}
		mode := info.Mode().Perm()
		subject := "folder " + dir
		switch {
		case info.Mode()&fs.ModeSticky != 0:
		case mode&othersWrite != 0:
			l.Find(High, subject, fmt.Sprintf("has mode %04o: everybody on this machine can put other files in the place of those in it", mode), "chmod o-w "+dir)
		case direct && mode&groupWrite != 0 && !ofRoot(info):
			l.Find(Low, subject, fmt.Sprintf("has mode %04o: its group can put other files in the place of those in it", mode), "chmod g-w "+dir)
		}
		dir = filepath.Dir(dir)
	}
}

// errMany says that a folder has more than is looked at.
var errMany = fmt.Errorf("there are more than %d files, the others were not looked at", mostEntries)

// below looks at what others can get at below a folder: one that is closed to them closes everything in it.
func (l *Look) below(ctx context.Context, dir string, seen map[string]bool, left *int) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if *left--; *left < 0 {
			return errMany
		}
		if ctx.Err() != nil {
			return errors.New("there was no time left")
		}
		path := filepath.Join(dir, e.Name())
		info, err := e.Info()
		if err != nil || seen[path] || info.Mode()&fs.ModeSymlink != 0 {
			continue // it is gone, was looked at, or is somewhere else
		}
		switch {
		case info.IsDir():
			l.Saw(1)
			l.judge(File{What: "folder", Path: path}, info)
			if info.Mode().Perm()&closed != 0 {
				if err := l.below(ctx, path, seen, left); err != nil {
					return err
				}
			}
		case info.Mode().IsRegular():
			l.Saw(1)
			open := info.Mode().Perm()&(othersRead|groupRead) != 0
			l.judge(File{What: "file", Path: path, Secret: e.Name() == runFile || open && holdsKey(path, info)}, info)
		}
	}
	return nil
}

// runFile tells operators' commands how to reach a process: a password is in it.
const runFile = "run.json"

// maxKey bounds the files that are searched for keys: keys are small.
const maxKey = 64 << 10

// keyForm is what a private key looks like: in PEM form, or the seed of an nkey.
var keyForm = regexp.MustCompile(`-----BEGIN [A-Z0-9 ]*(?:PRIVATE KEY|NKEY SEED|USER JWT)|\bS[UAOCN][A-Z2-7]{56}\b`)

// holdsKey tells whether a file that others can read holds a private key.
func holdsKey(path string, info fs.FileInfo) bool {
	if info.Size() > maxKey || info.Size() == 0 {
		return false
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0) //nolint:gosec // in the state folder
	if err != nil {
		return false // whom it is closed to cannot tell, and others can do no better
	}
	defer func() { _ = f.Close() }() // opened for reading: nothing can be lost
	var data bytes.Buffer
	if _, err := io.Copy(&data, io.LimitReader(f, maxKey)); err != nil {
		return false
	}
	return keyForm.Match(data.Bytes())
}

// owner and group are those of a file; -1: nobody says.
func owner(info fs.FileInfo) int {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(stat.Uid)
	}
	return -1
}

func group(info fs.FileInfo) int {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(stat.Gid)
	}
	return -1
}

// ofRoot tells whether a file's group is that of root, who may everything anyway.
func ofRoot(info fs.FileInfo) bool { return owner(info) == 0 && group(info) == 0 }
