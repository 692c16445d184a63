package messages_test

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"flowgate/messages"
)

var acme = messages.Key{Tenant: "acme", ID: "r-1_X"}

func TestSubjectsAreReadAsTheyAreWritten(t *testing.T) {
	for subject, want := range map[string]messages.Address{
		messages.RequestSubject(messages.ClassRT, acme):                                   {Key: acme, Class: messages.ClassRT},
		messages.ReplaySubject(messages.ClassBatch, acme, 12):                             {Key: acme, Class: messages.ClassBatch, Epoch: 12, Replay: true},
		messages.WorkSubject(3, messages.StateCalling, messages.ClassStd, acme):           {Key: acme, Class: messages.ClassStd, State: messages.StateCalling, P: 3},
		"flowgate.request.std.t.1":                                                        {Key: messages.Key{Tenant: "t", ID: "1"}, Class: messages.ClassStd},
		"flowgate.request.rt." + strings.Repeat("t", 63) + "." + strings.Repeat("i", 128): {Key: messages.Key{Tenant: strings.Repeat("t", 63), ID: strings.Repeat("i", 128)}, Class: messages.ClassRT},
	} {
		got, err := messages.ParseSubject(subject)
		if err != nil || got != want {
			t.Errorf("%s reads as %+v, %v; want %+v", subject, got, err, want)
		}
	}
}

func TestSubjectsOutsideTheGrammarAreRefused(t *testing.T) {
	for subject, key := range map[string]messages.Key{
		"":                                                      {},
		"flowgate":                                              {},
		"flowgate.request.rt.acme":                              {},
		"flowgate.request.rt.acme.r.1":                          {}, // a dot in an id makes it another subject
		"flowgate.request.rt..r1":                               {ID: "r1"},
		"flowgate.request.rt.acme.":                             {Tenant: "acme"},
		"flowgate.request.rt.acme.*":                            {Tenant: "acme", ID: "*"},
		"flowgate.request.rt.acme.>":                            {Tenant: "acme", ID: ">"},
		"flowgate.request.rt.Acme.r1":                           {Tenant: "Acme", ID: "r1"},
		"flowgate.request.rt.acme.a b":                          {Tenant: "acme", ID: "a b"},
		"flowgate.request.rt.acme.r1\n":                         {Tenant: "acme", ID: "r1\n"},
		"flowgate.request.rt.acme.ü":                            {Tenant: "acme", ID: "ü"},
		"flowgate.request.*.acme.r1":                            {Tenant: "acme", ID: "r1"},
		"flowgate.request.RT.acme.r1":                           {Tenant: "acme", ID: "r1"},
		"flowgate.request..acme.r1":                             {Tenant: "acme", ID: "r1"},
		"other.request.rt.acme.r1":                              {Tenant: "acme", ID: "r1"},
		"flowgate.replay.rt.acme.r1":                            {},
		"flowgate.replay.rt.acme.r1.0":                          {Tenant: "acme", ID: "r1"},
		"flowgate.replay.rt.acme.r1.01":                         {Tenant: "acme", ID: "r1"},
		"flowgate.replay.rt.acme.r1.-1":                         {Tenant: "acme", ID: "r1"},
		"flowgate.replay.rt.acme.r1.+1":                         {Tenant: "acme", ID: "r1"},
		"flowgate.replay.rt.acme.r1.1e1":                        {Tenant: "acme", ID: "r1"},
		"flowgate.replay.rt.acme.r1.99999999999999999999":       {Tenant: "acme", ID: "r1"},
		"flowgate.work.00.ai.rt.acme.r1":                        {},
		"flowgate.work.-1.ai.rt.acme.r1":                        {},
		"flowgate.work.*.ai.rt.acme.r1":                         {},
		"flowgate.work.0.doing.rt.acme.r1":                      {Tenant: "acme", ID: "r1"},
		"flowgate.work.0.*.*.acme.r1":                           {Tenant: "acme", ID: "r1"}, // the family is a filter, no address
		"flowgate.event.acme.freed":                             {},
		"flowgate.result.acme.r1":                               {},
		"flowgate.request.rt.acme." + strings.Repeat("i", 129):  {Tenant: "acme", ID: strings.Repeat("i", 129)},
		"flowgate.request.rt." + strings.Repeat("t", 64) + ".r": {Tenant: strings.Repeat("t", 64), ID: "r"},
	} {
		got, err := messages.ParseSubject(subject)
		if !errors.Is(err, messages.ErrSubject) {
			t.Errorf("%q: got %+v, %v; want ErrSubject", subject, got, err)
		}
		if got.Key != key {
			t.Errorf("%q: the address has %+v, want %+v, under which it can be ended", subject, got.Key, key)
		}
		if safe := messages.SafeKey(got.Key); messages.CheckKey(safe) != nil {
			t.Errorf("%q: the safe key %v is not safe", subject, safe)
		}
	}
}

func TestSafeKeyKeepsWhatIsSafeAndNamesTheRestByDigest(t *testing.T) {
	for given, want := range map[messages.Key]messages.Key{
		acme:                        acme,
		{Tenant: "acme", ID: "*"}:   {Tenant: "acme", ID: "bad-684888c0ebb17f374298b65ee2807526"},
		{Tenant: "Acme", ID: "r1"}:  {Tenant: "bad-37036cd8f9746d335038eca92f8a73ae", ID: "r1"},
		{Tenant: "acme", ID: "a.b"}: {Tenant: "acme", ID: "bad-2e7336dc8eba87ef472df568c35482ab"},
		{}:                          {Tenant: "bad-e3b0c44298fc1c149afbf4c8996fb924", ID: "bad-e3b0c44298fc1c149afbf4c8996fb924"},
	} {
		if got := messages.SafeKey(given); got != want {
			t.Errorf("SafeKey(%q) = %v, want %v", given, got, want)
		}
	}
}

func TestPartitionNeverChanges(t *testing.T) {
	for _, c := range []struct {
		key      messages.Key
		of, want int
	}{
		{acme, 0, 0},
		{acme, 1, 0},
		{acme, 4, 0},
		{acme, 7, 5},
		{messages.Key{Tenant: "a", ID: "bc"}, 1000, 899},
		{messages.Key{Tenant: "ab", ID: "c"}, 1000, 135},
	} {
		if got := messages.Partition(c.key, c.of); got != c.want {
			t.Errorf("Partition(%v, %d) = %d, want %d", c.key, c.of, got, c.want)
		}
	}
}

func TestPartitionsAreEvenlyUsed(t *testing.T) {
	const of, n = 8, 8000
	var count [of]int
	for i := range n {
		count[messages.Partition(messages.Key{Tenant: "acme", ID: "order-" + strings.Repeat("0", i%7) + string(rune('a'+i%26)) + strings.Repeat("x", i/26%40)}, of)]++
	}
	for p, got := range count {
		if got < n/of/2 || got > n/of*2 {
			t.Errorf("partition %d has %d of %d", p, got, n)
		}
	}
}

func TestEverySubjectOfTheGrammarRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := messages.Key{
			Tenant: rapid.StringMatching(`[a-z0-9_-]{1,63}`).Draw(t, "tenant"),
			ID:     rapid.StringMatching(`[A-Za-z0-9_-]{1,128}`).Draw(t, "id"),
		}
		c := rapid.SampledFrom(messages.Classes()).Draw(t, "class")
		s := rapid.SampledFrom(messages.States()).Draw(t, "state")
		p := rapid.IntRange(0, 1<<20).Draw(t, "partition")
		a, err := messages.ParseSubject(messages.WorkSubject(p, s, c, k))
		if err != nil || a.Key != k || a.Class != c || a.State != s || a.P != p {
			t.Fatalf("got %+v, %v", a, err)
		}
		if messages.SafeKey(k) != k {
			t.Fatal("a good key was replaced")
		}
		if of := rapid.IntRange(1, 100).Draw(t, "of"); messages.Partition(k, of) < 0 || messages.Partition(k, of) >= of {
			t.Fatalf("Partition leaves 0 to %d", of-1)
		}
	})
}

func TestClassOfPriority(t *testing.T) {
	for priority, want := range map[messages.Priority]messages.Class{
		messages.PriorityHigh: messages.ClassRT, messages.PriorityNormal: messages.ClassStd, messages.PriorityLow: messages.ClassBatch, "": messages.ClassStd,
	} {
		if got := messages.ClassOf(priority); got != want {
			t.Errorf("priority %q is class %s, want %s", priority, got, want)
		}
	}
	for _, c := range messages.Classes() {
		if got, err := messages.ParseClass(string(c)); got != c || err != nil {
			t.Errorf("ParseClass(%s) = %s, %v", c, got, err)
		}
	}
	if _, err := messages.ParseClass("express"); err == nil {
		t.Error("a class that is none was read")
	}
}
