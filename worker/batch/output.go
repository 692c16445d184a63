package batch

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// Partial is what the name of a file ends in that is not complete yet.
const Partial = ".partial"

var (
	// ErrBusy says that another process writes the same files.
	ErrBusy = errors.New("another process is writing it")
	// ErrOtherBatch says that the files hold results that do not belong to this batch.
	ErrOtherBatch = errors.New("holds other results")
)

// hintOther tells the operator what to do about ErrOtherBatch.
const hintOther = "choose other files with --output, or send everything as a new batch with --again"

// output is one result file. Lines are appended to its partial, which this process has locked; complete gives it its name.
type output struct {
	path string
	file *os.File
	w    *bufio.Writer
	// existed is true where an earlier run left a partial behind.
	existed bool
	// final is true where the file itself is there.
	final bool
	// partial and whole count the lines of the partial and of the file itself.
	partial, whole int
}

// openOutput locks the partial of path, making it if there is none.
func openOutput(path string) (*output, error) {
	o := &output{path: path}
	for {
		if err := o.open(); err != nil {
			return nil, err
		}
		current, err := o.lock()
		if err != nil {
			return nil, errors.Join(err, o.file.Close())
		}
		if current {
			break
		}
		if err := o.file.Close(); err != nil { // completed by another process meanwhile: look again
			return nil, fmt.Errorf("opening %s: %w", o.path+Partial, err)
		}
	}
	if _, err := os.Stat(path); err == nil {
		o.final = true
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, errors.Join(fmt.Errorf("looking for %s: %w", path, err), o.discard())
	}
	return o, nil
}

func (o *output) open() error {
	const mode = 0o600 // answers are for the eyes of whoever asked
	var err error
	o.existed = false
	o.file, err = os.OpenFile(o.path+Partial, os.O_RDWR|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, os.ErrExist) {
		o.existed = true
		o.file, err = os.OpenFile(o.path+Partial, os.O_RDWR|os.O_CREATE, mode)
	}
	if err != nil {
		return fmt.Errorf("opening %s: %w", o.path+Partial, err)
	}
	o.w = bufio.NewWriterSize(o.file, 256<<10)
	return nil
}

// lock locks the open file; false means that it is no longer the partial of this path.
func (o *output) lock() (bool, error) {
	err := flock(o.file)
	if err != nil {
		return false, fmt.Errorf("locking %s: %w", o.path+Partial, err)
	}
	mine, err := o.file.Stat()
	if err != nil {
		return false, fmt.Errorf("locking %s: %w", o.path+Partial, err)
	}
	there, err := os.Stat(o.path + Partial)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return false, nil
		}
		return false, fmt.Errorf("locking %s: %w", o.path+Partial, err)
	}
	return os.SameFile(mine, there), nil
}

func flock(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) //nolint:gosec // a file descriptor is small
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("%w: wait for it, or choose other files with --output", ErrBusy)
	}
	if err != nil {
		return os.NewSyscallError("flock", err)
	}
	return nil
}

// read hands over every line of the file and of its partial, and cuts off what a kill left of the partial's last line.
func (o *output) read(take func(past) error) error {
	if o.final {
		f, err := os.Open(o.path)
		if err != nil {
			return fmt.Errorf("reading %s: %w", o.path, err)
		}
		n, _, err := readLines(f, take)
		o.whole = n
		if err := errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("%s %w", o.path, err)
		}
	}
	n, good, err := readLines(o.file, take)
	o.partial = n
	if err != nil {
		return fmt.Errorf("%s %w", o.path+Partial, err)
	}
	if err := o.file.Truncate(good); err != nil {
		return fmt.Errorf("cutting off the torn end of %s: %w", o.path+Partial, err)
	}
	if _, err := o.file.Seek(good, io.SeekStart); err != nil {
		return fmt.Errorf("cutting off the torn end of %s: %w", o.path+Partial, err)
	}
	return nil
}

// readLines hands over every whole line and tells how many there are and where the last one ends.
func readLines(f *os.File, take func(past) error) (lines int, good int64, err error) {
	r := bufio.NewReaderSize(f, 256<<10)
	for {
		raw, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return lines, good, nil
		}
		if err != nil {
			return lines, good, fmt.Errorf("cannot be read: %w", err)
		}
		p, err := pastOf(bytes.TrimSuffix(raw, []byte("\n")))
		if err == nil {
			err = take(p)
		} else {
			err = fmt.Errorf("%w: line %d %w; %s", ErrOtherBatch, lines+1, err, hintOther)
		}
		if err != nil {
			return lines, good, err
		}
		lines++
		good += int64(len(raw))
	}
}

// takeUp makes the file itself the partial again, where it lacks results.
func (o *output) takeUp() error {
	if !o.final {
		return nil
	}
	if o.partial > 0 {
		return fmt.Errorf("%s %w beside %s; move one of them away", o.path, ErrOtherBatch, o.path+Partial)
	}
	f, err := os.OpenFile(o.path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("taking up %s: %w", o.path, err)
	}
	end, err := f.Seek(0, io.SeekEnd)
	if err == nil {
		err = flock(f)
	}
	if err == nil {
		err = terminate(f, end)
	}
	if err == nil {
		err = os.Rename(o.path, o.path+Partial)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("taking up %s: %w", o.path, err), f.Close())
	}
	old := o.file
	o.file, o.existed, o.final, o.partial, o.whole = f, true, false, o.whole, 0
	o.w.Reset(f)
	if err := old.Close(); err != nil {
		return fmt.Errorf("taking up %s: %w", o.path, err)
	}
	return nil
}

// terminate refuses a file whose last line has no end: a complete file never lacks it.
func terminate(f *os.File, end int64) error {
	last := []byte{'\n'}
	if end > 0 {
		if _, err := f.ReadAt(last, end-1); err != nil {
			return fmt.Errorf("reading its end: %w", err)
		}
	}
	if last[0] != '\n' {
		return fmt.Errorf("it %w: its last line has no end", ErrOtherBatch)
	}
	return nil
}

func (o *output) write(line []byte) error {
	o.partial++
	if _, err := o.w.Write(line); err != nil {
		return fmt.Errorf("writing %s: %w", o.path+Partial, err)
	}
	return nil
}

func (o *output) flush() error {
	if err := o.w.Flush(); err != nil {
		return fmt.Errorf("writing %s: %w", o.path+Partial, err)
	}
	return nil
}

// sync puts everything written on the disk.
func (o *output) sync() error {
	if err := o.flush(); err != nil {
		return err
	}
	if err := o.file.Sync(); err != nil {
		return fmt.Errorf("writing %s: %w", o.path+Partial, err)
	}
	return nil
}

// complete gives the file its name and unlocks it. An empty partial goes away, unless always is set and there is no file.
func (o *output) complete(always bool) error {
	if o.partial == 0 && (o.final || !always) {
		return o.discard()
	}
	if o.final {
		return errors.Join(fmt.Errorf("%s %w beside %s; move one of them away", o.path, ErrOtherBatch, o.path+Partial), o.file.Close())
	}
	err := os.Rename(o.path+Partial, o.path)
	if err == nil {
		err = syncFolder(filepath.Dir(o.path))
	}
	if err = errors.Join(err, o.file.Close()); err != nil {
		return fmt.Errorf("completing %s: %w", o.path, err)
	}
	return nil
}

func syncFolder(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // the folder of a file that the user named
	if err != nil {
		return fmt.Errorf("opening its folder: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// close keeps the partial for a later run. Where nothing was begun, it removes what this run made.
func (o *output) close(begun bool) error {
	if !begun && !o.existed {
		return o.discard()
	}
	if err := errors.Join(o.flush(), o.file.Close()); err != nil {
		return fmt.Errorf("closing %s: %w", o.path+Partial, err)
	}
	return nil
}

// discard removes a partial without lines.
func (o *output) discard() error {
	if err := errors.Join(os.Remove(o.path+Partial), o.file.Close()); err != nil {
		return fmt.Errorf("removing %s: %w", o.path+Partial, err)
	}
	return nil
}
