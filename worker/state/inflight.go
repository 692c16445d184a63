package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
)

// fileInflight says which message the process handles alone, and which ones processes ended with that handled them.
const fileInflight = "inflight"

// maxSuspects bounds the messages that are remembered; the oldest are forgotten.
const maxSuspects = 100

// Message names a message by its stream and its sequence there.
type Message struct {
	Stream string `json:"stream"`
	Seq    uint64 `json:"seq"`
}

// suspect is a message with which processes ended without warning.
type suspect struct {
	Message

	Exits int `json:"exits"`
}

// Inflight is the file inflight of a state folder. A note is there the moment it is made, also for who comes after a crash of
// this process; after a loss of power it may be the note before.
type Inflight struct {
	mu       sync.Mutex
	file     *os.File
	now      *Message
	suspects []suspect
}

// inflight is what the file says.
type inflight struct {
	Now      *Message  `json:"now,omitempty"`
	Suspects []suspect `json:"suspects,omitempty"`
}

// Inflight opens the file and counts what the process before this one left in it, if it did not Close the folder. The caller
// MUST Close it before the folder.
func (f *Folder) Inflight() (*Inflight, error) {
	file, err := os.OpenFile(f.Path(fileInflight), os.O_RDWR|os.O_CREATE, 0o644) //nolint:gosec // it has numbers of messages, no secret
	if err != nil {
		return nil, fmt.Errorf("opening the list of messages in flight: %w", err)
	}
	var was inflight
	if err := json.NewDecoder(file).Decode(&was); err != nil {
		was = inflight{} // nothing was written, or not to its end
	}
	i := &Inflight{file: file, suspects: was.Suspects}
	if f.unclean && was.Now != nil {
		i.blame(*was.Now)
	}
	if err := i.write(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return i, nil
}

// blame counts an exit.
func (i *Inflight) blame(m Message) {
	s := suspect{Message: m, Exits: 1}
	if at := i.index(m); at >= 0 {
		s.Exits += i.suspects[at].Exits
		i.suspects = slices.Delete(i.suspects, at, at+1)
	}
	i.suspects = append(i.suspects, s)
	if over := len(i.suspects) - maxSuspects; over > 0 {
		i.suspects = slices.Delete(i.suspects, 0, over)
	}
}

func (i *Inflight) index(m Message) int {
	return slices.IndexFunc(i.suspects, func(s suspect) bool { return s.Message == m })
}

// Exits is how many processes ended without warning while they handled a message alone.
func (i *Inflight) Exits(stream string, seq uint64) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	if at := i.index(Message{stream, seq}); at >= 0 {
		return i.suspects[at].Exits
	}
	return 0
}

// Note says that a message is handled from now on, and nothing beside it. done takes that back; a message that is gone is no
// suspect any more.
func (i *Inflight) Note(stream string, seq uint64) (done func(gone bool), err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	m := Message{stream, seq}
	i.now = &m
	return func(gone bool) {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.now = nil
		if at := i.index(m); gone && at >= 0 {
			i.suspects = slices.Delete(i.suspects, at, at+1)
		}
		_ = i.write() // what stands there still is a message that did no harm: at worst it is counted once
	}, i.write()
}

// write replaces what the file says. Whoever reads it meanwhile, or after a crash in here, finds one document and perhaps the
// rest of an older one behind it.
func (i *Inflight) write() error {
	data, err := json.Marshal(inflight{Now: i.now, Suspects: i.suspects})
	if err == nil {
		_, err = i.file.WriteAt(append(data, '\n'), 0)
	}
	if err == nil {
		err = i.file.Truncate(int64(len(data)) + 1)
	}
	if err != nil {
		return fmt.Errorf("writing the list of messages in flight: %w", err)
	}
	return nil
}

// Close closes the file.
func (i *Inflight) Close() error { return i.file.Close() }
