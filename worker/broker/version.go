package broker

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The oldest server that has what the protocol stands on: a state replaces the one it names by sequence and family of
// subjects (2.11), and atomic publishes (2.12).
const (
	leastMajor = 2
	leastMinor = 12
)

// VersionError says that a server is too old, or does not say which version it is.
type VersionError struct{ Version, Least string }

func (e *VersionError) Error() string {
	return fmt.Sprintf("it is nats-server %s, must be %s or later", e.Version, e.Least)
}

// checkVersion refuses a server that is too old, as a *VersionError.
func checkVersion(version string) error {
	least := fmt.Sprintf("%d.%d", leastMajor, leastMinor)
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil {
		return &VersionError{Version: fmt.Sprintf("of the unreadable version %q", version), Least: least}
	}
	if major < leastMajor || major == leastMajor && minor < leastMinor {
		return &VersionError{Version: version, Least: least}
	}
	return nil
}

// explainAPI says what it means when the JetStream API does not answer as it should.
func explainAPI(js jetstream.JetStream, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrJetStreamNotEnabled):
		return fmt.Errorf("%w: the broker has no JetStream: switch it on (`jetstream {}` in its configuration, or nats-server -js)", err)
	case errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return fmt.Errorf("%w: JetStream is off in the account of this user: switch it on (`jetstream: enabled`)", err)
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout):
		// The broker tells beside the question, not in an answer, that the user may not ask.
		if last := js.Conn().LastError(); errors.Is(last, nats.ErrPermissionViolation) {
			return fmt.Errorf("%w: the user may not: %w", err, last)
		}
	}
	return err
}
