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

func TestThreeWorkersShareOneLimitOverNATS(t *testing.T) {
	for _, k := range []kind{kinds()[0], kinds()[3]} {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			srv := workertest.Server(t)
			ctx, cancel := context.WithCancel(t.Context())
			var running sync.WaitGroup
			var workers []*pace.Pace
			for i := range 3 {
				conn, _ := workertest.Conn(t, srv)
				w := pace.New(pace.Options{Conn: conn, Worker: fmt.Sprint("worker-", i)})
				running.Go(func() {
					if err := w.Run(ctx); err != nil {
						t.Errorf("running: %v", err)
					}
				})
				workers = append(workers, w)
			}
			p := k.provider()
			over(t, p)
			c := newCrowd(p, calls(), workers...)
			began := time.Now()
			c.run(t.Context(), 64)
			k.used, k.longer, k.learns = 0, 0, 25 // where the machine has other work, all is late: the figures are held in simulated time
			k.judge(t, c, began)
			for i, w := range workers {
				if s := w.State(); len(s) != 1 || s[0].Sent < uint64(calls()/20) {
					t.Errorf("worker %d had no part: %+v", i, s)
				}
			}
			cancel()
			running.Wait()
		})
	}
}

func TestARefusalIsHeardByEveryWorkerAtOnce(t *testing.T) {
	srv := workertest.Server(t)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	var workers []*pace.Pace
	for i := range 2 {
		conn, _ := workertest.Conn(t, srv)
		w := pace.New(pace.Options{Conn: conn, Worker: fmt.Sprint("worker-", i)})
		running.Go(func() { _ = w.Run(ctx) })
		workers = append(workers, w)
	}
	goes(t, workers[0], key)
	for len(workers[1].State()) == 0 { // until they hear each other
		time.Sleep(time.Millisecond)
	}
	began := time.Now()
	workers[0].Heard(key, limited(time.Minute))
	for workers[1].State()[0].BlockedUntil == nil {
		time.Sleep(time.Millisecond)
	}
	t.Logf("heard after %s", time.Since(began))
	if _, ok := workers[1].Enter(t.Context(), key, pace.Ask{Patience: time.Second}); ok {
		t.Error("the other worker calls in the block")
	}
	cancel()
	running.Wait()
}
