package broker

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"flowgate/messages"
)

// Duty is what a worker does, as far as the broker must permit it.
type Duty struct {
	// Queues are the queues that it reads; States what it may make of a request.
	Queues []LayerQueue
	States []messages.State
	// Wakes: it takes up waiting requests when money is freed.
	Wakes bool
	// Agrees: it reads the FLOW agreements in the database, and tells the others how they stand.
	Agrees bool
	// Submits: actions of agreements ask the chain, as requests of the class std, and read their results.
	Submits bool
	// Caches: it answers from the cache that workers share, and keeps answers there.
	Caches bool
	// Records: it records the streams, answers for results, and purges what every reader has passed.
	Records bool
}

// Permissions are those of a NATS user, in the words of the server's configuration.
type Permissions struct {
	Publish   []string `json:"publish"`
	Subscribe []string `json:"subscribe"`
	// Responses lets it answer whatever it was asked.
	Responses bool `json:"allow_responses"`
}

// Permissions are the least that a worker with a duty needs on this topology. It may read how things are made and make none,
// and writes nothing into the control bucket but the heartbeat and, where it has the database, how agreements stand. Who records may
// purge that bucket: it removes old cancellations and what ended pauses leave.
func (t Topology) Permissions(d Duty) Permissions {
	p := Permissions{Responses: true}
	api := func(call string) { p.Publish = append(p.Publish, "$JS.API."+call) }
	streams := make([]string, 0, len(t.Streams))
	for _, s := range t.Streams {
		streams = append(streams, s.Name)
	}
	// The topology is checked at the start, and its lag is probed.
	api("STREAM.NAMES")
	for _, s := range append(slices.Clone(streams), bucketStream(BucketControl), bucketStream(BucketCache), bucketStream(BucketFlights), streamBodies) {
		api("STREAM.INFO." + s)
	}
	for _, s := range streams {
		api("CONSUMER.INFO." + s + ".*")
		api("STREAM.MSG.GET." + s)
	}
	// The control bucket is watched; whoever hears nothing writes the heartbeat.
	t.readBucket(&p, bucketStream(BucketControl))
	p.Publish = append(p.Publish, "$KV."+BucketControl+".heartbeat")
	// Bodies are put and fetched.
	t.readBucket(&p, streamBodies)
	api("STREAM.PURGE." + streamBodies) // a body that is put anew replaces its pieces
	p.Publish = append(p.Publish, "$O."+BucketBodies+".>")
	p.Publish = append(p.Publish, messages.EventSubject("*", "*"))
	for part := range t.partitions() {
		for _, state := range d.States {
			p.Publish = append(p.Publish, work(part, state, "*"))
		}
	}
	for _, q := range d.Queues {
		t.readQueue(&p, q)
	}
	if slices.Contains(d.States, messages.StateCalling) { // whoever calls joins identical questions, and shares providers' limits
		t.readBucket(&p, bucketStream(BucketFlights))
		p.Publish = append(p.Publish, "$KV."+BucketFlights+".*", "flowgate.fleet.pace")
		p.Subscribe = append(p.Subscribe, "flowgate.fleet.pace")
	}
	p.Subscribe = append(p.Subscribe, "_INBOX.>", "flowgate.fleet.report")
	if d.Wakes {
		p.Subscribe = append(p.Subscribe, messages.EventSubject("*", messages.EventFreed))
	}
	if d.Agrees {
		p.Publish = append(p.Publish, "$KV."+BucketControl+".agreement.*")
	}
	if d.Submits {
		all := messages.Key{Tenant: "*", ID: "*"}
		p.Publish = append(p.Publish, messages.RequestSubject(messages.ClassStd, all), messages.GetResultSubject(all))
		p.Subscribe = append(p.Subscribe, messages.ResultSubject(all))
	}
	if d.Caches {
		t.cache(&p)
	}
	if d.Records {
		t.record(&p, streams)
	}
	p.Publish, p.Subscribe = distinct(p.Publish), distinct(p.Subscribe)
	return p
}

// readQueue lets a user fetch from a queue's consumers and answer for what it fetched.
func (t Topology) readQueue(p *Permissions, q LayerQueue) {
	partitions := t.partitions()
	if q.State == "" {
		partitions = 1
	}
	for part := range partitions {
		for _, class := range messages.Classes() {
			at := q.Stream(part) + "." + q.Consumer(class, part)
			p.Publish = append(p.Publish, "$JS.API.CONSUMER.MSG.NEXT."+at, "$JS.ACK."+at+".>")
		}
	}
}

// readBucket lets a user read and watch a bucket, by consumers that end with the reader.
func (t Topology) readBucket(p *Permissions, stream string) {
	for _, call := range []string{
		"DIRECT.GET." + stream, "DIRECT.GET." + stream + ".>", "STREAM.MSG.GET." + stream, "CONSUMER.CREATE." + stream + ".>",
		"CONSUMER.INFO." + stream + ".*", "CONSUMER.DELETE." + stream + ".*", "CONSUMER.MSG.NEXT." + stream + ".*",
	} {
		p.Publish = append(p.Publish, "$JS.API."+call)
	}
	p.Publish = append(p.Publish, "$JS.ACK."+stream+".>", "$JS.FC."+stream+".>")
}

// cache lets a user read and write shared answers, and make room for them.
func (t Topology) cache(p *Permissions) {
	stream := bucketStream(BucketCache)
	for _, call := range []string{"DIRECT.GET." + stream + ".>", "STREAM.MSG.GET." + stream, "STREAM.PURGE." + stream} {
		p.Publish = append(p.Publish, "$JS.API."+call)
	}
	p.Publish = append(p.Publish, "$KV."+BucketCache+".>")
}

// record lets a user read whole streams by consumers of its own, purge them, and answer for results.
func (t Topology) record(p *Permissions, streams []string) {
	for _, s := range streams {
		p.Publish = append(p.Publish, "$JS.API.STREAM.PURGE."+s)
		if s == StreamIngress {
			continue
		}
		for _, call := range []string{"CREATE." + s + ".>", "DELETE." + s + ".*", "MSG.NEXT." + s + ".*"} {
			p.Publish = append(p.Publish, "$JS.API.CONSUMER."+call)
		}
	}
	p.Publish = append(p.Publish, "$JS.API.STREAM.PURGE."+bucketStream(BucketControl)) // cancellations that have expired, ended pauses
	p.Subscribe = append(p.Subscribe, messages.GetResultSubject(messages.Key{Tenant: "*", ID: "*"}),
		messages.GetIntakeSubject("*", "*"), "$SRV.>")
}

func (t Topology) partitions() int {
	n := 0
	for _, s := range t.Streams {
		if s.Name == WorkStream(n) {
			n++
		}
	}
	return n
}

func bucketStream(bucket string) string { return "KV_" + bucket }

func distinct(subjects []string) []string {
	slices.Sort(subjects)
	return slices.Compact(subjects)
}

// Config is the user's permissions as a part of the server's configuration.
func (p Permissions) Config() string {
	var b strings.Builder
	b.WriteString("permissions {\n")
	for _, side := range []struct {
		name     string
		subjects []string
	}{{"publish", p.Publish}, {"subscribe", p.Subscribe}} {
		fmt.Fprintf(&b, "  %s { allow [\n", side.name)
		for _, s := range side.subjects {
			quoted, err := json.Marshal(s)
			if err != nil {
				panic(err) // it is a text
			}
			fmt.Fprintf(&b, "    %s\n", strings.ReplaceAll(string(quoted), `\u003e`, ">"))
		}
		b.WriteString("  ] }\n")
	}
	if p.Responses {
		b.WriteString("  allow_responses { max: -1, expires: \"1m\" }\n")
	}
	b.WriteString("}\n")
	return b.String()
}
