package batch

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/nats-io/nats.go"

	"flowgate/messages"
	"flowgate/worker/results"
)

// maxAsking is how many results are asked for at once.
const maxAsking = 32

// asker asks how requests stand.
type asker struct {
	job *Job
	// trouble is why the newest question got no answer; nil: it did.
	trouble atomic.Pointer[string]
}

// answer is how the i-th line stands, or why nobody could tell.
type answer struct {
	i      int
	result messages.Result
	err    error
}

func (a *asker) ask(ctx context.Context, i int) answer {
	result, err := results.Get(ctx, a.job.Conn, a.job.key(a.job.File.lines[i].Number))
	switch {
	case err == nil:
		a.trouble.Store(nil)
	case ctx.Err() == nil:
		why := askTrouble(err)
		a.trouble.Store(&why)
	}
	return answer{i: i, result: result, err: err}
}

func askTrouble(err error) string {
	if errors.Is(err, nats.ErrNoResponders) {
		return "no worker answers for results"
	}
	return "the result service does not answer"
}

// listen hands over the number of each line of the batch of which a wake-up says that it has ended. Wake-ups can be lost.
func listen(ctx context.Context, j *Job, wake func(ctx context.Context, line int)) (*nats.Subscription, error) {
	subject := messages.ResultSubject(messages.Key{Tenant: j.Tenant, ID: "*"})
	prefix := strings.TrimSuffix(subject, "*")
	sub, err := j.Conn.Subscribe(subject, func(m *nats.Msg) {
		if line, ours := lineOf(j.BatchID, strings.TrimPrefix(m.Subject, prefix)); ours {
			wake(ctx, line)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("listening for results: %w", err)
	}
	return sub, nil
}
