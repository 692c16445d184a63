package cache

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// files are the entries on the disk of this machine: <dir>/<family>/<key>.json.gz, for their owner only. Every look goes by path, so
// that the folder may be deleted at any time; every write is a file of its own that is renamed when it is whole, so that several
// processes may use one folder. It becomes whole in a folder beside those of the families: a folder is locked while a file is made in it,
// which is slow where many were removed a while ago, and whoever looks for an answer would wait for that. Nothing is flushed: what a loss of
// power leaves behind is read as a miss.
type files struct {
	dir string
}

const (
	suffix    = ".json.gz"
	temporary = ".tmp"
	// folderWriting has the files that are being written. No family has its name.
	folderWriting = ".writing"
	// mostFile bounds what is read of a file: an entry that does not compress, with every header.
	mostFile = MaxEntryBytes + MaxEntryBytes/64 + 4096
)

func (f files) family(family string) string    { return filepath.Join(f.dir, family) }
func (f files) path(family, key string) string { return filepath.Join(f.dir, family, key+suffix) }

var errNoFolder = errors.New("is no folder")

// plain refuses a family's folder that is a link or no folder.
func (f files) plain(family string) error {
	info, err := os.Lstat(f.family(family))
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s: %w", f.family(family), errNoFolder)
	}
	return err
}

// read reads a file; links are not followed.
func (f files) read(family, key string) ([]byte, os.FileInfo, error) {
	if err := f.plain(family); err != nil {
		return nil, nil, err
	}
	return readFile(f.path(family, key), mostFile)
}

func readFile(path string, most int64) ([]byte, os.FileInfo, error) {
	file, info, err := open(path)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = file.Close() }() // opened for reading: nothing can be lost
	if info.Size() > most {
		return nil, info, errTooMuch
	}
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(file, data); err != nil {
		return nil, info, errForm // it is being cut
	}
	return data, info, nil
}

var errNoFile = errors.New("is no regular file")

// open opens a regular file for reading. A pipe does not hold it up.
func open(path string) (*os.File, os.FileInfo, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0) //nolint:gosec // named by a family's form and a digest
	if err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errNoFile
	}
	if err != nil {
		return nil, info, errors.Join(err, file.Close())
	}
	return file, info, nil
}

// write writes a file in the place of the one that there may be, as used now, and tells what it became.
func (f files) write(family, key string, data []byte, now time.Time) (os.FileInfo, error) {
	info, err := f.replace(family, key, data, now)
	if errors.Is(err, fs.ErrNotExist) { // the folder was deleted, or never there
		if err = f.make(family); err == nil {
			info, err = f.replace(family, key, data, now)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("writing into the cache: %w", err)
	}
	return info, nil
}

func (f files) make(family string) error {
	return errors.Join(os.MkdirAll(f.family(family), 0o700), os.MkdirAll(f.family(folderWriting), 0o700))
}

func (f files) replace(family, key string, data []byte, now time.Time) (os.FileInfo, error) {
	for _, folder := range []string{family, folderWriting} {
		if err := f.plain(folder); err != nil {
			return nil, err
		}
	}
	return replaceFrom(f.family(folderWriting), f.path(family, key), data, now)
}

// replace writes a whole file beside the one that there may be, and renames it.
func replace(path string, data []byte, now time.Time) (info os.FileInfo, err error) {
	return replaceFrom(filepath.Dir(path), path, data, now)
}

// replaceFrom writes a whole file in a folder of the same disk, and renames it.
func replaceFrom(dir, path string, data []byte, now time.Time) (info os.FileInfo, err error) {
	name := filepath.Base(path)
	temp := filepath.Join(dir, "."+name+"."+rand.Text()+temporary)
	file, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600) //nolint:gosec // named by a family's form and a digest
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(temp))
		}
	}()
	_, err = file.Write(data)
	if err == nil {
		info, err = file.Stat()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	if err = os.Chtimes(temp, now, now); err != nil {
		return nil, err
	}
	return info, os.Rename(temp, path)
}

// same tells whether the file is still the one that was read.
func (f files) same(family, key string, was os.FileInfo) bool {
	info, err := os.Lstat(f.path(family, key))
	return err == nil && info.Mode().IsRegular() && os.SameFile(info, was) && info.Size() == was.Size()
}

// touch marks a file as used.
func (f files) touch(family, key string, now time.Time) {
	_ = os.Chtimes(f.path(family, key), now, now) // it may be gone: then nothing is to be marked
}

// remove removes an entry; one that is not there is none.
func (f files) remove(family, key string) (bool, error) {
	err := os.Remove(f.path(family, key))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// families are the folders that can be those of families.
func (f files) families() ([]string, error) {
	all, err := os.ReadDir(f.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the folder of the cache: %w", err)
	}
	var names []string
	for _, e := range all {
		if e.IsDir() && familyForm.MatchString(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// found is one file of a family.
type found struct {
	key  string
	size int64
	used time.Time
}

const (
	// mostFiles bounds the files of a family, and mostLooked those that are looked at together.
	mostFiles  = 200_000
	mostLooked = 2 * mostFiles
	// abandoned is from which age on a file that was never finished belongs to nobody any more.
	abandoned = 10 * time.Minute
)

// list lists the files of a family, in no order, and removes what writers that were killed have left, there and where files are written.
func (f files) list(family string, now time.Time) ([]found, error) {
	_, unfinished := f.walk(folderWriting, now)
	all, err := f.walk(family, now)
	return all, errors.Join(err, unfinished)
}

func (f files) walk(family string, now time.Time) ([]found, error) {
	if err := f.plain(family); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, err
	}
	dir, err := os.Open(f.family(family))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the cache of %s: %w", family, err)
	}
	defer func() { _ = dir.Close() }() // opened for reading: nothing can be lost
	var all []found
	for len(all) < mostLooked {
		some, err := dir.ReadDir(1024)
		for _, e := range some {
			info, gone := e.Info()
			if gone != nil || !info.Mode().IsRegular() {
				continue
			}
			key, whole := strings.CutSuffix(e.Name(), suffix)
			switch {
			case whole && named(family, key):
				all = append(all, found{key, info.Size(), info.ModTime()})
			case strings.HasPrefix(e.Name(), ".") && strings.HasSuffix(e.Name(), temporary) && age(now, info.ModTime()) > abandoned:
				_ = os.Remove(filepath.Join(f.family(family), e.Name())) // another process may have been faster
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return all, fmt.Errorf("reading the cache of %s: %w", family, err)
		}
	}
	return all, nil
}

// age is the distance of two moments: files made by a clock that was ahead are no younger than others.
func age(now, then time.Time) time.Duration { return now.Sub(then).Abs() }

// peek reads the stamp of a file.
func (f files) peek(family, key string) (stamp, bool) {
	file, _, err := open(f.path(family, key))
	if err != nil {
		return stamp{}, false
	}
	defer func() { _ = file.Close() }() // opened for reading: nothing can be lost
	head := make([]byte, headBytes)
	n, err := io.ReadFull(file, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return stamp{}, false
	}
	return peek(head[:n])
}
