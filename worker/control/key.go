package control

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"flowgate/worker"
)

const (
	pausePrefix  = "pause."
	heartbeatKey = "heartbeat"
	// allPauses is the filter of every pause.
	allPauses = "pause.>"
)

// MaxName is the most bytes of a paused thing's name.
const MaxName = 200

// encode writes a name, which may hold anything, as a token of a key: what may not stand in one is written as =XX, hexadecimal.
func encode(name string) string {
	var b strings.Builder
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "=%02X", c)
		}
	}
	return b.String()
}

var errKey = errors.New("no key of ours")

// decodeName reads what encode wrote of a name that is not empty.
func decodeName(token string) (string, error) {
	var b strings.Builder
	for rest := token; rest != ""; {
		if rest[0] != '=' {
			b.WriteByte(rest[0])
			rest = rest[1:]
			continue
		}
		if len(rest) < 3 {
			return "", errKey
		}
		c, err := hex.DecodeString(rest[1:3])
		if err != nil {
			return "", errKey
		}
		b.WriteByte(c[0])
		rest = rest[3:]
	}
	if b.Len() == 0 || encode(b.String()) != token {
		return "", errKey
	}
	return b.String(), nil
}

// key is where a pause stands.
func key(kind worker.PauseKind, name string) string {
	return pausePrefix + string(kind) + "." + encode(name)
}

// parseKey reads what key wrote.
func parseKey(k string) (kind worker.PauseKind, name string, err error) {
	tokens := strings.Split(k, ".")
	if len(tokens) != 3 || tokens[0]+"." != pausePrefix {
		return "", "", errKey
	}
	if kind, err = worker.ParsePauseKind(tokens[1]); err != nil {
		return "", "", err
	}
	name, err = decodeName(tokens[2])
	return kind, name, err
}
