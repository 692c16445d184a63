package private

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// mode is how the server gets to run as somebody who is not root, which it insists on.
type mode int

const (
	// asItself runs the server as the user of this process.
	asItself mode = iota
	// inNamespace runs the server as the user of this process, whom a user namespace shows to it under another id.
	// Files belong to this process's user, so a folder in root's home works.
	inNamespace
	// switched runs the server under another user id, to whom its files are given.
	switched
)

// unknownOwner stands for the owner of a data folder that does not exist yet.
const unknownOwner = -1

// identity is whom the server runs as.
type identity struct {
	mode               mode
	uid, gid           int // owner of the files
	shownUID, shownGID int // what the server sees itself as, inNamespace only
}

func (id identity) String() string {
	if account, err := user.LookupId(strconv.Itoa(id.uid)); err == nil {
		return "user " + account.Username
	}
	return "uid " + strconv.Itoa(id.uid)
}

// candidates returns the identities to try, best first. The owner of an existing data folder tells which mode made it.
func candidates(owner int) ([]identity, error) {
	uid, gid := os.Geteuid(), os.Getegid()
	own := identity{mode: asItself, uid: uid, gid: gid}
	if uid != 0 {
		if owner != unknownOwner && owner != uid {
			return nil, fmt.Errorf("the data folder belongs to uid %d and this process runs as uid %d: "+
				"run it as the owner, or choose another folder", owner, uid)
		}
		if _, err := user.LookupId(strconv.Itoa(uid)); err == nil {
			return []identity{own}, nil
		}
		// initdb wants to find its user by name; a container may run under an id without one.
		shown, err := account()
		if err != nil {
			return []identity{own}, nil //nolint:nilerr // without an account to show, initdb's own message is the best one
		}
		return []identity{shownAs(own, shown), own}, nil
	}
	if owner != unknownOwner && owner != 0 {
		return []identity{{mode: switched, uid: owner, gid: groupOf(owner)}}, nil
	}
	shown, err := account()
	if err != nil {
		return nil, err
	}
	return []identity{shownAs(own, shown), shown}, nil
}

func shownAs(own, shown identity) identity {
	own.mode, own.shownUID, own.shownGID = inNamespace, shown.uid, shown.gid
	return own
}

// account returns the unprivileged user that stands in for root.
func account() (identity, error) {
	for _, name := range []string{"postgres", "nobody"} {
		found, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.Atoi(found.Uid)
		if err != nil || uid == 0 {
			continue
		}
		return identity{mode: switched, uid: uid, gid: groupOf(uid)}, nil
	}
	return identity{}, errors.New("postgres refuses to run as root and this system has neither a user postgres nor a " +
		"user nobody: create one of them, or run as an ordinary user")
}

// groupOf returns the primary group of uid, or the group of the same number for an id without a name.
func groupOf(uid int) int {
	if found, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		if gid, err := strconv.Atoi(found.Gid); err == nil {
			return gid
		}
	}
	return uid
}

// giveTo makes the folder usable for id: data folders of root become its own, and it must be able to get to them.
func (f folder) giveTo(id identity) error {
	if id.mode == switched {
		if err := reachable(f.root, id); err != nil {
			return err
		}
		if owner, err := f.owner(); err != nil || owner == 0 {
			if err := errors.Join(err, chownTree(f.data(), id)); err != nil {
				return fmt.Errorf("giving the data folder to %s: %w", id, err)
			}
		}
	}
	return openSocketDir(f.socket, id)
}

// owner returns the user id of the data folder's owner or unknownOwner.
func (f folder) owner() (int, error) {
	info, err := os.Stat(f.data())
	if errors.Is(err, os.ErrNotExist) {
		return unknownOwner, nil
	}
	if err != nil {
		return unknownOwner, fmt.Errorf("reading the owner of the data folder: %w", err)
	}
	return ownerOf(info), nil
}

// chownTree changes the top last: until everything below is changed, its owner tells to do it again.
func chownTree(top string, id identity) error {
	walk := func(path string, _ fs.DirEntry, err error) error {
		if err != nil || path == top {
			return err
		}
		return os.Lchown(path, id.uid, id.gid)
	}
	if err := filepath.WalkDir(top, walk); err != nil {
		return err
	}
	return os.Lchown(top, id.uid, id.gid)
}

// reachable checks that id may pass every folder on the way to dir.
func reachable(dir string, id identity) error {
	for ; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return fmt.Errorf("checking the way to the data folder: %w", err)
		}
		pass := fs.FileMode(0o001)
		if ownerOf(info) == id.uid {
			pass = 0o100
		}
		if info.Mode()&pass == 0 {
			return fmt.Errorf("postgres refuses to run as root, user namespaces are forbidden here, and %s may not pass %s: "+
				"choose a folder that it can reach, for example below /var/lib, or run as an ordinary user", id, dir)
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

func ownerOf(info fs.FileInfo) int {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(stat.Uid)
	}
	return unknownOwner
}
