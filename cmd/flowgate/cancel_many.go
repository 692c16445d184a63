package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"flowgate/messages"
	"flowgate/worker"
	"flowgate/worker/control"
	"flowgate/worker/postgres"
)

// cancelsAtOnce is how many requests are ended side by side.
const cancelsAtOnce = 32

// frozen is what a command is going to cancel: nothing is added to it afterwards.
type frozen struct {
	batch    *postgres.Batch // where a whole batch is cancelled
	requests []postgres.OpenRequest
}

// cancelledAll is what became of a list.
type cancelledAll struct {
	Batch    *postgres.Batch `json:"batch,omitempty"`
	Selected int             `json:"selected"`
	// Cancelled ended by this command, Pending will when layer 1 takes them up, Ended had ended before, Failed could not be
	// ended now: their words stand.
	Cancelled int  `json:"cancelled"`
	Pending   int  `json:"pending"`
	Ended     int  `json:"ended"`
	Failed    int  `json:"failed"`
	Done      bool `json:"done"`
	// Requests are what was selected, where nothing is done; else what became of each.
	Requests []cancelled `json:"requests"`
}

func (f *cancelling) many(cmd *cobra.Command, g *globals) error {
	where := postgres.Where{}
	if f.where != "" {
		var err error
		if where, err = postgres.ParseWhere(f.where, time.Now()); err != nil {
			return usageError{fmt.Errorf("flag --where: %w", err)}
		}
	}
	c, err := reach(cmd.Context(), g, true)
	if err != nil {
		return err
	}
	defer c.close()
	list, err := f.freeze(cmd.Context(), c, g.tenant, where)
	if err != nil {
		return err
	}
	if !f.yes {
		return list.show(cmd, g)
	}
	e, err := c.ender(cmd.Context())
	if err != nil {
		return err
	}
	all, err := f.cancelAll(cmd.Context(), e, list)
	if err != nil {
		return err
	}
	return all.report(cmd, g)
}

// freeze makes the list.
func (f *cancelling) freeze(ctx context.Context, c *client, tenant string, where postgres.Where) (list frozen, err error) {
	if f.batch == "" {
		list.requests, err = c.db.OpenRequests(ctx, tenant, where, control.MaxCancels+1)
		if err == nil && len(list.requests) > control.MaxCancels {
			err = fmt.Errorf("more than %d requests fit: cancel fewer, or a batch as a whole", control.MaxCancels)
		}
		return list, err
	}
	b, err := c.batchNamed(ctx, tenant, f.batch)
	if err != nil {
		return list, err
	}
	list.batch = &b
	list.requests, err = c.db.OpenInBatch(ctx, tenant, b.ID, b.Total)
	return list, err
}

// batchNamed finds a batch by its id, else the newest of that name.
func (c *client) batchNamed(ctx context.Context, tenant, name string) (postgres.Batch, error) {
	b, err := c.db.Batch(ctx, tenant, name)
	if !errors.Is(err, worker.ErrNotFound) {
		return b, err
	}
	const most = 10_000
	batches, err := c.db.ListBatches(ctx, tenant, most)
	for _, b := range batches {
		if b.Name == name {
			return b, nil
		}
	}
	if err == nil {
		err = fmt.Errorf("no batch has the id or name %.80q; `flowgate batch status` lists them", name)
	}
	return postgres.Batch{}, err
}

// show prints what would be cancelled.
func (l frozen) show(cmd *cobra.Command, g *globals) error {
	all := cancelledAll{Batch: l.batch, Selected: len(l.requests), Requests: []cancelled{}}
	var rows [][]string
	for _, r := range l.requests {
		all.Requests = append(all.Requests, cancelled{Key: messages.Key{Tenant: r.Tenant, ID: r.ID}, Epoch: r.Epoch, Was: r.State, Known: true})
		rows = append(rows, []string{r.ID, strconv.Itoa(r.Epoch), r.Class, r.State, r.Reason, r.UserID, clock(r.AdmittedAt)})
	}
	without := usageError{errors.New("nothing was cancelled: do it with --yes")}
	if g.json {
		return errors.Join(printJSON(cmd.OutOrStdout(), all), without)
	}
	what := fmt.Sprintf("%d open requests would be cancelled", len(rows))
	if l.batch != nil {
		what = fmt.Sprintf("batch %s (%s) of %d lines would be cancelled: %d open requests, and every line that is submitted later",
			l.batch.ID, printable(l.batch.Name), l.batch.Total, len(rows))
	}
	err := table(cmd.OutOrStdout(), "ID EPOCH CLASS STATE WAITS_FOR USER ADMITTED", rows)
	_, printed := fmt.Fprintln(cmd.OutOrStdout(), what)
	return errors.Join(err, printed, without)
}

// cancelAll says the words first, that of a batch in one, and ends what is on the list.
func (f *cancelling) cancelAll(ctx context.Context, e *ender, list frozen) (cancelledAll, error) {
	all := cancelledAll{Batch: list.batch, Done: true}
	if list.batch != nil {
		key := messages.Key{Tenant: list.batch.Tenant, ID: list.batch.ID}
		word := f.word(key, 0, time.Now().Add(batchWord))
		word.Batch = true
		if err := errors.Join(e.cancels.Room(ctx, 1), e.cancels.Say(ctx, word)); err != nil {
			return all, environmentError{err}
		}
	} else if err := e.cancels.Room(ctx, len(list.requests)); err != nil {
		return all, err
	}
	all.Requests = f.endAll(ctx, e, list)
	for pass := 0; list.batch != nil && pass < batchPasses && ctx.Err() == nil; pass++ {
		more, err := list.later(ctx, e, all.Requests)
		if err != nil || len(more.requests) == 0 {
			break // what is left ends when a layer takes it up
		}
		all.Requests = append(all.Requests, f.endAll(ctx, e, more)...)
	}
	all.Selected = len(all.Requests)
	for _, r := range all.Requests {
		switch {
		case r.Pending:
			all.Pending++
		case r.Cancelled:
			all.Cancelled++
		case r.Status != "" || !r.Known:
			all.Ended++
		default:
			all.Failed++
		}
	}
	return all, ctx.Err()
}

// batchPasses bounds how often a batch is looked through for lines that were admitted meanwhile.
const batchPasses = 5

// later are the open lines of a batch that were not tried yet: they were admitted while nobody had heard the word.
func (l frozen) later(ctx context.Context, e *ender, tried []cancelled) (frozen, error) {
	open, err := e.db.OpenInBatch(ctx, l.batch.Tenant, l.batch.ID, l.batch.Total)
	known := make(map[string]bool, len(tried))
	for _, r := range tried {
		known[r.ID] = true
	}
	return frozen{batch: l.batch, requests: slices.DeleteFunc(open, func(r postgres.OpenRequest) bool { return known[r.ID] })}, err
}

// endAll ends what is on a list, side by side.
func (f *cancelling) endAll(ctx context.Context, e *ender, list frozen) []cancelled {
	ended := make([]cancelled, len(list.requests))
	progress := newProgress("cancelled", len(list.requests))
	defer progress.close()
	var hands sync.WaitGroup
	next := make(chan int)
	for range min(cancelsAtOnce, len(list.requests)) {
		hands.Go(func() {
			for i := range next {
				ended[i] = f.cancelOpen(ctx, e, list, list.requests[i])
				progress.add()
			}
		})
	}
	for i := range list.requests {
		next <- i
	}
	close(next)
	hands.Wait()
	return ended
}

// batchWord is for how long a batch stays cancelled: longer than its lines live that name no not_after, and than a run of
// `batch submit` is likely to be taken up again.
const batchWord = 30 * 24 * time.Hour

// cancelOpen ends one request of the list.
func (f *cancelling) cancelOpen(ctx context.Context, e *ender, list frozen, r postgres.OpenRequest) cancelled {
	ctx, stop := context.WithTimeout(ctx, max(f.timeout, time.Second))
	defer stop()
	key := messages.Key{Tenant: r.Tenant, ID: r.ID}
	word := f.word(key, r.Epoch, time.Now().Add(messages.DefaultBatchLifetime))
	if list.batch != nil {
		word.Batch, word.ID = true, list.batch.ID
		said, err := e.await(ctx, word, key)
		return tried(said, err)
	}
	at, err := e.canceller.Find(ctx, key)
	if err == nil && at.Epoch == r.Epoch {
		if !at.Open() {
			said := cancelled{Key: key, Known: true}
			said.ended(at.Epoch, at.End)
			return said
		}
		word = f.word(key, r.Epoch, at.NotAfter)
	}
	if err := e.cancels.Say(ctx, word); err != nil {
		return cancelled{Key: key, Epoch: r.Epoch, Known: true}
	}
	said, err := e.await(ctx, word, key)
	return tried(said, err)
}

// tried drops what was found out about a request that could not be ended now.
func tried(said cancelled, err error) cancelled {
	if err != nil {
		said.Cancelled, said.Pending, said.Status = false, false, ""
	}
	return said
}

func (a cancelledAll) report(cmd *cobra.Command, g *globals) error {
	if g.json {
		return verdict(printJSON(cmd.OutOrStdout(), a), a.Failed == 0)
	}
	out := cmd.OutOrStdout()
	if a.Batch != nil {
		if _, err := fmt.Fprintf(out, "batch %s is cancelled; lines that are submitted later end at once\n", a.Batch.ID); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(out, "%d selected: %d cancelled, %d end when layer 1 takes them up, %d had ended before\n", a.Selected, a.Cancelled, a.Pending, a.Ended)
	if err == nil && a.Failed > 0 {
		_, err = fmt.Fprintf(out, "%d could not be ended now: where their cancellation was written they end when a layer takes them up; run the command again to see\n", a.Failed)
	}
	return verdict(err, a.Failed == 0)
}

// progress tells on standard error, once a second where that is a terminal, how far a command is.
type progress struct {
	mu          sync.Mutex
	what        string
	done, total int
	told        time.Time
	terminal    bool
}

func newProgress(what string, total int) *progress {
	return &progress{what: what, total: total, told: time.Now(), terminal: isTerminal(os.Stderr)}
}

func (p *progress) add() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done++
	if p.terminal && (time.Since(p.told) > time.Second || p.done == p.total) {
		p.told = time.Now()
		fmt.Fprintf(os.Stderr, "\r%s %d of %d", p.what, p.done, p.total)
	}
}

func (p *progress) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.terminal && p.done > 0 {
		fmt.Fprintln(os.Stderr)
	}
}
