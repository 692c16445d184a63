package batch_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"flowgate/worker/batch"
	"flowgate/worker/broker"
	"flowgate/worker/workertest"
)

// Environment of the helper process.
const (
	helperURL    = "BATCH_HELPER_URL"
	helperInput  = "BATCH_HELPER_INPUT"
	helperID     = "BATCH_HELPER_ID"
	helperOutput = "BATCH_HELPER_OUTPUT"
	helperErrors = "BATCH_HELPER_ERRORS"
)

// helper is the process that is killed: it runs one batch.
func helper() int {
	if err := help(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func help() (err error) {
	conn, err := nats.Connect(os.Getenv(helperURL), nats.UserInfo(broker.OperatorUser, workertest.OperatorPassword), nats.MaxReconnects(-1))
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	f, err := batch.Open(os.Getenv(helperInput), batch.Options{Tenant: tenant})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = batch.Run(context.Background(), batch.Hurry(batch.Job{
		Conn: conn, JS: js, File: f, BatchID: os.Getenv(helperID), Tenant: tenant,
		Output: os.Getenv(helperOutput), Errors: os.Getenv(helperErrors), Window: 4,
	}))
	return err
}

func TestAKilledRunGoesOnWithoutLossOrRepetition(t *testing.T) {
	s := setup(t)
	const total = 600
	job := s.job(t, many(total)...)
	s.gateway.open(t)
	for _, n := range []int{1, 60, 150, 151, 300, 480} {
		cmd := s.helper(t, job)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-s.gateway.at(n):
		case <-t.Context().Done():
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		var killed *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &killed) {
			t.Logf("the process ended before it was killed at %d: %v", n, err)
		}
	}
	sum := run(t, job)
	ended, dropped := s.gateway.counts()
	if ended != total || dropped != 0 {
		t.Errorf("the gateway ended %d requests and dropped %d, want %d and 0", ended, dropped, total)
	}
	if stored := s.stored(t); stored != total {
		t.Errorf("the broker took %d requests, want %d", stored, total)
	}
	if sum.Outputs != total*8/10 || sum.Errors != total*2/10 {
		t.Errorf("the summary counts %d and %d lines", sum.Outputs, sum.Errors)
	}
}

func (s *stand) helper(t *testing.T, job batch.Job) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0]) //nolint:gosec // this very binary
	cmd.Stderr = os.Stderr
	cmd.Env = append(os.Environ(), helperURL+"="+s.srv.URL(), helperInput+"="+job.File.Name(), helperID+"="+job.BatchID,
		helperOutput+"="+job.Output, helperErrors+"="+job.Errors)
	return cmd
}
