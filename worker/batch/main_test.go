package batch_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(helperURL) != "" {
		os.Exit(helper())
	}
	goleak.VerifyTestMain(m)
}
