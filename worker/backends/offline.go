package backends

import (
	"context"
	"time"

	"flowgate/messages"
	"flowgate/pipelines/ai"
)

// OfflineName is the name of the offline backend, and what it names as its model.
const OfflineName = "offline"

// MaxOfflineLatency bounds the latency of the offline backend, configured or scripted.
const MaxOfflineLatency = 10 * time.Minute

// OfflineOptions configure the offline backend.
type OfflineOptions struct {
	// Latency is how long each call takes; 0 answers at once. A request's offline_latency_ms replaces it.
	Latency time.Duration
}

// Validate names every option that is wrong.
func (o OfflineOptions) Validate() error {
	errs := optionErrors{backend: OfflineName}
	if o.Latency < 0 || o.Latency > MaxOfflineLatency {
		errs.add("latency", "must be from 0 to %s, is %s", MaxOfflineLatency, o.Latency)
	}
	return errs.join()
}

// Offline answers without a model and without a network, for machines that have neither, for tests and for drills. Its
// text says so, is a function of model, messages, temperature and max_tokens alone, and holds nothing of the messages but
// counts. It keeps no state: faults are scripted in the request itself (see MetadataFaults).
//
// Its token counts are declared, not measured: input is ceil(bytes of content / 4) plus 4 a message, output is
// ceil(bytes of text / 4). The text is cut after max_tokens, as a model's would be.
type Offline struct {
	latency time.Duration
}

// NewOffline makes the offline backend.
func NewOffline(options OfflineOptions) (*Offline, error) {
	if err := options.Validate(); err != nil {
		return nil, err
	}
	return &Offline{latency: options.Latency}, nil
}

// Name is OfflineName.
func (*Offline) Name() string { return OfflineName }

// Billable is false: no call costs money.
func (*Offline) Billable() bool { return false }

// Check tells what of a call it cannot do: it is no model, and has neither tools nor JSON nor vectors.
func (*Offline) Check(call *ai.Call) *ai.Fault {
	if fault := checkCall(call); fault != nil {
		return fault
	}
	return lacks(OfflineName, call, ableNames, ableTopP, ableTopK, ableStop, ableSeed, ableImages, ableImageURLs)
}

// Call answers after the latency, or with the fault that the request's script has for this epoch and attempt. A ctx that
// ends is a transient fault, since nothing can have been billed.
func (b *Offline) Call(ctx context.Context, call ai.Call) (ai.Answer, error) {
	if fault := b.Check(&call); fault != nil {
		return ai.Answer{}, fault
	}
	script, err := decodeOfflineScript(call.Metadata)
	if err != nil {
		return ai.Answer{}, &ai.Fault{Class: ai.ClassInvalid, Code: "bad_script", Detail: err.Error()}
	}
	latency := b.latency
	if script.latency != nil {
		latency = *script.latency
	}
	if err := pause(ctx, latency); err != nil {
		return ai.Answer{}, &ai.Fault{
			Class: ai.ClassTransient, Code: endedCode(err), Detail: "the offline backend was given no time to answer", Err: err,
		}
	}
	rule, scripted := script.rule(call.Epoch, call.Attempt)
	if scripted && rule.Class != ai.ClassRefused {
		return ai.Answer{}, rule.fault()
	}
	return offlineAnswer(&call, scripted), nil
}

func offlineAnswer(call *ai.Call, refused bool) ai.Answer {
	hash := hashCall(call)
	text := offlineText(call, hash)
	finish := "stop"
	if refused {
		text, finish = offlineRefusal, "refusal"
	}
	// The text is ASCII: cutting it by bytes cuts no character.
	if int64(call.MaxTokens) < tokensOf(len(text)) {
		text = text[:call.MaxTokens*bytesPerToken]
		if !refused {
			finish = "length"
		}
	}
	return ai.Answer{
		Text: text, Model: OfflineName, FinishReason: finish, Refused: refused,
		ProviderRequestID: OfflineName + "-" + shortHash(hash),
		Usage:             messages.Usage{InputUncached: offlineInputTokens(call.Messages), Output: tokensOf(len(text))},
	}
}

// pause waits for d or for the end of ctx, whichever comes first; a ctx that has ended wins over a d of 0.
func pause(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil || d <= 0 {
		return err
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
