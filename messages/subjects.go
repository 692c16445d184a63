package messages

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Class is the service class of a request. It stands in the subject; each class has consumers of its own.
type Class string

// The classes, most urgent first.
const (
	ClassRT    Class = "rt"
	ClassStd   Class = "std"
	ClassBatch Class = "batch"
)

// Classes lists the classes, most urgent first.
func Classes() []Class { return []Class{ClassRT, ClassStd, ClassBatch} }

// ClassOf is the class that our own clients choose for a priority: high rt, normal std, low batch.
func ClassOf(p Priority) Class {
	switch p {
	case PriorityHigh:
		return ClassRT
	case PriorityLow:
		return ClassBatch
	case PriorityNormal:
		return ClassStd
	}
	return ClassStd
}

// State is where a request stands in the WORK stream. The newest message of a request's family tells its state.
type State string

// The states of a request. StateDone is the only terminal one.
const (
	StateHold      State = "hold"
	StateAI        State = "ai"
	StateCalling   State = "calling"
	StateOptimizer State = "optimizer"
	StateDone      State = "done"
)

// States lists the states in the order in which a request passes them.
func States() []State {
	return []State{StateHold, StateAI, StateCalling, StateOptimizer, StateDone}
}

// Key names one request: unique for ever within its deployment.
type Key struct {
	Tenant string `json:"tenant"`
	ID     string `json:"id"`
}

func (k Key) String() string { return k.Tenant + "/" + k.ID }

// Subjects of the deployment, by token count and place.
const (
	prefixRequest = "flowgate.request."
	prefixReplay  = "flowgate.replay."
	prefixWork    = "flowgate.work."
	prefixEvent   = "flowgate.event."
	prefixResult  = "flowgate.result."
	prefixGet     = "flowgate.get.result."
	prefixIntake  = "flowgate.get.intake."
)

// ErrSubject is wrapped by every error about a subject's form.
var ErrSubject = errors.New("subject not of flowgate's grammar")

// RequestSubject is where a producer publishes a request.
func RequestSubject(c Class, k Key) string {
	return prefixRequest + string(c) + "." + k.Tenant + "." + k.ID
}

// ReplaySubject is where an operator publishes a replay that becomes the given epoch.
func ReplaySubject(c Class, k Key, epoch int) string {
	return prefixReplay + string(c) + "." + k.Tenant + "." + k.ID + "." + strconv.Itoa(epoch)
}

// ReplayFilter matches every replay of a request.
func ReplayFilter(k Key) string { return prefixReplay + "*." + k.Tenant + "." + k.ID + ".*" }

// WorkSubject is where a layer publishes the next state of a request in partition p.
func WorkSubject(p int, s State, c Class, k Key) string {
	return prefixWork + strconv.Itoa(p) + "." + string(s) + "." + string(c) + "." + k.Tenant + "." + k.ID
}

// Family is the filter over all states of one request. Every writer names this very string in its expectation, since
// servers exclude each other by it.
func Family(p int, k Key) string {
	return prefixWork + strconv.Itoa(p) + ".*.*." + k.Tenant + "." + k.ID
}

// EventSubject is where an event of a tenant is published.
func EventSubject(tenant string, kind EventKind) string {
	return prefixEvent + tenant + "." + string(kind)
}

// ResultSubject carries the wake-up (headers only) when a request has ended.
func ResultSubject(k Key) string { return prefixResult + k.Tenant + "." + k.ID }

// GetResultSubject is where anybody asks for the result of a request.
func GetResultSubject(k Key) string { return prefixGet + k.Tenant + "." + k.ID }

// Address is what a subject says: the only source of a message's identity.
type Address struct {
	Key
	Class Class
	// State is set for messages of the WORK stream, empty for requests and replays.
	State State
	// P is the partition of the WORK stream.
	P int
	// Epoch is set for replays; 0 for requests. In the WORK stream the envelope has it.
	Epoch int
	// Replay is true for a subject of the replay form.
	Replay bool
}

// ParseSubject reads a request, replay or work subject. A subject of the right shape whose tenant or id breaks the grammar
// gives an error that wraps ErrSubject together with the address as it stands, so that the message can still be ended.
func ParseSubject(subject string) (Address, error) {
	t := strings.Split(subject, ".")
	var a Address
	switch {
	case len(t) == 5 && t[1] == "request":
		a = Address{Class: Class(t[2]), Key: Key{Tenant: t[3], ID: t[4]}}
	case len(t) == 6 && t[1] == "replay":
		epoch, err := strconv.Atoi(t[5])
		if err != nil || epoch < 1 || strconv.Itoa(epoch) != t[5] {
			return Address{Class: Class(t[2]), Key: Key{Tenant: t[3], ID: t[4]}, Replay: true},
				fmt.Errorf("%w: epoch %q is no whole number from 1", ErrSubject, clip(t[5]))
		}
		a = Address{Class: Class(t[2]), Key: Key{Tenant: t[3], ID: t[4]}, Epoch: epoch, Replay: true}
	case len(t) == 7 && t[1] == "work":
		p, err := strconv.Atoi(t[2])
		if err != nil || p < 0 || strconv.Itoa(p) != t[2] {
			return Address{}, fmt.Errorf("%w: partition %q", ErrSubject, clip(t[2]))
		}
		a = Address{P: p, State: State(t[3]), Class: Class(t[4]), Key: Key{Tenant: t[5], ID: t[6]}}
		if !a.State.valid() {
			return a, fmt.Errorf("%w: state %q", ErrSubject, clip(t[3]))
		}
	default:
		return Address{}, fmt.Errorf("%w: %q", ErrSubject, clip(subject))
	}
	if t[0] != "flowgate" || !a.Class.valid() {
		return a, fmt.Errorf("%w: %q", ErrSubject, clip(subject))
	}
	if err := CheckKey(a.Key); err != nil {
		return a, fmt.Errorf("%w: %w", ErrSubject, err)
	}
	return a, nil
}

func (s State) valid() bool {
	switch s {
	case StateHold, StateAI, StateCalling, StateOptimizer, StateDone:
		return true
	}
	return false
}

func (c Class) valid() bool {
	switch c {
	case ClassRT, ClassStd, ClassBatch:
		return true
	}
	return false
}

// ParseClass reads a class.
func ParseClass(s string) (Class, error) {
	if c := Class(s); c.valid() {
		return c, nil
	}
	return "", fmt.Errorf("class %q is none of rt, std, batch", clip(s))
}

// CheckTenant tells whether a tenant's name may stand in a subject.
func CheckTenant(tenant string) error {
	if !within(tenant, 63, tenantRune) {
		return &FieldError{Field: "tenant", Rule: "must be 1 to 63 characters of a-z, 0-9, _ and -", Got: outside(tenant, tenantRune)}
	}
	return nil
}

// CheckID tells whether a request id may stand in a subject.
func CheckID(id string) error {
	if !within(id, 128, idRune) {
		return &FieldError{Field: "id", Rule: "must be 1 to 128 characters of A-Z, a-z, 0-9, _ and -", Got: outside(id, idRune)}
	}
	return nil
}

// CheckCorrelationID tells whether a text may join requests in the record; an empty one joins none.
func CheckCorrelationID(id string) error {
	if id != "" && !within(id, 128, idRune) {
		return &FieldError{Field: "correlation_id", Rule: "must be at most 128 characters of A-Z, a-z, 0-9, _ and -", Got: outside(id, idRune)}
	}
	return nil
}

func tenantRune(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}

func idRune(c rune) bool { return c >= 'A' && c <= 'Z' || tenantRune(c) }

// within tells whether a name has 1 to most characters, all of them allowed (and so one byte each).
func within(name string, most int, allowed func(rune) bool) bool {
	if name == "" || len(name) > most {
		return false
	}
	for _, c := range name {
		if !allowed(c) {
			return false
		}
	}
	return true
}

// outside shows of a name that breaks the grammar no more than the first character that may not stand in it.
func outside(name string, allowed func(rune) bool) string {
	at := 0
	for _, c := range name {
		if at++; !allowed(c) {
			return fmt.Sprintf("%q as character %d", c, at)
		}
	}
	return fmt.Sprintf("%d characters", at)
}

// CheckKey tells whether tenant and id may stand in a subject.
func CheckKey(k Key) error {
	if err := CheckTenant(k.Tenant); err != nil {
		return err
	}
	return CheckID(k.ID)
}

// SafeKey is the key itself where it may stand in a subject. What may not (a literal * is storable) is replaced, tenant and
// id each, by "bad-" and the first 32 hexadecimal digits of its SHA-256, under which the request then ends.
func SafeKey(k Key) Key {
	if CheckTenant(k.Tenant) != nil {
		k.Tenant = badName(k.Tenant)
	}
	if CheckID(k.ID) != nil {
		k.ID = badName(k.ID)
	}
	return k
}

func badName(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "bad-" + hex.EncodeToString(sum[:16])
}

// Partition is hash(tenant, id) mod of: the partition of a new request. It is FNV-1a over tenant, a zero byte, and id.
func Partition(k Key, of int) int {
	if of <= 1 {
		return 0
	}
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset)
	for _, s := range []string{k.Tenant, "\x00", k.ID} {
		for i := range len(s) {
			h = (h ^ uint64(s[i])) * prime
		}
	}
	return int(h % uint64(of)) //nolint:gosec // of is a small positive number
}
