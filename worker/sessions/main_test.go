package sessions

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"flowgate/worker/workertest"
)

func TestMain(m *testing.M) {
	code := workertest.Main(m)
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}
