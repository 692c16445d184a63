package configs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
)

// MaxSecretBytes bounds the file of a secret.
const MaxSecretBytes = 64 << 10

// fileSuffix makes the name of a secret that of its file: db_password_file, DATABASE_URL_FILE in variables.
const fileSuffix = "_file"

// secretStem is the secret that a key names the file of.
func secretStem(t reflect.Type, fields map[string]int, key string) (string, bool) {
	stem, ok := strings.CutSuffix(key, fileSuffix)
	if !ok {
		return "", false
	}
	index, ok := fields[stem]
	return stem, ok && t.Field(index).Type == reflect.TypeFor[Secret]()
}

// secretFile reads a secret from the file that the key stem_file names.
func (d *decoder) secretFile(p, at place, n ast.Node, into reflect.Value) {
	if isNull(n) {
		return
	}
	l, ok := d.literal(at, d.resolve(at, n))
	if !ok {
		return
	}
	key := strings.TrimSuffix(at.key, fileSuffix)
	if d.secretTwice(at, key) {
		return
	}
	d.lines[key], d.secretFiles[key] = at.line, l.text
	if d.dry || p.idle {
		return
	}
	text, err := readSecret(l.text)
	if err != nil {
		d.fault(at, "%s", err)
		return
	}
	into.Set(reflect.ValueOf(NewSecret(text)))
}

// secretTwice reports a secret that was given before, as itself or by file.
func (d *decoder) secretTwice(at place, key string) bool {
	if _, given := d.lines[key]; !given {
		return false
	}
	d.fault(at, "is given as itself and by file; leave one out")
	return true
}

// readSecret reads the file of a secret, without the ends of its last line. A file that others can read is refused, and one
// that its group can, unless it belongs to root and the group cannot write: such are the mounts of orchestrators (0440 root:group).
// The error never shows what is in the file.
func readSecret(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) //nolint:gosec // the operator names the file; a pipe must not block
	if err != nil {
		return "", fmt.Errorf("opening the secret's file: %w", err)
	}
	defer func() { _ = f.Close() }() // opened for reading: nothing can be lost
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("examining the secret's file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is no regular file", path)
	}
	if err := checkMode(path, info); err != nil {
		return "", err
	}
	data, err := io.ReadAll(io.LimitReader(f, MaxSecretBytes+1))
	if err != nil {
		return "", fmt.Errorf("reading the secret's file: %w", err)
	}
	text := strings.TrimRight(string(data), "\r\n")
	switch {
	case len(data) > MaxSecretBytes:
		return "", fmt.Errorf("%s is larger than %d bytes", path, MaxSecretBytes)
	case text == "":
		return "", fmt.Errorf("%s is empty", path)
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		return "", fmt.Errorf("%s is no text", path)
	}
	return text, nil
}

// The bits of a file's mode.
const (
	groupRead  = 0o040
	groupWrite = 0o020
	others     = 0o007
)

func checkMode(path string, info os.FileInfo) error {
	mode := info.Mode().Perm()
	ofRoot := false
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		ofRoot = stat.Uid == 0
	}
	switch {
	case mode&others != 0:
		return fmt.Errorf("%s has mode %04o: everybody on this machine can get at it; run `chmod 600 %s`, or set the mode of the mount to 0440", path, mode, path)
	case mode&groupWrite != 0:
		return fmt.Errorf("%s has mode %04o: its group can change it; run `chmod 600 %s`", path, mode, path)
	case mode&groupRead != 0 && !ofRoot:
		return fmt.Errorf("%s has mode %04o: its group can read it; run `chmod 600 %s`, or let it belong to root", path, mode, path)
	}
	return nil
}

// variableOrFile is the value of a variable, or of the file that the variable NAME_FILE names, and which of both it was. An
// empty variable counts as not set.
func variableOrFile(env Lookup, name string) (value, from, file string, err error) {
	value, _ = env(name)
	file, _ = env(name + "_FILE")
	switch {
	case file == "":
		return value, name, "", nil
	case value != "":
		return "", name, "", errors.New("is set, and " + name + "_FILE too; leave one out")
	}
	value, err = readSecret(file)
	return value, name + "_FILE", file, err
}
