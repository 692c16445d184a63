package pace_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"flowgate/pipelines/ai"
	"flowgate/worker/pace"
	"flowgate/worker/workertest"
)

// ServeHTTP answers a call as providers do.
func (p *provider) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	s, told := p.take(), p.told
	p.mu.Unlock()
	for name, value := range told {
		w.Header().Set(name, value)
	}
	if s.Class != "" {
		if !p.mute {
			w.Header().Set("Retry-After", strconv.Itoa(int(s.RetryAfter.Seconds())))
		}
		w.WriteHeader(http.StatusTooManyRequests)
	}
}

// over makes calls to it over HTTP.
func over(t *testing.T, p *provider) {
	t.Helper()
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	t.Cleanup(client.CloseIdleConnections)
	p.call = func(ctx context.Context) pace.Sign {
		s := pace.Sign{Sent: time.Now()}
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL, strings.NewReader("{}"))
		if err != nil {
			t.Error(err)
			return s
		}
		response, err := client.Do(request)
		if err != nil {
			t.Error(err)
			return s
		}
		defer response.Body.Close()
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			t.Error(err)
		}
		s.Quota = ai.ReadQuota(response.Header.Get, time.Now())
		if response.StatusCode == http.StatusTooManyRequests {
			s.Class = ai.ClassRateLimited
			after, err := strconv.Atoi(response.Header.Get("Retry-After"))
			if err != nil {
				t.Error(err)
			}
			s.RetryAfter = time.Duration(after) * time.Second
		}
		return s
	}
}

// team makes workers that hear each other over a broker until the test ends.
func team(t *testing.T, n int) (all []*pace.Pace) {
	t.Helper()
	srv := workertest.Server(t)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	for i := range n {
		conn, _ := workertest.Conn(t, srv)
		w := pace.New(pace.Options{Conn: conn, Worker: fmt.Sprint("worker-", i)})
		running.Go(func() {
			if err := w.Run(ctx); err != nil {
				t.Errorf("running: %v", err)
			}
		})
		all = append(all, w)
	}
	t.Cleanup(func() { cancel(); running.Wait() })
	return all
}

// TestThreeWorkersShareOneLimitOverNATS: at most one call in a hundred is refused, whoever sends it, from the first one on. How much of
// the limit is used is held in simulated time: a machine that has other work to do is late, and sends no more for that.
func TestThreeWorkersShareOneLimitOverNATS(t *testing.T) {
	for _, k := range []kind{kinds()[0], kinds()[3]} {
		if k.headers == "" && !long() { // the first seconds decide of 500 calls, and a busy machine's scheduler of those: TestThreeWorkersShareOneLimit
			continue
		}
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			workers, p := team(t, 3), k.provider()
			over(t, p)
			c := newCrowd(p, calls(), workers...)
			began := time.Now()
			c.run(t.Context(), 64)
			k.used, k.longer = 0, 0
			k.judge(t, c, began)
			for i, w := range workers {
				if s := w.State(); len(s) != 1 || s[0].Sent < uint64(calls()/20) {
					t.Errorf("worker %d had no part: %+v", i, s)
				}
			}
		})
	}
}

// TestARefusalIsHeardOverNATS: one worker is refused, and another that calls all the time stops.
func TestARefusalIsHeardOverNATS(t *testing.T) {
	t.Parallel()
	workers := team(t, 2)
	goes(t, workers[0], key)
	workers[0].Heard(key, limited(time.Minute))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		at, ok := workers[1].Enter(ctx, key, pace.Ask{Patience: time.Second})
		if ctx.Err() != nil {
			t.Fatal("the other worker calls in the block")
		}
		if !ok && time.Until(at) > 30*time.Second {
			return
		}
		workers[1].Leave(key, 0)
	}
}
