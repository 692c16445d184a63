package messages

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// TestWhatIsShrunkIsSmallValidAndSaysHowItEnded: texts are cut between characters, whatever their size.
func TestWhatIsShrunkIsSmallValidAndSaysHowItEnded(t *testing.T) {
	long := "x" + strings.Repeat("ü", 100_000)
	e := &Envelope{
		V: Version, Kind: KindUnknown, SubmittedAt: time.Unix(1, 0).UTC(), NotAfter: time.Unix(2, 0).UTC(),
		End: &End{Status: StatusFailure, Reason: ReasonTooLarge, Detail: long},
	}
	for k := range 1000 {
		e.History = append(e.History, Attempt{K: k, Detail: long, Billing: BillingNone})
	}
	s := Shrunk(e)
	data, err := EncodeEnvelope(s)
	if err != nil || len(data) > shrunkBytes {
		t.Fatalf("%d bytes: %v", len(data), err)
	}
	if len(s.History) != shrunkAttempts || s.History[shrunkAttempts-1].K != 999 || s.End.Reason != ReasonTooLarge {
		t.Errorf("%d attempts up to %d, ended as %+v", len(s.History), s.History[len(s.History)-1].K, s.End)
	}
	for _, text := range []string{s.End.Detail, s.History[0].Detail} {
		if !utf8.ValidString(text) || strings.ContainsRune(text, utf8.RuneError) || len(text) > shrunkText+len("…") {
			t.Errorf("%q", text)
		}
	}
	if e.End.Detail != long || e.History[0].Detail != long {
		t.Error("the envelope itself was changed")
	}
}
