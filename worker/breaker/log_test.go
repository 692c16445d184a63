package breaker_test

import (
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"flowgate/worker/breaker"
)

func TestTheLogTellsWhenARefusedBackendIsTriedAgain(t *testing.T) {
	core, seen := observer.New(zap.InfoLevel)
	tell := breaker.Log(zap.New(core))
	tell(breaker.Change{Backend: "openai", To: breaker.Unhealthy, Next: time.Now().Add(time.Minute)})
	tell(breaker.Change{Backend: "openai", To: breaker.Unhealthy})
	for i, want := range []string{"when one call tries", "before a restart"} {
		if got := seen.All()[i].Message; !strings.Contains(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
