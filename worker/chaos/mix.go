package chaos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"flowgate/messages"
	"flowgate/worker/provider"
)

// Kind is what a request of a drill asks for; see kinds.
type Kind string

// The kinds.
const (
	Plain    Kind = "plain"    // succeeds
	Slow     Kind = "slow"     // succeeds after seconds of the provider's
	Limited  Kind = "limited"  // 429 first
	Shaky    Kind = "shaky"    // 500 first
	Broken   Kind = "broken"   // 500 always
	Wrong    Kind = "wrong"    // 400 always
	Dead     Kind = "dead"     // 400 in the first epoch; replayed, it succeeds
	Torn     Kind = "torn"     // the connection of the first call is cut: in doubt, then it succeeds
	Hopeless Kind = "hopeless" // every connection is cut: it ends in doubt
	Dear     Kind = "dear"     // refused: it could cost too much
	Twice    Kind = "twice"    // its id is sent a second time, in another class
	Long     Kind = "long"     // a body of more than 64 KiB
	Expired  Kind = "expired"  // its not_after has passed when it is sent
	Late     Kind = "late"     // its not_after passes about when it is done
	Waiting  Kind = "waiting"  // its not_before lies ahead
	Cancel   Kind = "cancel"   // somebody cancels it
)

// Ending is how a request may end.
type Ending struct {
	Status messages.Status `json:"status"`
	Reason messages.Reason `json:"reason"`
}

// kind says how often a kind comes, how it may end, and what the provider makes of it.
type kind struct {
	Kind

	weight  int
	endings []Ending
	reply   func(provider.Ask) provider.Reply
}

func kinds() []kind {
	ok := []Ending{{messages.StatusSuccess, messages.ReasonOK}}
	failure := func(r messages.Reason) []Ending { return []Ending{{messages.StatusFailure, r}} }
	timeout := Ending{messages.StatusTimeout, messages.ReasonDeadlinePassed}
	good := func(ask provider.Ask) provider.Reply {
		return provider.Reply{Outcome: provider.Success, Fill: true, After: latency(ask)}
	}
	always := func(o provider.Outcome) func(provider.Ask) provider.Reply {
		return func(provider.Ask) provider.Reply { return provider.Reply{Outcome: o} }
	}
	first := func(r provider.Reply) func(provider.Ask) provider.Reply {
		return func(ask provider.Ask) provider.Reply {
			if ask.Attempt <= 1 && ask.N <= 1 {
				return r
			}
			return good(ask)
		}
	}
	return []kind{
		{Plain, 40, ok, good},
		{Slow, 8, ok, func(ask provider.Ask) provider.Reply {
			return provider.Reply{Outcome: provider.Success, Fill: true, After: 10 * latency(ask)}
		}},
		{Limited, 3, ok, first(provider.Reply{Outcome: provider.RateLimited, RetryAfter: 200 * time.Millisecond})},
		{Shaky, 5, ok, first(provider.Reply{Outcome: provider.Failed})},
		{Broken, 3, failure(messages.ReasonBackendUnavailable), always(provider.Failed)},
		{Wrong, 4, failure(messages.ReasonBackendInvalid), always(provider.Invalid)},
		{Dead, 5, ok, func(ask provider.Ask) provider.Reply {
			if ask.Epoch == 0 {
				return provider.Reply{Outcome: provider.Invalid}
			}
			return good(ask)
		}},
		{Torn, 4, ok, first(provider.Reply{Outcome: provider.Cut})},
		{Hopeless, 2, failure(messages.ReasonInDoubt), always(provider.Half)},
		{Dear, 5, []Ending{{messages.StatusDenied, messages.ReasonLimitRequest}}, good},
		{Twice, 5, ok, good},
		{Long, 4, ok, good},
		{Expired, 3, []Ending{timeout}, good},
		{Late, 3, append(slices.Clone(ok), timeout), good},
		{Waiting, 4, ok, good},
		{Cancel, 5, append(failure(messages.ReasonCancelled), ok...), good},
	}
}

// latency is what a call takes, by its text alone: 20 to 300 ms.
func latency(ask provider.Ask) time.Duration {
	h := uint32(2166136261)
	for i := range len(ask.RequestID) {
		h = (h ^ uint32(ask.RequestID[i])) * 16777619
	}
	return time.Duration(20+h%281) * time.Millisecond
}

// Request is one request of a drill.
type Request struct {
	N     int            `json:"n"`
	ID    string         `json:"id"`
	Kind  Kind           `json:"kind"`
	Class messages.Class `json:"class"`
}

// mix draws the kinds by their weights. The first requests are one of each kind, so that a short drill has all.
func mix(o Options, random *rand.Rand) []Request {
	var deck []Kind
	all := kinds()
	for _, k := range all {
		deck = append(deck, slices.Repeat([]Kind{k.Kind}, k.weight)...)
	}
	requests := make([]Request, o.Requests)
	for i := range requests {
		k := deck[random.IntN(len(deck))]
		if i < len(all) {
			k = all[i].Kind
		}
		class := messages.ClassStd
		switch n := random.IntN(10); {
		case n < 2:
			class = messages.ClassRT
		case n < 5:
			class = messages.ClassBatch
		}
		requests[i] = Request{N: i, ID: fmt.Sprintf("%s-%d", k, i), Kind: k, Class: class}
	}
	return requests
}

// kindOf finds the kind of an id.
func kindOf(id string) (kind, bool) {
	name, _, _ := strings.Cut(id, "-")
	for _, k := range kinds() {
		if string(k.Kind) == name {
			return k, true
		}
	}
	return kind{}, false
}

// Script is what the provider makes of a call: it depends on the request alone.
func Script(ask provider.Ask) provider.Reply {
	_, id, _ := strings.Cut(ask.Key, "/")
	k, found := kindOf(id)
	if !found {
		return provider.Reply{Outcome: provider.Invalid}
	}
	return k.reply(ask)
}

// Epochs is how many epochs a request has in the end.
func (r Request) Epochs() int {
	if r.Kind == Dead {
		return 2
	}
	return 1
}

// Tokens of an answer, and texts of a request.
const (
	answerTokens = 400
	longText     = 70_000
)

// Document is what is published at a time.
func (r Request) Document(now time.Time) map[string]any {
	doc := map[string]any{
		"prompt": fmt.Sprintf("Say %d", r.N), "audit_reason": "a drill of outages", "user_id": "drill",
		"model": "claude-3-haiku", "max_tokens": answerTokens,
	}
	switch r.Kind { //nolint:exhaustive // the others are plain documents
	case Dear:
		doc["model"], doc["max_tokens"] = "claude-sonnet-4-6", 200_000
	case Limited:
		limited := limitedModels()
		doc["model"] = limited[r.N%len(limited)]
	case Long:
		doc["prompt"] = strings.Repeat("seventy thousand bytes ", longText/23)
	case Expired:
		doc["not_after"] = now.Add(-time.Minute).UTC()
	case Late:
		doc["not_after"] = now.Add(1500 * time.Millisecond).UTC()
	case Waiting:
		doc["not_before"] = now.Add(2 * time.Second).UTC()
	}
	return doc
}

// limitedModels are those of requests that are refused with 429 first. Workers pace a model by its refusals, and these have nothing
// to do with how many calls there are: a model of which a few calls were made and refused would go by minutes, and the drill take as
// long. So there are about as many models as such requests. None costs more than the model of the others.
func limitedModels() []string {
	return []string{
		"claude-haiku-5-5", "us.anthropic.claude-haiku-5-5", "eu.anthropic.claude-haiku-5-5", "global.anthropic.claude-haiku-5-5",
		"gpt-4o-mini", "gpt-5-nano", "gpt-5.4-nano", "gpt-5.6-luna", "gpt-6-luna", "amazon.nova-lite-v1:0", "amazon.nova-micro-v1:0",
		"amazon.titan-text-express-v1", "meta.llama3-1-8b-instruct-v1:0", "us.meta.llama4-scout-17b-instruct-v1:0",
		"us.meta.llama4-maverick-17b-instruct-v1:0",
	}
}

// CancelAfter is how long after its acceptance a request of kind Cancel is cancelled: at once, in a queue, in its call, or when
// it has ended.
func (r Request) CancelAfter() time.Duration { return time.Duration(r.N%7) * 60 * time.Millisecond }

// OtherClass is the class in which a duplicate is sent.
func (r Request) OtherClass() messages.Class {
	if r.Class == messages.ClassRT {
		return messages.ClassStd
	}
	return messages.ClassRT
}

// May tells whether a request may end so.
func (r Request) May(e Ending) bool {
	k, found := kindOf(r.ID)
	return found && slices.Contains(k.endings, e)
}

// What the calls of a drill cost at most, in micro-dollars: a plain one, and one with a long body.
const (
	callCost = 520
	longCost = 6000
	billable = 2 // the default of flowgate.billable_attempts
)

// longBound is what a call with a long body is bounded by.
const longBound = 35_600

// reserves is what is held for a request at most: as many calls as may be in doubt.
func (r Request) reserves() int64 {
	if r.Kind == Long {
		return billable * longBound
	}
	return billable * callCost
}

// Tight tells whether money is short: every third seed.
func (p Plan) Tight() bool { return p.Seed%3 == 0 }

// Hold is how long a message stays in its stream after every reader is past it: in every second seed so shortly that what a
// frozen process knows is purged when it wakes.
func (p Plan) Hold() time.Duration {
	if p.Seed%2 == 1 {
		return 3 * time.Second
	}
	return 10 * time.Minute
}

// Limit is the limit of the day, in micro-dollars. Where money is short it is about what the drill spends, so that in the end
// requests wait for what others hold; else it is never reached, though every call were in doubt and charged at its bound.
func (p Plan) Limit() int64 {
	var limit int64
	for _, r := range p.Mix {
		switch r.Kind { //nolint:exhaustive // the others make one call
		case Long:
			limit += longCost
		case Torn, Hopeless:
			limit += 2 * callCost
		case Dear, Expired, Wrong, Broken:
		default:
			limit += callCost
		}
	}
	if p.Tight() {
		return limit
	}
	return 4*limit + int64(len(p.Schedule))*64*callCost
}
