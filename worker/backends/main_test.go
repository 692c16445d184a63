package backends

import (
	"testing"

	"go.uber.org/goleak"

	"flowgate/worker/workertest"
)

// keys are those of real providers that the environment had: only tests that a person asked to be real may use them.
var keys map[string]string

func TestMain(m *testing.M) {
	keys = workertest.Keyless(workertest.ProxyVariables()...)
	goleak.VerifyTestMain(m)
}
