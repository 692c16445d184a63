package batch

import (
	"maps"
	"time"

	"flowgate/messages"
)

// Summary counts what became of the lines of a file.
type Summary struct {
	// Total is the number of lines: Outputs plus Errors plus what is still open.
	Total int `json:"total"`
	// Invalid is how many of them were faulty and not sent; they are among Errors.
	Invalid int `json:"invalid"`
	// Published is how many requests this run handed to the broker, AlreadyThere how many it found there, or ended
	// already, from an earlier run. Repeated is how many of the published ones nobody knew any more, so that they were
	// published once more.
	Published    int `json:"published"`
	AlreadyThere int `json:"already_there"`
	Repeated     int `json:"repeated"`
	// Resumed is how many lines stood in the files before this run.
	Resumed int `json:"resumed"`

	ByStatus map[messages.Status]int `json:"by_status"`
	ByReason map[messages.Reason]int `json:"by_reason"`
	// CostMicroUSD, TokensIn and TokensOut are sums over all lines that have ended, of earlier runs too.
	CostMicroUSD int64 `json:"cost_microusd"`
	TokensIn     int64 `json:"tokens_in"`
	TokensOut    int64 `json:"tokens_out"`
	// Calls are the calls of backends that the requests of these lines made, the offline one's among them.
	Calls int `json:"calls"`
	// Reused counts answers that no call of their request brought, by where they came from: memory, disk, shared or request.
	Reused map[string]int `json:"reused"`
	// SavedMicroUSD and SavedSeconds are what the calls had cost that were not made again.
	SavedMicroUSD int64   `json:"saved_microusd"`
	SavedSeconds  float64 `json:"saved_seconds"`
	// Outputs and Errors are the lines of the two files.
	Outputs int `json:"outputs"`
	Errors  int `json:"errors"`
	// Elapsed is the time of this run.
	Elapsed time.Duration `json:"elapsed_ns"`
}

// Done is the number of lines that have ended.
func (s Summary) Done() int { return s.Outputs + s.Errors }

// Complete is true when every line has ended.
func (s Summary) Complete() bool { return s.Done() == s.Total }

// Progress is how a run stands.
type Progress struct {
	Summary

	// Trouble says in words what the run waits for, if not for the models: a full queue, a broker or a result service
	// that does not answer. Empty: nothing.
	Trouble string
}

func newSummary(f *File) Summary {
	return Summary{
		Total: f.Len(), Invalid: f.Invalid(),
		ByStatus: map[messages.Status]int{}, ByReason: map[messages.Reason]int{}, Reused: map[string]int{},
	}
}

// ReusedAnswers is how many answers no call of their request brought.
func (s Summary) ReusedAnswers() int {
	n := 0
	for _, of := range s.Reused {
		n += of
	}
	return n
}

func (s *Summary) add(e ended) {
	s.ByStatus[e.status]++
	s.ByReason[e.reason]++
	s.CostMicroUSD += e.cost
	s.TokensIn += e.in
	s.TokensOut += e.out
	s.Calls += e.calls
	if r := e.reused; r != nil {
		s.Reused[r.From]++
		s.SavedMicroUSD += r.SavedMicroUSD
		s.SavedSeconds += r.SavedSeconds
	}
	if e.answered() {
		s.Outputs++
	} else {
		s.Errors++
	}
}

// at is a copy that the run does not change any more.
func (s *Summary) at(elapsed time.Duration) Summary {
	c := *s
	c.ByStatus, c.ByReason, c.Reused, c.Elapsed = maps.Clone(s.ByStatus), maps.Clone(s.ByReason), maps.Clone(s.Reused), elapsed
	return c
}
